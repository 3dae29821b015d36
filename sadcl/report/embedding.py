"""Drawing of label-level features in two dimensions (t-SNE), with the class prototypes.

A t-SNE can mislead: its axes, the sizes of groups and the distances between them have no meaning. Therefore the
drawing shows metrics of the features before t-SNE as well.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image

from sadcl import files
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.names import columns
from sadcl.progress import say
from sadcl.report import features, fonts
from sadcl.report.features import NEIGHBOURS, SEED, Floats, Points, Separation, Space
from sadcl.weights import file_head

Box = tuple[float, float, float, float]

MAX_DIMENSIONS = 50
"""PCA reduces wider vectors before t-SNE, as its authors advise."""
COLOURS = matplotlib.color_sequences["petroff10"]
"""Distinct for colour-blind people (Petroff, arXiv 2107.02270); beyond ten classes the markers differ, too."""
MARKERS = ("o", "^", "s", "D")
TEXT_COLOUR = "#111111"
ANGLES = np.radians([90, 270, 0, 180, 45, 135, 225, 315])
"""Positions of a name around its point, in order of preference."""
MAX_POINTS = 4000
"""Most features in one drawing: more take minutes and overlap."""
STYLE: Any = {
    "font.size": 13,
    "figure.constrained_layout.use": True,
}


def draw(model: Path, shards: Path, out: Path, classes: int = 10, labels: Sequence[str] = ()) -> list[str]:
    """Draw the features of a split's photos, one for each label of a photo.

    Args:
        model: weights of either stage, or their folder; prototypes and projector are drawn where they exist.
        shards: folder of the split.
        out: path of the PNG.
        classes: number of classes, the most frequent first.
        labels: names of classes instead.

    Returns:
        Lines about content, omissions and metrics.

    Raises:
        SadclError: the head has no label-level features, model and split have different classes, there are too few
            labels, or ``out`` is not a PNG.
    """
    if out.suffix.lower() != ".png":
        raise SadclError("The drawing must be a PNG", where=out, fix="Choose a name that ends in .png")
    files.require_folder(out.parent)
    file = model / "weights.safetensors" if model.is_dir() else model
    head, split = file_head.read_head(file), Shards(shards)
    if tuple(head["classes"]) != split.classes:
        raise SadclError("Model and photos have different classes", where=file, fix="Run `dvc repro`")
    chosen = features.points(split, classes, labels, MAX_POINTS)
    summary = (
        f"{len(chosen.rows):,} label-level features of {len(np.unique(chosen.rows)):,} {shards.name} photos, "
        f"{len(chosen.names)} of {len(split.classes)} classes"
    )
    spaces = features.spaces(file, split, chosen)
    say(f"t-SNE of {summary}")
    separations = [features.separation(space, chosen.kinds) for space in spaces]
    _save(_figure(spaces, separations, chosen, summary), out)
    omitted = f"; left out: {chosen.omitted}" if chosen.omitted else ""
    return [f"{out}: {summary}{omitted}", *map(_sentence, spaces, separations)]


def _sentence(space: Space, separation: Separation) -> str:
    return f"{space.title}: {', '.join(_figure_texts(separation))}"


def _figure_texts(separation: Separation) -> list[str]:
    """Metrics of one space as text."""
    own = separation.own_prototype
    nearest = [] if own is None else [f"own prototype nearest {own:.1%}"]
    cosines = f"cosine {separation.within:.2f} within, {separation.between:.2f} between labels".replace("-", "−")
    return [f"{NEIGHBOURS} nearest with the same label {separation.share:.1%}", *nearest, cosines]


def _tsne(features: Floats) -> Floats:
    """Positions [P, 2] in the unit square."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # threads add in varying order, which changes the last digits
        if min(features.shape) > MAX_DIMENSIONS:
            features = PCA(MAX_DIMENSIONS, random_state=SEED).fit_transform(features)
        perplexity = min(30.0, (len(features) - 1) / 3)
        flat = TSNE(perplexity=perplexity, init="pca", random_state=SEED).fit_transform(features)
    low, high = flat.min(0), flat.max(0)
    places: Floats = (flat - low) / np.maximum(high - low, 1e-9)
    return places


