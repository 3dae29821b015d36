"""Photos for the report: the best and the worst of a split, with the attention maps of their labels."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import save_file

from sadcl import bounded_json, files
from sadcl.errors import SadclError
from sadcl.evaluation.blocks import row_blocks
from sadcl.evaluation.scores import Scores

MAX_PHOTOS = 6
"""Most photos among the best, and among the worst."""
MAX_TRUE, MAX_WRONG = 8, 4
"""Most true and most wrong labels of a photo that have a map; the most likely ones."""
BEST, WORST = "best", "worst"
KEY = "sadcl"
"""Entry of the file's metadata."""

Maps = NDArray[np.float32]


@dataclass(frozen=True)
class ShownPhoto:
    """A photo and the labels to show with it.

    Attributes:
        row: of the photo in the scores.
        group: ``BEST`` or ``WORST``.
        true: numbers of its true classes, the most likely first.
        wrong: numbers of absent classes above their thresholds, the most likely first.
        maps: attention maps of ``mapped`` classes [K, h, w], not negative; None where the head has none.
    """

    row: int
    group: str
    true: tuple[int, ...]
    wrong: tuple[int, ...]
    maps: Maps | None = None

    @property
    def mapped(self) -> tuple[int, ...]:
        """Classes that have a map, in the order of ``maps``."""
        return self.true[:MAX_TRUE] + self.wrong[:MAX_WRONG]


def choose(scored: Scores, name: str) -> list[ShownPhoto]:
    """Choose the labelled photos with the lowest and the highest mean log loss; none is in both groups.

    Args:
        scored: scores, targets and ignored labels of a split, which is not empty.
        name: of the model in the scores.

    Returns:
        The worst photos, the worst first, then the best, the best first; without maps.
    """
    own = replace(scored, logits={name: scored.logits[name]}, slices={})
    loss = np.concatenate([
        _mean_log_loss(own.part(np.arange(rows.start, rows.stop)), name)
        for rows in row_blocks(len(own), len(own.classes))
    ])  # fmt: skip
    labelled = np.flatnonzero(own.targets.any(1))
    order = labelled[np.argsort(loss[labelled], kind="stable")]
    best = order[: min(MAX_PHOTOS, (len(order) + 1) // 2)]
    worst = order[len(best) :][::-1][:MAX_PHOTOS]
    chosen = np.concatenate([worst, best])
    groups = [WORST] * len(worst) + [BEST] * len(best)
    probabilities, predicted = own.part(chosen).in_use(name)
    return [
        _with_labels(own, int(row), group, probabilities[i], predicted[i])
        for i, (row, group) in enumerate(zip(chosen, groups, strict=True))
    ]


def _mean_log_loss(scored: Scores, name: str) -> NDArray[np.float64]:
    """Mean log loss of each photo's known labels [N], by the probabilities in use."""
    probabilities = scored.in_use(name)[0]
    likelihood = np.where(scored.targets, probabilities, 1 - probabilities).clip(1e-9)
    known = ~scored.ignored
    loss: NDArray[np.float64] = -(np.log(likelihood) * known).sum(1) / known.sum(1).clip(1)
    return loss


def _with_labels(
    scored: Scores, row: int, group: str, probabilities: NDArray[np.float64], predicted: NDArray[np.bool_]
) -> ShownPhoto:
    targets, ignored = scored.targets[row], scored.ignored[row]
    order = np.argsort(-probabilities, kind="stable").tolist()
    true = tuple(j for j in order if targets[j])
    wrong = tuple(j for j in order if predicted[j] and not targets[j] and not ignored[j])
    return ShownPhoto(row, group, true, wrong)


def with_maps(photos: Sequence[ShownPhoto], attention: Callable[[int], Maps | None]) -> list[ShownPhoto]:
    """Add the attention maps of each photo's labels.

    Args:
        photos: as ``choose`` returns them.
        attention: maps of all classes [C, h, w] of the photo of a row, or None where the head has none.
    """
    return [
        photo if (maps := attention(photo.row)) is None else replace(photo, maps=maps[list(photo.mapped)])
        for photo in photos
    ]


def write(path: Path, photos: Sequence[ShownPhoto]) -> None:
    """Write photos and maps: maps as tensors, named by their rows, the rest as JSON in the metadata."""
    described = [{"row": photo.row, "group": photo.group, "true": photo.true, "wrong": photo.wrong} for photo in photos]
    maps = {str(photo.row): np.ascontiguousarray(photo.maps) for photo in photos if photo.maps is not None}
    with files.atomic_write(path) as temporary_path:
        save_file(maps, temporary_path, {KEY: json.dumps(described)})


def read(path: Path) -> list[ShownPhoto]:
    """Read what ``write`` wrote.

    Raises:
        SadclError: the file is missing, damaged or foreign.
    """
    fix = "Run `dvc repro -f evaluate`; `sadcl init` updates the dvc.yaml of an earlier version"
    try:
        with safetensors.safe_open(path, framework="np") as file:
            described = bounded_json.parse((file.metadata() or {})[KEY])
            photos = [_parse(entry) for entry in described]
            names = set(file.keys())
            return [replace(photo, maps=_maps(file, photo)) if str(photo.row) in names else photo for photo in photos]
    except FileNotFoundError:
        raise SadclError("The file is missing", where=path, fix=fix) from None
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SadclError(f"The photos to show can't be read: {error}", where=path, fix=fix) from None


def _parse(entry: Any) -> ShownPhoto:
    row, group = int(entry["row"]), entry["group"]
    true, wrong = (tuple(map(int, entry[name])) for name in ("true", "wrong"))
    if group not in (BEST, WORST) or min(row, *true, *wrong) < 0:
        raise ValueError(f"an entry is {str(entry)[:100]}")
    return ShownPhoto(row, group, true, wrong)


def _maps(file: Any, photo: ShownPhoto) -> Maps:
    maps: Maps = file.get_tensor(str(photo.row))
    if maps.ndim != 3 or len(maps) != len(photo.mapped):
        raise ValueError(f"the maps of row {photo.row} have the shape {maps.shape}")
    return maps
