"""Where a label looked, laid over its photo."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from sadcl import files
from sadcl.data.images import decode
from sadcl.errors import SadclError
from sadcl.model.tagger import Tagger

SIDE = 480
"""Pixels of the long side of a written map; smaller photos stay as they are."""
WIDTH, GAP, LETTERS = 900, 14, 24
"""Pixels of a drawing of several maps: its width, between its parts, of a letter (9 on a phone of 340)."""
MOST, LIKELIEST = 20, 3
"""Labels of one drawing: at most so many, and so many where none is above its threshold."""
KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
INK, FAINT = "#111111", "#666666"


@dataclass(frozen=True)
class Part:
    """One part of a drawing, with a name and a probability (or nothing) below it."""

    picture: Image.Image
    name: str
    probability: str = ""


def overlay(photo: Image.Image, attention: npt.NDArray[np.floating]) -> Image.Image:
    """Lay an attention map over a photo in grey: dark where the label did not look, bright where it did.

    Full brightness is the map's highest value and black is none at all, so an even map is bright everywhere
    rather than stretched into a pattern. The palette (inferno) rises evenly in lightness: it stays readable for
    colour-blind people and in grey.

    Args:
        photo: any size; the picture has the same.
        attention: [h, w], not negative.
    """
    share = attention / max(float(attention.max()), 1e-12)
    small = Image.fromarray(share.clip(0, 1).astype(np.float32))
    smooth = np.asarray(small.resize(photo.size, Image.Resampling.BICUBIC)).clip(0, 1)[..., None]
    heat = matplotlib.colormaps["inferno"](smooth[..., 0])[..., :3] * 255
    grey = np.asarray(photo.convert("L"), np.float32)[..., None]
    mixed = grey * (0.75 - 0.35 * smooth) + heat * (0.2 + 0.4 * smooth)
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def write_maps(tagger: Tagger, photo: Path, labels: Sequence[str], folder: Path) -> list[Path]:
    """Write one JPEG a label, named after photo and label.

    Args:
        tagger: a model whose head has attention.
        photo: an image file.
        labels: names of classes.
        folder: made where it is missing; maps of the same name are replaced.

    Returns:
        The files, in the order of the labels.

    Raises:
        SadclError: the photo can't be read, the model does not know a label, or it has no attention.
    """
    _refuse_unknown(tagger, labels)
    if not labels:
        return []
    maps = tagger.attention(photo)
    image = decode.decode(Path(photo).read_bytes(), at_least=SIDE, where=photo)
    image.thumbnail((SIDE, SIDE))
    written = [folder / f"{name}.jpg" for name in _names(Path(photo).stem, labels)]
    for path, label in zip(written, labels, strict=True):
        with files.atomic_write(path) as beside:
            overlay(image, maps[tagger.classes.index(label)]).save(beside, "JPEG", quality=90)
    return written


def draw(tagger: Tagger, photo: Path, labels: Sequence[str], out: Path) -> str:
    """Draw a photo and, beside it, where each label looked: one picture, 900 pixels wide.

    Args:
        tagger: a model whose head has attention.
        photo: an image file.
        labels: names of classes; none asks for those above their thresholds.
        out: a PNG or JPEG, by its name.

    Returns:
        A sentence: what was drawn, with probabilities.

    Raises:
        SadclError: as ``write_maps``, or ``out`` is of another kind.
    """
    kind = KINDS.get(out.suffix.lower())
    if kind is None:
        raise SadclError("The drawing can't be of this kind", where=out, fix=f"Choose one of {', '.join(KINDS)}")
    _refuse_unknown(tagger, labels)
    scores = tagger.scores([photo])[0]
    chosen, note = _chosen(tagger, scores, labels)
    maps = tagger.attention(photo)
    columns = _columns(1 + len(chosen))
    image = _fitted(photo, WIDTH // columns - GAP)
    found = [(tagger.classes[j], f"{scores[j]:.0%}", overlay(image, maps[j])) for j in chosen]
    parts = [Part(image, "photo"), *(Part(picture, name, probability) for name, probability, picture in found)]
    how = f"Bright: where the label looked ({maps.shape[2]} × {maps.shape[1]} positions, drawn smooth)."
    with files.atomic_write(out) as beside:
        _grid(parts, columns, [how, note]).save(beside, kind, quality=90, optimize=True)
    return " ".join([f"{out}: {', '.join(f'{name} {probability}' for name, probability, _ in found)}.", note]).strip()


def _refuse_unknown(tagger: Tagger, labels: Sequence[str]) -> None:
    unknown = [label for label in labels if label not in tagger.classes]
    if unknown:
        known = ", ".join(tagger.classes[:8]) + (f" and {more} more" if (more := len(tagger.classes) - 8) > 0 else "")
        raise SadclError(f"The model knows no label `{unknown[0]}`", fix=f"Ask for one of its classes: {known}")


def _chosen(tagger: Tagger, scores: npt.NDArray[np.floating], labels: Sequence[str]) -> tuple[list[int], str]:
    """Classes to draw, in the order asked for or the likeliest first, and what there is to say of the choice."""
    order = np.argsort(-scores, kind="stable").tolist()
    above = [j for j in order if scores[j] > tagger.thresholds[j]]
    chosen = [tagger.classes.index(label) for label in dict.fromkeys(labels)] or above
    if not chosen:
        return order[:LIKELIEST], "No label is above its threshold; these are the likeliest."
    note = f"{len(chosen) - MOST} more have no room." if len(chosen) > MOST else ""
    return chosen[:MOST], note


def _columns(parts: int) -> int:
    """Four at most; three where these fill the last row better."""
    return min(parts, 3 if parts in (5, 6, 9) else 4)


def _fitted(photo: Path, width: int) -> Image.Image:
    """A photo of this width, enlarged where it is small; a very tall one is narrower."""
    image = decode.decode(photo.read_bytes(), at_least=width, where=photo)
    scale = min(width / image.width, 1.5 * width / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC)


def _grid(parts: Sequence[Part], columns: int, notes: Sequence[str]) -> Image.Image:
    """Parts row by row on white, with their names below them and notes at the end."""
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", LETTERS)
    small, line = font.font_variant(size=LETTERS * 3 // 4), LETTERS * 5 // 4
    cell, row = WIDTH // columns, parts[0].picture.height + 2 * line + 2 * GAP
    lines = [note for note in notes if note]
    height = GAP + row * ceil(len(parts) / columns) + line * len(lines) + GAP // 2
    page = Image.new("RGB", (WIDTH, height), "white")
    pen = ImageDraw.Draw(page)
    for i, part in enumerate(parts):
        middle, top = cell * (i % columns) + cell // 2, GAP + row * (i // columns)
        page.paste(part.picture, (middle - part.picture.width // 2, top))
        below = top + part.picture.height + GAP // 2
        pen.text((middle, below), _cut(part.name, font, cell - GAP), INK, font, anchor="ma")
        pen.text((middle, below + line), part.probability, FAINT, font, anchor="ma")
    for i, note in enumerate(reversed(lines)):
        pen.text((GAP // 2, height - GAP // 2 - line * (i + 1)), note, FAINT, small)
    return page


def _cut(name: str, font: ImageFont.FreeTypeFont, room: int) -> str:
    """A name in one line; where it is too long for its room, it ends in three dots."""
    name = " ".join(name.split())
    if font.getlength(name) <= room:
        return name
    return next((cut for n in range(len(name), 0, -1) if font.getlength(cut := name[:n] + "…") <= room), "…")


def _names(stem: str, labels: Sequence[str]) -> list[str]:
    """File names without anything that a file system minds; labels that would share one are numbered."""
    names: list[str] = []
    for label in labels:
        name = plain = re.sub(r"[^\w.-]+", "_", f"{stem}-{label}")
        while name.lower() in map(str.lower, names):
            name = f"{plain}-{1 + sum(other.startswith(plain) for other in names)}"
        names.append(name)
    return names
