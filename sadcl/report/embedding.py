"""A drawing of label-level features in two dimensions (t-SNE), with the class prototypes.

A t-SNE can deceive: its axes say nothing, nor do the sizes of groups or the distances between them. Therefore
figures that are taken before it stand beside the drawing.
"""

import io
import warnings
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
from sadcl.progress import say
from sadcl.report import features
from sadcl.report.features import NEIGHBOURS, SEED, Floats, Points, Separation, Space
from sadcl.report.model_plots import short
from sadcl.weights import checkpoint

Box = tuple[float, float, float, float]

WIDE = 50
"""Wider vectors go through PCA before t-SNE, as its authors advise."""
COLOURS = matplotlib.color_sequences["petroff10"]
"""Told apart by colour-blind people (Petroff, arXiv 2107.02270); beyond ten classes the marks differ, too."""
MARKS = ("o", "^", "s", "D")
INK = "#111111"
ANGLES = np.radians([90, 270, 0, 180, 45, 135, 225, 315])
"""Above, below, right, left, and between."""
POINTS = 4000
"""Features of one drawing: more take long and hide each other."""
STYLE: Any = {
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 13,
    "figure.constrained_layout.use": True,
}


def draw(model: Path, shards: Path, out: Path, classes: int = 10, labels: Sequence[str] = ()) -> list[str]:
    """Draw the features of a split's photos, one for each label that a photo has.

    Args:
        model: weights of either stage, or their folder; projector and prototypes are drawn where there are any.
        shards: folder of the split.
        out: the PNG.
        classes: how many, the most frequent first.
        labels: names of classes instead.

    Returns:
        Sentences: what was drawn, what was left out, and the figures.

    Raises:
        SadclError: the head has no label-level features, the model knows other classes than the split, there is
            too little to draw, or ``out`` names no PNG.
    """
    if out.suffix.lower() != ".png":
        raise SadclError("The drawing is a PNG", where=out, fix="Give it a name that ends in .png")
    file = model / "weights.safetensors" if model.is_dir() else model
    head, split = checkpoint.read_head(file), Shards(shards)
    if tuple(head["classes"]) != split.classes:
        raise SadclError("The model knows other classes than these photos", where=file, fix="Run `dvc repro`")
    chosen = features.points(split, classes, labels, POINTS)
    about = (
        f"{len(chosen.rows):,} label-level features of {len(np.unique(chosen.rows)):,} {shards.name} photos, "
        f"{len(chosen.names)} of {len(split.classes)} classes"
    )
    spaces = features.spaces(file, split, chosen)
    say(f"t-SNE of {about}")
    found = [features.separation(space, chosen.kinds) for space in spaces]
    _save(_figure(spaces, found, chosen, about), out)
    left = f"; left out: {chosen.left}" if chosen.left else ""
    return [f"{out}: {about}{left}", *map(_words, spaces, found)]


def _words(space: Space, found: Separation) -> str:
    return f"{space.title}: {', '.join(_figures(found))}"


def _figures(found: Separation) -> list[str]:
    """The figures of one half in words."""
    own = [] if found.own is None else [f"own prototype nearest {found.own:.1%}"]
    cosines = f"cosine {found.within:.2f} within, {found.between:.2f} between labels".replace("-", "−")
    return [f"{NEIGHBOURS} nearest with the same label {found.share:.1%}", *own, cosines]


