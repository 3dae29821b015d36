"""Form of a backbone: the photos that it is built for, and how it gives its feature map."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from sadcl import params
from sadcl.errors import SadclError, first_line
from sadcl.model.shapes import shapes_only
from sadcl.model.timm_import import import_timm

STEP, TRIED = 32, 8
"""Distance and number of the sides that are tried below and above one that a network without patches refuses."""


@dataclass(frozen=True)
class Form:
    """How a network is built and called.

    Attributes:
        arguments: of ``timm.create_model``, besides the name.
        gives_maps: ``forward_features`` returns [B, channels, h, w]; False for tokens, and for channels last.
        side: of the photos that it is built for; None where it takes any.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    gives_maps: bool = True
    side: int | None = None


class _RefusedError(Exception):
    """A network takes no photos of one of the sides: which setting has it, and what the side must be a multiple of."""

    def __init__(self, setting: str, reason: str, step: int | None = None) -> None:
        super().__init__(reason)
        self.setting, self.step = setting, step


def form(settings: params.Model) -> Form:
    """Determine how ``settings.backbone`` is built for the sides of the settings.

    A network with a fixed side, such as a vision transformer, is built without memory and called with shapes alone; one
    of convolutions takes photos of any side.

    Raises:
        SadclError: the network does not take photos of these sides, or gives no feature map.
        Exception: timm's own, where it can't build the network.
    """
    if not _pretrained(settings.backbone).get("fixed_input_size"):
        return Form(_dilation(settings))
    return _form_for_sides(settings)


def feature_map(net: Any, images: Tensor, gives_maps: bool) -> Tensor:
    """Compute a network's last feature map [B, channels, h, w].

    Raises:
        SadclError: the network's output is no such map.
    """
    out: Any  # a list of several scales with some networks
    if gives_maps:
        out = net.forward_features(images)
    else:
        # timm's own conversion: after the last norm, without class and register tokens, channels first
        options = {"indices": 1, "norm": True, "output_fmt": "NCHW", "intermediates_only": True}
        try:
            out = net.forward_intermediates(images, **options)[0]
        except (AssertionError, AttributeError, TypeError) as error:  # some networks have not all of it
            raise SadclError(
                f"timm gives no feature map of {type(net).__name__}: {first_line(error)}",
                where="model.backbone",
                fix="Choose another network",
            ) from None
    if not _is_map(net, out):
        shape = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise SadclError(
            f"The backbone gives {shape}, not [B, {net.num_features}, h, w]",
            where="model.backbone",
            fix="Choose another network",
        )
    return out  # type: ignore[no-any-return]


def cut(net: Any, settings: params.Model, gives_maps: bool) -> None:
    """Remove what the feature map does not need: blocks after ``output_stride``, and the pooling of tokens.

    Raises:
        SadclError: the network can't end at this stride.
    """
    # where timm norms only the pooled token, each token gets that norm: tokens without it have outliers
    if not gives_maps and isinstance(getattr(net, "norm", None), nn.Identity) and hasattr(net, "fc_norm"):
        net.norm = net.fc_norm
    # dilated depthwise convolutions took most of a step; a network that ends at stride 16 was three times as fast
    if not settings.dilated and settings.output_stride != 32:
        _end_at(net, settings)
    elif not gives_maps and hasattr(net, "prune_intermediate_layers"):
        # in distributed training a step would wait for gradients of parameters that take no part in it
        net.prune_intermediate_layers(1, prune_norm=False, prune_head=True)


def _end_at(net: Any, settings: params.Model) -> None:
    """Remove all blocks after the last one with stride ``settings.output_stride``."""
    strides = [level["reduction"] for level in net.feature_info] if hasattr(net, "prune_intermediate_layers") else []
    if settings.output_stride not in strides:
        raise SadclError(
            f"{settings.backbone} can't end at stride {settings.output_stride}",
            where="model.dilated",
            fix=f"It has strides {', '.join(map(str, sorted(set(strides))))}" if strides else "Choose dilated: true",
        )
    last = len(strides) - 1 - strides[::-1].index(settings.output_stride)
    net.prune_intermediate_layers([last])


