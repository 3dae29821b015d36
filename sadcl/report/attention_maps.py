"""Attention maps of labels over their photo."""

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
"""Pixels of the long side of a written map; smaller photos keep their size."""
WIDTH, GAP, FONT_SIZE = 900, 14, 24
"""Pixels of a drawing of several maps: width, gap between panels, font size (9 px on a phone of 340 px)."""
MAX_LABELS, FALLBACK_LABELS = 20, 3
"""Most labels in one drawing, and the number of labels where none is above its threshold."""
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
TEXT_COLOUR, NOTE_COLOUR = "#111111", "#666666"


@dataclass(frozen=True)
class Panel:
    """One image of a drawing, with a name and a probability (or nothing) below it."""

    image: Image.Image
    name: str
    probability: str = ""


def overlay(photo: Image.Image, attention: npt.NDArray[np.floating]) -> Image.Image:
    """Lay an attention map over a photo in grey: bright where attention is high.

    Full brightness is the map's maximum and black is zero, so an even map is bright everywhere and not stretched into
    a pattern of rounding errors. The palette (inferno) rises evenly in lightness: it is readable for colour-blind
    people and in grey.

    Args:
        photo: any size, which the result keeps.
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
    """Write one JPEG for each label, named after photo and label.

    Args:
        tagger: a model whose head has attention.
        photo: an image file.
        labels: names of classes.
        folder: created where it is missing; maps of the same name are replaced.

    Returns:
        The files, in the order of the labels.

    Raises:
        SadclError: the photo can't be read, the model does not know a label, or it has no attention.
    """
    _require_known_labels(tagger, labels)
    if not labels:
        return []
    maps = tagger.attention(photo)
    image = decode.decode(Path(photo).read_bytes(), at_least=SIDE, where=photo)
    image.thumbnail((SIDE, SIDE))
    written = [folder / f"{name}.jpg" for name in _file_names(Path(photo).stem, labels)]
    for path, label in zip(written, labels, strict=True):
        with files.atomic_write(path) as temporary_path:
            overlay(image, maps[tagger.classes.index(label)]).save(temporary_path, "JPEG", quality=90)
    return written


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
            another suffix.
    """
    format = FORMATS.get(out.suffix.lower())
    if format is None:
        raise SadclError("The drawing can't have this format", where=out, fix=f"Choose one of {', '.join(FORMATS)}")
    _require_known_labels(tagger, labels)
    scores = tagger.scores([photo])[0]
    chosen, note = _choose_labels(tagger, scores, labels)
    maps = tagger.attention(photo)
    columns = _columns(1 + len(chosen))
    image = _resize_to_width(photo, WIDTH // columns - GAP)
    overlays = [(tagger.classes[j], f"{scores[j]:.0%}", overlay(image, maps[j])) for j in chosen]
    panels = [Panel(image, "photo"), *(Panel(image, name, probability) for name, probability, image in overlays)]
    legend = f"Bright areas: attention of the label ({maps.shape[2]} × {maps.shape[1]} positions, smoothed)."
    with files.atomic_write(out) as temporary_path:
        _grid(panels, columns, [legend, note]).save(temporary_path, format, quality=90, optimize=True)
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


def _columns(panels: int) -> int:
    """At most four columns; three where they fill the last row better."""
    return min(panels, 3 if panels in (5, 6, 9) else 4)


def _resize_to_width(photo: Path, width: int) -> Image.Image:
    """Scale a photo to a width; a very tall one becomes narrower."""
    image = decode.decode(photo.read_bytes(), at_least=width, where=photo)
    scale = min(width / image.width, 1.5 * width / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC)


def _grid(panels: Sequence[Panel], columns: int, notes: Sequence[str]) -> Image.Image:
    """Panels row by row on white, with names below them and notes at the end."""
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", FONT_SIZE)
    small, line = font.font_variant(size=FONT_SIZE * 3 // 4), FONT_SIZE * 5 // 4
    cell, row = WIDTH // columns, panels[0].image.height + 2 * line + 2 * GAP
    lines = [note for note in notes if note]
    height = GAP + row * ceil(len(panels) / columns) + line * len(lines) + GAP // 2
    page = Image.new("RGB", (WIDTH, height), "white")
    canvas = ImageDraw.Draw(page)
    for i, panel in enumerate(panels):
        middle, top = cell * (i % columns) + cell // 2, GAP + row * (i // columns)
        page.paste(panel.image, (middle - panel.image.width // 2, top))
        below = top + panel.image.height + GAP // 2
        canvas.text((middle, below), _shorten(panel.name, font, cell - GAP), TEXT_COLOUR, font, anchor="ma")
        canvas.text((middle, below + line), panel.probability, NOTE_COLOUR, font, anchor="ma")
    for i, note in enumerate(reversed(lines)):
        canvas.text((GAP // 2, height - GAP // 2 - line * (i + 1)), note, NOTE_COLOUR, small)
    return page


def _shorten(name: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """A name in one line, cut with an ellipsis where it is too long."""
    name = " ".join(name.split())
    if font.getlength(name) <= width:
        return name
    cuts = (name[:n] + "…" for n in range(len(name), 0, -1))
    return next((cut for cut in cuts if font.getlength(cut) <= width), "…")


def _file_names(stem: str, labels: Sequence[str]) -> list[str]:
    """Portable file names; labels that would share one get numbers."""
    names: list[str] = []
    for label in labels:
        name = stem_and_label = re.sub(r"[^\w.-]+", "_", f"{stem}-{label}")
        while name.lower() in map(str.lower, names):
            name = f"{stem_and_label}-{1 + sum(taken.startswith(stem_and_label) for taken in names)}"
        names.append(name)
    return names
