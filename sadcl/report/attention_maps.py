"""Attention maps of labels over their photo."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from sadcl import files, names
from sadcl.data.images import decode
from sadcl.errors import SadclError
from sadcl.model.tagger import Tagger
from sadcl.report import panels
from sadcl.report.overlay import overlay
from sadcl.report.panels import GAP, WIDTH, Panel

SIDE = 480
"""Pixels of the long side of a written map; smaller photos keep their size."""
MAX_LABELS, FALLBACK_LABELS = 20, 3
"""Most labels in one drawing, and the number of labels where none is above its threshold."""
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
MARK = "sadcl attention map"
"""Start of a map's JPEG comment, which goes on with the photo's SHA-256 and the whole label."""
MAX_COMMENT = 10_000
"""Most bytes of it; a JPEG could hold 65,533."""


def write_maps(
    tagger: Tagger, photos: Sequence[Path], labels: Sequence[Sequence[str]], folder: Path
) -> Iterator[list[Path]]:
    """Write one JPEG for each label of each photo, named after both.

    A map of an earlier run is replaced by the same photo and label only; any other file of that name stays, and the new
    one gets a number.

    Args:
        tagger: a model whose head has attention.
        photos: image files; those of one name from several folders are told apart by their folders.
        labels: names of classes, for each photo.
        folder: created where it is missing.

    Yields:
        The files of each photo, in the order of its labels.

    Raises:
        SadclError: a photo can't be read, the model does not know a label, it has no attention, or the folder can't be
            written to.
    """
    _require_known_labels(tagger, [label for wanted in labels for label in wanted])
    for photo, wanted, paths in zip(photos, labels, _map_paths(photos, labels, folder), strict=True):
        if wanted:
            maps, comments = tagger.attention(photo), _comments(photo, wanted)
            image = decode.decode(photo.read_bytes(), at_least=SIDE, where=photo)
            image.thumbnail((SIDE, SIDE))
            for label, path, comment in zip(wanted, paths, comments, strict=True):
                with files.atomic_write(path) as temporary_path:
                    drawn = overlay(image, maps[tagger.classes.index(label)])
                    drawn.save(temporary_path, "JPEG", quality=90, comment=comment)
        yield paths


def draw(tagger: Tagger, photo: Path, labels: Sequence[str], out: Path) -> str:
    """Draw a photo and the attention map of each label in one image, 900 pixels wide.

    Args:
        tagger: a model whose head has attention.
        photo: an image file.
        labels: names of classes; by default those above their thresholds.
        out: a PNG or JPEG, by its suffix.

    Returns:
        A sentence with path, labels and probabilities.

    Raises:
        SadclError: the photo can't be read, the model does not know a label, it has no attention, or ``out`` has
            another suffix or is the photo.
    """
    format = FORMATS.get(out.suffix.lower())
    if format is None:
        raise SadclError("The drawing can't have this format", where=out, fix=f"Choose one of {', '.join(FORMATS)}")
    if os.path.exists(out) and os.path.exists(photo) and os.path.samefile(out, photo):
        raise SadclError("The drawing would replace the photo", where=out, fix="Choose another --out")
    _require_known_labels(tagger, labels)
    scores = tagger.scores([photo])[0]
    chosen, note = _choose_labels(tagger, scores, labels)
    maps = tagger.attention(photo)
    image = _resize_to_width(photo, WIDTH // panels.columns(1 + len(chosen)) - GAP)
    overlays = [(tagger.classes[j], f"{scores[j]:.0%}", overlay(image, maps[j])) for j in chosen]
    shown = [Panel(image, "photo"), *(Panel(image, name, probability) for name, probability, image in overlays)]
    legend = f"Bright areas: what the label's score rests on ({maps.shape[2]} × {maps.shape[1]} positions, smoothed)."
    with files.atomic_write(out) as temporary_path:
        panels.grid(shown, [legend, note]).save(temporary_path, format, quality=90, optimize=True)
    return " ".join(
        [f"{out}: {', '.join(f'{name} {probability}' for name, probability, _ in overlays)}.", note]
    ).strip()


def _require_known_labels(tagger: Tagger, labels: Sequence[str]) -> None:
    unknown = [label for label in labels if label not in tagger.classes]
    if unknown:
        known = ", ".join(tagger.classes[:8]) + (f" and {more} more" if (more := len(tagger.classes) - 8) > 0 else "")
        raise SadclError(f"The model has no class `{unknown[0]}`", fix=f"Choose one of its classes: {known}")


def _choose_labels(tagger: Tagger, scores: npt.NDArray[np.floating], labels: Sequence[str]) -> tuple[list[int], str]:
    """Classes to draw, in the requested order or the most likely first, and a note about the choice."""
    order = np.argsort(-scores, kind="stable").tolist()
    above = [j for j in order if scores[j] > tagger.thresholds[j]]
    chosen = [tagger.classes.index(label) for label in dict.fromkeys(labels)] or above
    if not chosen:
        return order[:FALLBACK_LABELS], "No label is above its threshold. These are the most likely."
    note = f"{len(chosen) - MAX_LABELS} more labels are not drawn." if len(chosen) > MAX_LABELS else ""
    return chosen[:MAX_LABELS], note


def _resize_to_width(photo: Path, width: int) -> Image.Image:
    """Scale a photo to a width; a very tall one becomes narrower."""
    image = decode.decode(photo.read_bytes(), at_least=width, where=photo)
    scale = min(width / image.width, 1.5 * width / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC)


def _map_paths(photos: Sequence[Path], labels: Sequence[Sequence[str]], folder: Path) -> list[list[Path]]:
    """Path of the map of each photo and label; a photo that is named twice has one set of maps."""
    prefixes = _prefixes(photos)
    comments = {
        (prefix, label): comment
        for prefix, photo, wanted in zip(prefixes, photos, labels, strict=True)
        for label, comment in zip(wanted, _comments(photo, wanted), strict=True)
    }
    expected = list(comments.values())

    def is_taken(place: int, name: str) -> bool:
        path = folder / f"{name}.jpg"
        return os.path.exists(path) and not _contains(path, expected[place])

    wanted_names = [f"{names.portable(prefix)}-{names.portable(label)}" for prefix, label in comments]
    paths = [folder / f"{name}.jpg" for name in names.distinct(wanted_names, is_taken)]
    path_of = dict(zip(comments, paths, strict=True))
    return [[path_of[prefix, label] for label in wanted] for prefix, wanted in zip(prefixes, labels, strict=True)]


def _prefixes(photos: Sequence[Path]) -> list[str]:
    """Text that tells each photo apart: the shortest end of its path, without suffix unless two differ by it only."""
    ends = names.distinguish(photos)
    stems = {end: str(Path(end).with_suffix("")) for end in ends}
    count = Counter([*stems.values(), *stems])  # the stem of a.jpg.png is the whole name of a.jpg
    return [stems[end] if count[stems[end]] == 1 else end for end in ends]


def _comments(photo: Path, labels: Sequence[str]) -> list[bytes]:
    """JPEG comments of a photo's maps."""
    digest = files.digest(photo) if photo.is_file() else ""
    return [f"{MARK} {digest} {label}".encode("utf-8", "backslashreplace")[:MAX_COMMENT] for label in labels]


def _contains(path: Path, comment: bytes) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return comment in file.read(2 * MAX_COMMENT)