def _flat(features: Floats) -> Floats:
    """Places [P, 2] in the unit square."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # the order in which threads add their parts would show in the last digits
        if min(features.shape) > WIDE:
            features = PCA(WIDE, random_state=SEED).fit_transform(features)
        perplexity = min(30.0, (len(features) - 1) / 3)
        flat = TSNE(perplexity=perplexity, init="pca", random_state=SEED).fit_transform(features)
    low, high = flat.min(0), flat.max(0)
    places: Floats = (flat - low) / np.maximum(high - low, 1e-9)
    return places


def _stars(space: Space, flat: Floats) -> Floats:
    """Places [K, 2] of prototypes: amid the features nearest to each.

    Arranged by t-SNE together with the features, they would stand beside each other instead, since a prototype
    may be nearer to other prototypes than to any feature.
    """
    if space.prototypes is None:
        return np.zeros((0, 2), np.float32)
    near = np.argsort(-space.prototypes @ space.features.T, axis=1, kind="stable")[:, :NEIGHBOURS]
    return np.median(flat[near], axis=1)


def _figure(spaces: Sequence[Space], found: Sequence[Separation], chosen: Points, about: str) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.9 * len(spaces), 5.2), dpi=150)
        panels = figure.subplots(1, len(spaces), squeeze=False)[0]
        for axes, space, measured in zip(panels, spaces, found, strict=True):
            _panel(axes, space, chosen)
            axes.set_title(space.title, weight="bold", fontsize=14)
            axes.set_xlabel("\n".join(_figures(measured)), fontsize=12)
        notes = [about if len(spaces) > 1 else about.replace(", ", ",\n")]
        if spaces[0].prototypes is not None:
            notes.append(f"A star stands amid the {NEIGHBOURS} features nearest to a prototype.")
        figure.supxlabel("\n".join(notes), fontsize=10.5)
    return figure


def _panel(axes: Axes, space: Space, chosen: Points) -> None:
    """Dots in the class's colour, and its name at its prototype's star, or amid its dots where there is none."""
    dots = _flat(space.features)
    stars = _stars(space, dots)
    colours = [COLOURS[k % len(COLOURS)] for k in range(len(chosen.names))]
    at = np.zeros((len(colours), 2), np.float32)
    for k, colour in enumerate(colours):
        mine, mark = dots[chosen.kinds == k], MARKS[k // len(COLOURS) % len(MARKS)]
        at[k] = stars[k] if len(stars) else np.median(mine, axis=0)
        axes.scatter(mine[:, 0], mine[:, 1], s=14, marker=mark, color=colour, alpha=0.7, linewidths=0)
    if len(stars):
        axes.scatter(at[:, 0], at[:, 1], s=330, marker="*", color=colours, edgecolors=INK, linewidths=1.4, zorder=2)
    _name(axes, at, [short(name) for name in chosen.names], (0.08, 0.14, 0.21, 0.28) if len(stars) else (0, 0.08, 0.14))
    axes.set(xticks=[], yticks=[], xlim=(-0.1, 1.1), ylim=(-0.1, 1.1))


def _name(axes: Axes, at: Floats, names: Sequence[str], far: Sequence[float]) -> None:
    """Write names near their points [K, 2], at the first place where they hide neither a star nor a name."""
    taken = [(x, y, 0.03, 0.03) for x, y in at] if far[0] else []
    halo = [withStroke(linewidth=3, foreground="white")]
    line = {"arrowstyle": "-", "color": INK, "linewidth": 1, "shrinkA": 0, "shrinkB": 4} if far[0] else None
    for (x, y), name in zip(at, names, strict=True):
        width, height = 0.01 + 0.0165 * len(name), 0.032
        boxes = [(x + (r + width / 2) * np.cos(t), y + r * np.sin(t), width, height) for r in far for t in ANGLES]
        box = next((box for box in boxes if _free(box, taken)), boxes[0])
        taken.append(box)
        axes.annotate(
            name, (x, y), box[:2], ha="center", va="center", weight="bold", color=INK,
            path_effects=halo, arrowprops=line, zorder=3,
        )  # fmt: skip


def _free(box: Box, taken: Sequence[Box]) -> bool:
    """A box (middle and half sizes) lies in the panel and on no other."""
    x, y, width, height = box
    inside = abs(x - 0.5) + width < 0.6 and abs(y - 0.5) + height < 0.6
    return inside and all(abs(x - u) > width + w or abs(y - v) > height + h for u, v, w, h in taken)


def _save(figure: Figure, out: Path) -> None:
    """As a palette of 256 colours, a third of the size: dots have few colours."""
    drawn = io.BytesIO()
    with warnings.catch_warnings(), matplotlib.rc_context(STYLE):
        # a name in a script that matplotlib's own font lacks is shown as boxes, which is no reason to fail
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure.savefig(drawn, format="png")
    with files.atomic_write(out) as beside:
        Image.open(drawn).convert("RGB").quantize(256).save(beside, "PNG", optimize=True)
