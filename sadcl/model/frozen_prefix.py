"""Frozen prefix: the first, frozen parts of a backbone, whose output training does not change and a cache can hold."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sadcl.errors import SadclError, first_line

FIX = "Freeze the parts that come first, or set augmentation.views to null"


@dataclass(frozen=True)
class FrozenPrefix:
    """The split of a network after its frozen parts.

    Attributes:
        parts: names of the largest modules that end before the boundary, such as frozen blocks and poolings.
        boundary: name of the module that runs next, the first one that learns.
        channels: of its input.
    """

    parts: tuple[str, ...]
    boundary: str
    channels: int

    def compute(self, net: nn.Module, images: Tensor) -> Tensor:
        """Run the frozen parts alone: [B, 3, S, S] to [B, channels, h, w]."""
        network: Any = net
        return _input_of(net, [self.boundary], network.forward_features, images).value

    @contextmanager
    def skipped(self, net: nn.Module) -> Iterator[None]:
        """Let the frozen parts return their input, so that the network takes their output in place of images."""
        modules = [net.get_submodule(name) for name in self.parts]
        for module in modules:
            module.forward = _identity
        try:
            yield
        finally:
            for module in modules:
                del module.forward  # the method of its class again


def find(net: nn.Module, is_frozen: Callable[[str], bool], side: int) -> FrozenPrefix:
    """Find the frozen prefix of a network, and check it with random images: both halves give what the whole gives.

    Args:
        net: a timm model that gives maps, in evaluation mode.
        is_frozen: whether a part is frozen, by its name.
        side: of the images.

    Raises:
        SadclError: the frozen parts do not come first, or can't be left out alone.
    """
    network: Any = net
    ended: list[str] = []
    hooks = [module.register_forward_hook(_recorder(ended, name)) for name, module in net.named_modules() if name]
    weight = next(net.parameters())
    # of an own generator: dropout of the training draws the numbers that it would draw without a cache
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0)).to(weight)
    with torch.no_grad():
        try:
            reached = _input_of(net, _learning(net, is_frozen), network.forward_features, images)
        finally:
            for hook in hooks:
                hook.remove()
        largest = [name for name in ended if not any(name.startswith(f"{other}.") for other in ended)]
        prefix = FrozenPrefix(tuple(dict.fromkeys(largest)), reached.name, reached.value.shape[1])
        try:
            with prefix.skipped(net):
                rest = network.forward_features(reached.value)
        except (RuntimeError, ValueError, AssertionError, TypeError) as error:
            raise _impossible(first_line(error)) from None
        # what is no module of its own, such as a function, runs in both halves
        if not torch.equal(rest, network.forward_features(images)):
            raise _impossible("more happens between them")
    if prefix.channels in (3, network.num_features):
        raise _impossible(f"their output has {prefix.channels} channels, as images or final maps have")
    return prefix


class _Reached(Exception):  # noqa: N818 - a signal, not an error
    """The first learning module is about to run."""

    def __init__(self, name: str, value: Tensor) -> None:
        super().__init__(name)
        self.name, self.value = name, value


def _input_of(net: nn.Module, names: Sequence[str], run: Callable[[Tensor], Any], images: Tensor) -> _Reached:
    """Run a network until one of these modules; the result has its name and input."""

    def stop(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_: nn.Module, arguments: tuple[Any, ...]) -> None:
            raise _Reached(name, arguments[0])

        return hook

    hooks = [net.get_submodule(name).register_forward_pre_hook(stop(name)) for name in names]
    try:
        run(images)
    except _Reached as reached:
        return reached
    finally:
        for handle in hooks:
            handle.remove()
    raise _impossible("no part that learns follows them")


def _learning(net: nn.Module, is_frozen: Callable[[str], bool]) -> list[str]:
    """Names of the largest modules that have parameters and no frozen part."""
    names: list[str] = []
    for name, module in net.named_modules():
        inside = any(name == done or name.startswith(f"{done}.") for done in names)
        parts = [f"{name}.{part}".strip(".") for part, _ in module.named_modules() if part] + [name]
        if name and not inside and any(True for _ in module.parameters()) and not any(map(is_frozen, parts)):
            names.append(name)
    return names


def _recorder(names: list[str], name: str) -> Callable[[nn.Module, Any, Any], None]:
    def hook(*_: Any) -> None:
        names.append(name)

    return hook


def _identity(value: Tensor, *_: Any, **__: Any) -> Tensor:
    return value


def _impossible(reason: str) -> SadclError:
    return SadclError(f"The frozen parts can't be cached apart: {reason}", where="model.frozen", fix=FIX)
