"""Backbones: timm networks up to their last feature map, and the weights that they start from."""

import difflib
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sadcl import params
from sadcl.errors import SadclError, first_line
from sadcl.model import backbone_form, backbone_weights, frozen_prefix
from sadcl.model.frozen_prefix import FrozenPrefix
from sadcl.model.timm_import import import_timm


def build(settings: params.Model, start: bool = True) -> "Backbone":
    """Build the backbone that ``settings.backbone`` names.

    Args:
        settings: section model.
        start: load the weights that training starts from; False leaves random values, for a checkpoint to replace.

    Raises:
        SadclError: no such network, its weights can't be loaded, or it has no part that ``frozen`` names.
    """
    download = start and settings.weights == "timm"
    timm = import_timm(downloads=download)
    if not timm.is_model(settings.backbone):
        raise _unknown(settings.backbone, timm.list_models())
    try:
        form = backbone_form.form(settings)
        net = timm.create_model(settings.backbone, pretrained=download, num_classes=0, **form.arguments)
    except SadclError:
        raise
    except Exception as error:
        raise _unbuildable(settings, error, download) from None
    # published class scores are of no use here: every head brings its own classifier
    if start and settings.weights == "package":
        tensors = backbone_weights.packaged(settings)
        net.load_state_dict({k: v for k, v in tensors.items() if not k.startswith("classifier.")})
    elif start and settings.weights not in ("timm", "random"):
        backbone_weights.load_file(net, Path(settings.weights))
    gives_maps = form.gives_maps and getattr(net, "output_fmt", "NCHW") == "NCHW"
    # after the weights, which are those of the whole network
    backbone_form.cut(net, settings, gives_maps)
    return Backbone(net, settings, gives_maps, form.side)


class Backbone(nn.Module):
    """A timm network from images [B, 3, S, S] to its last feature map [B, channels, h, w].

    Frozen parts get no gradient; where they come first, autograd stores none of their activations.

    Args:
        net: a timm model.
        settings: section model.
        gives_maps: ``net.forward_features`` returns maps; False for tokens, and for channels last.
        side: of the photos that ``net`` was built for; None where it takes any.

    Attributes:
        structure: networks of one structure differ in their tensors alone.

    Raises:
        SadclError: ``net`` has no part that ``frozen`` names.
    """

    def __init__(self, net: Any, settings: params.Model, gives_maps: bool = True, side: int | None = None) -> None:
        super().__init__()
        self.body = net
        self.gives_maps, self.side = gives_maps, side
        self.structure = (settings.backbone, settings.output_stride, settings.dilated, side)
        self.channels = int(net.num_features)
        self.freeze_batch_norm = settings.freeze_batch_norm
        self.frozen = settings.frozen
        parts = {name for name, _ in (*net.named_modules(), *net.named_parameters())}
        for part in settings.frozen:
            if part not in parts:
                top = dict.fromkeys(name.partition(".")[0] for name, _ in net.named_parameters())
                has = f"It has {', '.join(top)}"
                raise SadclError(f"The backbone has no part {part!r}", where="model.frozen", fix=has)
        for name, parameter in net.named_parameters():
            if self._is_frozen(name):
                parameter.requires_grad_(False)
        self.prefix: FrozenPrefix | None = None
        self.train()

    def split(self, side: int) -> FrozenPrefix:
        """Find the frozen prefix; from then on ``forward`` takes its output in place of images, too.

        Raises:
            SadclError: the frozen parts can't be separated from the rest.
        """
        if not self.gives_maps:
            raise SadclError(
                "Views of a network of tokens are cached where all of it is frozen",
                where="model.frozen",
                fix="Name all its parts, or set augmentation.views to null",
            )
        if self.prefix is None:
            was_training = self.training
            self.eval()
            self.prefix = frozen_prefix.find(self.body, self._is_frozen, side)
            self.train(was_training)
        return self.prefix

    def forward(self, images: Tensor) -> Tensor:
        """Compute the last feature map: [B, 3, S, S], or the frozen prefix's output, to [B, channels, h, w].

        Raises:
            SadclError: the network's output is no such map.
        """
        if self.prefix is not None and images.shape[1] == self.prefix.channels:
            with self.prefix.skipped(self.body):
                return backbone_form.feature_map(self.body, images, self.gives_maps)
        return backbone_form.feature_map(self.body, images, self.gives_maps)

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


def _unbuildable(settings: params.Model, error: Exception, download: bool) -> SadclError:
    """Translate timm's error: a wrong name goes before a download that may have failed."""
    reason = first_line(error)
    name, _, tag = settings.backbone.partition(".")
    tags = [known.partition(".")[2] for known in import_timm().list_pretrained(f"{name}.*")]
    where, fix = ("model.weights", "Go online, or name a file") if download else ("model.backbone", "Choose another")
    if tag and tag not in tags:
        where, fix = "model.backbone", f"Its weights have the tags {', '.join(tags)}" if tags else f"Write {name}"
    elif isinstance(error, TypeError) and "output_stride" in reason:  # no argument of this network
        where, fix = "model.output_stride", "Leave it at 32, for the network's own stride"
    return SadclError(f"timm can't build {settings.backbone!r}: {reason}", where=where, fix=fix)
