"""Where stage 1 starts: from a backbone's weights, or whole from a model that sadcl wrote, class by class by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.model.network import Network
from sadcl.progress import say
from sadcl.weights import checkpoint

SYNONYMS = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tvmonitor": "tv",
    "diningtable": "dining table",
    "pottedplant": "potted plant",
}
"""VOC's words for what COCO calls otherwise."""
BY_CLASS = ("head.queries", "head.weight", "head.bias")
"""What SARL holds once a class: its rows find their places by class names."""
SIZES = ("width", "heads", "feedforward", "encoder_layers", "decoder_layers")
"""Settings in which two SARL heads must agree. The number of heads changes no shape, but what the numbers mean."""


def initial_network(settings: params.Model, classes: Sequence[str]) -> Network:
    """The network that stage 1 starts from; what it took from another model is said in words.

    Args:
        settings: section model; its ``weights`` name a start of the backbone, or a weights file that sadcl wrote.
        classes: names, C of them.

    Raises:
        SadclError: the start can't be had, or is another network than the settings describe.
    """
    path = _model(settings)
    if path is None:
        return Network(settings, len(classes))
    old, head = checkpoint.load_network(path)
    theirs = params.Model.model_validate(head["model"])
    fresh = Network(settings.model_copy(update={"weights": "random"}), len(classes))
    whole = theirs.head == settings.head == "sarl"
    _refuse(path, settings, theirs, whole)
    at = rows(classes, head["classes"])
    state, given = fresh.state_dict(), old.state_dict()
    for name in (name for name in state if whole or name.startswith("backbone.")):
        if name not in given:
            raise SadclError(f"The model lacks {name}", where=path, fix="Set model.dilated and output_stride as it has")
        state[name] = by_class(state[name], given[name], at) if name in BY_CLASS else given[name]
    fresh.load_state_dict(state)
    _say(path, classes, at, whole)
    return fresh


def rows(classes: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """For each class the row of the same name, or of a synonym, among ``known``; None where there is none."""
    exact = {name: i for i, name in reversed([*enumerate(known)])}
    alike = {_plain(name): i for i, name in reversed([*enumerate(known)])}
    return [exact.get(name, alike.get(_plain(name))) for name in classes]


def by_class(fresh: Tensor, old: Tensor, at: Sequence[int | None]) -> Tensor:
    """Rows of ``old`` [C', ...] at the places of ``fresh`` [C, ...] that have one; the others stay fresh."""
    out = fresh.clone()
    for i, j in enumerate(at):
        if j is not None:
            out[i] = old[j]
    return out


def inputs(settings: params.Model) -> dict[str, str]:
    """The digest of the file that training starts from; empty where it starts from no file."""
    path = Path(settings.weights)
    return {"weights": files.digest(path)} if not _is_named(settings) and path.is_file() else {}


def seen(settings: params.Model) -> list[str]:
    """What the model that training starts from has seen: starts of the photos' SHA-256."""
    path = _model(settings)
    found: list[Any] = [] if path is None else checkpoint.read_head(path).get("seen") or []
    return [str(start) for start in found]


def _is_named(settings: params.Model) -> bool:
    return settings.weights in ("package", "timm", "random")


def _model(settings: params.Model) -> Path | None:
    """The file, if sadcl wrote it; whatever is wrong with another file, the backbone says."""
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


def _refuse(path: Path, ours: params.Model, theirs: params.Model, whole: bool) -> None:
    """Another backbone (tags name its first weights only), or with it a head of other sizes."""
    pairs = {"backbone": (ours.backbone.split(".")[0], theirs.backbone.split(".")[0])}
    pairs |= {name: (getattr(ours, name), getattr(theirs, name)) for name in SIZES if whole}
    for name, (wanted, found) in pairs.items():
        if wanted != found:
            raise SadclError(
                f"The model to start from has {name} {found}, but the settings say {wanted}",
                where=path,
                fix=f"Set model.{name} to {found}, or name another file in model.weights",
            )


def _say(path: Path, classes: Sequence[str], at: Sequence[int | None], whole: bool) -> None:
    if not whole:
        say(f"  the backbone starts from {path}, the head afresh: only a SARL head goes on as a SARL head")
        return
    afresh = [name for name, j in zip(classes, at, strict=True) if j is None]
    say(f"  starts from {path}, with {len(classes) - len(afresh)} of {len(classes)} classes by name")
    if afresh:
        more = f" and {len(afresh) - 10} more" if len(afresh) > 10 else ""
        say(f"  these classes have no counterpart there and start afresh: {', '.join(afresh[:10])}{more}")