def _star_positions(space: Space, flat: Floats) -> Floats:
    """Positions [K, 2] of prototypes: the median position of the features nearest to each.

    A t-SNE of features and prototypes together would group the prototypes, since a prototype may be nearer to other
    prototypes than to any feature.
    """
    if space.prototypes is None:
        return np.zeros((0, 2), np.float32)
    near = np.argsort(-space.prototypes @ space.features.T, axis=1, kind="stable")[:, :NEIGHBOURS]
    return np.median(flat[near], axis=1)


def _figure(spaces: Sequence[Space], separations: Sequence[Separation], chosen: Points, summary: str) -> Figure:
    with fonts.style(chosen.names, STYLE):
        figure = Figure(figsize=(3.9 * len(spaces), 5.2), dpi=150)
        panels = figure.subplots(1, len(spaces), squeeze=False)[0]
        for axes, space, measured in zip(panels, spaces, separations, strict=True):
            _panel(axes, space, chosen)
            axes.set_title(space.title, weight="bold", fontsize=14)
            axes.set_xlabel("\n".join(_figure_texts(measured)), fontsize=12)
        notes = [summary if len(spaces) > 1 else summary.replace(", ", ",\n")]
        if spaces[0].prototypes is not None:
            notes.append(f"Stars mark prototypes: the median of the {NEIGHBOURS} nearest features.")
        figure.supxlabel("\n".join(notes), fontsize=10.5)
    return figure


def _panel(axes: Axes, space: Space, chosen: Points) -> None:
    """Dots in the colour of their class, whose name is at its prototype, or at the median of its dots."""
    dots = _tsne(space.features)
    stars = _star_positions(space, dots)
    colours = [COLOURS[k % len(COLOURS)] for k in range(len(chosen.names))]
    anchors = np.zeros((len(colours), 2), np.float32)
    for k, colour in enumerate(colours):
        points, marker = dots[chosen.kinds == k], MARKERS[k // len(COLOURS) % len(MARKERS)]
        anchors[k] = stars[k] if len(stars) else np.median(points, axis=0)
        axes.scatter(points[:, 0], points[:, 1], s=14, marker=marker, color=colour, alpha=0.7, linewidths=0)
    if len(stars):
        axes.scatter(
            anchors[:, 0], anchors[:, 1], s=330, marker="*", color=colours, edgecolors=TEXT_COLOUR, linewidths=1.4,
            zorder=2,
        )  # fmt: skip
    distances = (0.08, 0.14, 0.21, 0.28) if len(stars) else (0, 0.08, 0.14)
    _annotate_names(axes, anchors, [fonts.short(name) for name in chosen.names], distances)
    axes.set(xticks=[], yticks=[], xlim=(-0.1, 1.1), ylim=(-0.1, 1.1))


def _annotate_names(axes: Axes, anchors: Floats, names: Sequence[str], distances: Sequence[float]) -> None:
    """Write names near their points [K, 2], at the first position that hides neither a star nor a name."""
    occupied = [(x, y, 0.03, 0.03) for x, y in anchors] if distances[0] else []
    halo = [withStroke(linewidth=3, foreground="white")]
    arrow = {"arrowstyle": "-", "color": TEXT_COLOUR, "linewidth": 1, "shrinkA": 0, "shrinkB": 4}
    for (x, y), name in zip(anchors, names, strict=True):
        width, height = 0.01 + 0.0165 * columns(name), 0.032
        boxes = [(x + (r + width / 2) * np.cos(t), y + r * np.sin(t), width, height) for r in distances for t in ANGLES]
        box = next((box for box in boxes if _is_free(box, occupied)), boxes[0])
        occupied.append(box)
        axes.annotate(
            name, (x, y), box[:2], ha="center", va="center", weight="bold", color=TEXT_COLOUR,
            path_effects=halo, arrowprops=arrow if distances[0] else None, zorder=3,
        )  # fmt: skip


def _is_free(box: Box, occupied: Sequence[Box]) -> bool:
    """Whether a box (centre and half sizes) lies in the panel and overlaps no other."""
    x, y, width, height = box
    inside = abs(x - 0.5) + width < 0.6 and abs(y - 0.5) + height < 0.6
    return inside and all(abs(x - u) > width + w or abs(y - v) > height + h for u, v, w, h in occupied)


def _save(figure: Figure, out: Path) -> None:
    """Save with a palette of 256 colours, which makes the file three times smaller."""
    buffer = io.BytesIO()
    with fonts.unwarned(), matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png")
    with files.atomic_write(out) as temporary_path:
        Image.open(buffer).convert("RGB").quantize(256).save(temporary_path, "PNG", optimize=True)