@lru_cache(maxsize=32)  # a process builds most networks more than once
def _form_for_sides(settings: params.Model) -> Form:
    try:
        return _try_sides(settings)
    except _RefusedError as refused:
        side = settings.side if refused.setting == "side" else settings.test_side
        raise SadclError(
            f"{settings.backbone} can't take photos of {side} px: {refused}",
            where=f"model.{refused.setting}",
            fix=_advice(settings, refused),
        ) from None


def _try_sides(settings: params.Model) -> Form:
    """Build a network in shapes alone, and call it with photos of both sides.

    Raises:
        _RefusedError: it does not take one of them.
        SadclError: it gives no feature map.
    """
    sides = {"side": settings.side, "test_side": settings.test_side or settings.side}
    net, arguments = _build_for_side(settings, dynamic=sides["test_side"] != sides["side"])
    patch, gives_maps = _patch(net), True
    for setting, side in sides.items():
        if side % patch:  # timm leaves out the columns and rows that fill no patch
            raise _RefusedError(setting, f"its patches have {patch} px", patch)
        images = torch.empty(2, 3, side, side, device="meta")
        try:
            with torch.inference_mode():
                out = net.forward_features(images)
        except Exception as error:  # assertions of timm, shapes of torch
            raise _RefusedError(setting, first_line(error)) from None
        gives_maps = _is_map(net, out)
    cut(net, settings, gives_maps)
    with torch.inference_mode():
        feature_map(net, images, gives_maps)
    return Form(arguments, gives_maps, settings.side)


def _build_for_side(settings: params.Model, dynamic: bool) -> tuple[Any, dict[str, Any]]:
    """Build the network, and return it with those of timm's arguments for a side that it accepts."""
    sized = {"img_size": settings.side}
    # a network for any side computes positions and masks at each step
    choices = [*([{**sized, "dynamic_img_size": True}] if dynamic else []), sized]
    for choice in choices:
        arguments = {**_dilation(settings), **choice}
        try:
            with shapes_only():
                return import_timm().create_model(settings.backbone, num_classes=0, **arguments).eval(), arguments
        except TypeError as error:
            if "img_size" not in str(error):
                raise
        except (AssertionError, RuntimeError, ValueError) as error:
            raise _RefusedError("side", first_line(error)) from None
    with shapes_only():
        net = import_timm().create_model(settings.backbone, num_classes=0, **_dilation(settings)).eval()
    return net, _dilation(settings)


def _advice(settings: params.Model, refused: _RefusedError) -> str:
    """Sentence that names the nearest sides below and above the refused one."""
    if refused.setting == "test_side":
        return f"Choose a multiple of {refused.step}" if refused.step else "Set it to null: model.side is taken"

    def taken(sides: range) -> Iterator[int]:
        for side in sides:
            try:
                _try_sides(settings.model_copy(update={"side": side, "test_side": None}))
            except _RefusedError:
                continue
            yield side

    step = refused.step or STEP
    below = range(settings.side // step * step, 0, -step)
    near = [*islice(taken(below[:TRIED]), 1), *islice(taken(range(below.start + step, 4096, step)[:TRIED]), 1)]
    native = _pretrained(settings.backbone)["input_size"][-1]
    return f"The nearest side is {' or '.join(map(str, near))}" if near else f"Its own side is {native}"


def _is_map(net: Any, out: Any) -> bool:
    return isinstance(out, Tensor) and out.dim() == 4 and out.shape[1] == net.num_features


def _patch(net: Any) -> int:
    """Side of the patches that a network divides photos into, in pixels; 1 without patches."""
    patch = getattr(getattr(net, "patch_embed", None), "patch_size", 1)
    return int(max(patch)) if isinstance(patch, tuple | list) else int(patch)


def _pretrained(name: str) -> dict[str, Any]:
    """timm's description of a network's weights."""
    import_timm()
    from timm.models import get_pretrained_cfg

    known: Any = get_pretrained_cfg(name)
    return {} if known is None else vars(known)


def _dilation(settings: params.Model) -> dict[str, Any]:
    return {"output_stride": settings.output_stride} if settings.dilated and settings.output_stride != 32 else {}
