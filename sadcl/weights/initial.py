"""Initial weights of stage 1: a backbone's, or all of a model that sadcl wrote, matched by class names."""

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.model import backbone_weights
from sadcl.model.network import Network
from sadcl.progress import say
from sadcl.weights import checkpoint, file_head, training_photos

SYNONYMS = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tvmonitor": "tv",
    "diningtable": "dining table",
    "pottedplant": "potted plant",
}
"""VOC's class names to COCO's, where they differ."""
BY_CLASS = ("head.queries", "head.weight", "head.bias")
"""SARL's tensors with a row for each class; rows are matched by class names."""
SIZES = ("width", "heads", "feedforward", "encoder_layers", "decoder_layers")
"""Settings in which two SARL heads must agree; the number of heads changes no shape, but the meaning of the tensors."""


def initial_network(settings: params.Model, classes: Sequence[str]) -> Network:
    """Build the network that stage 1 starts from, and print what it takes from another model.

    Args:
        settings: section model; its ``weights`` name a backbone's weights, or a weights file that sadcl wrote.
        classes: C names.

    Raises:
        SadclError: the weights can't be loaded, or belong to another network than the settings describe.
    """
    path = _model_file(settings)
    if path is None:
        return Network(settings, len(classes))
    old, head = checkpoint.load_network(path)
    source = file_head.model_settings(path, head)
    fresh = Network(settings.model_copy(update={"weights": "random"}), len(classes))
    # tensors of other heads have other meanings, even where names and shapes agree
    whole = source.head == settings.head == "sarl"
    _check_sizes(path, settings, source, whole)
    matches = rows(classes, head["classes"])
    state, old_state = fresh.state_dict(), old.state_dict()
    # a transformer has positions for one side of photos
    body = backbone_weights.fitted(old.backbone.body.state_dict(), fresh.backbone.body)
    old_state |= {f"backbone.body.{name}": tensor for name, tensor in body.items()}
    for name in (name for name in state if whole or name.startswith("backbone.")):
        if name not in old_state:
            raise SadclError(
                f"The initial model lacks {name}", where=path, fix="Set model.dilated and output_stride to its values"
            )
        state[name] = by_class(state[name], old_state[name], matches) if name in BY_CLASS else old_state[name]
    fresh.load_state_dict(state)
    _report(path, classes, matches, whole, settings)
    return fresh


def rows(classes: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """Find the row of each class among the ``known`` names, by name or synonym; None without a match."""
    # reversed: of equal names the first is written last, and stays
    exact = {name: i for i, name in reversed([*enumerate(known)])}
    alike = {_plain(name): i for i, name in reversed([*enumerate(known)])}
    return [exact.get(name, alike.get(_plain(name))) for name in classes]


def by_class(fresh: Tensor, old: Tensor, matches: Sequence[int | None]) -> Tensor:
    """Copy matched rows of ``old`` [C', ...] into ``fresh`` [C, ...]; rows without a match keep their values."""
    out = fresh.clone()
    for i, j in enumerate(matches):
        if j is not None:
            out[i] = old[j]
    return out


def inputs(settings: params.Model) -> dict[str, str]:
    """Digest of the file that training starts from, as ``weights``; empty where it starts from no file."""
    path = Path(settings.weights)
    return {"weights": files.digest(path)} if not _is_named(settings) and path.is_file() else {}


def photos(settings: params.Model) -> training_photos.Prefixes:
    """Photos that the initial model was trained on, see ``training_photos``."""
    path = _model_file(settings)
    return training_photos.load({} if path is None else file_head.read_head(path), path)


def _is_named(settings: params.Model) -> bool:
    return settings.weights in ("package", "timm", "random")


def _model_file(settings: params.Model) -> Path | None:
    """Path of the initial model, if sadcl wrote it; the backbone reports errors of any other file."""
    path = Path(settings.weights)
    if _is_named(settings) or not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return path if "sadcl" in (file.metadata() or {}) else None
    except (SafetensorError, OSError):
        return None


def _plain(name: str) -> str:
    simple = " ".join(name.lower().replace("_", " ").split())
    return SYNONYMS.get(simple, simple)


def _check_sizes(path: Path, settings: params.Model, source: params.Model, whole: bool) -> None:
    """Raise where the backbone differs (timm's tag after the dot does not matter), or with it the head's sizes."""
    pairs = {"backbone": (settings.backbone.split(".")[0], source.backbone.split(".")[0])}
    pairs |= {name: (getattr(settings, name), getattr(source, name)) for name in SIZES if whole}
    for name, (expected, actual) in pairs.items():
        if expected != actual:
            raise SadclError(
                f"The initial model has {name} {actual}, but the settings say {expected}",
                where=path,
                fix=f"Set model.{name} to {actual}, or name another file in model.weights",
            )


def _report(
    path: Path, classes: Sequence[str], matches: Sequence[int | None], whole: bool, settings: params.Model
) -> None:
    """Print what the network starts from, and classes without a counterpart."""
    if settings.is_linear_probe:
        say(f"  the backbone starts from {path}")
        return
    if not whole:
        say(f"  the backbone starts from {path}, the head from random values: only a SARL head initialises a SARL head")
        return
    unmatched = [name for name, j in zip(classes, matches, strict=True) if j is None]
    say(f"  starts from {path}, with {len(classes) - len(unmatched)} of {len(classes)} classes by name")
    if unmatched:
        more = f" and {len(unmatched) - 10} more" if len(unmatched) > 10 else ""
        say(
            f"  these classes have no counterpart in it and start from random values: {', '.join(unmatched[:10])}{more}"
        )
