"""Label errors: labels that are probably missing or wrong, by confident learning (Northcutt et al. 2021, cleanlab).

Scores must be out of sample: those of photos that the model was not trained on.
"""

import heapq
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sadcl import files
from sadcl.evaluation.scores import Scores

MISSING, WRONG = "probably missing", "probably wrong"
COLUMNS = ("rank", "image", "file", "split", "class", "given", "score", "verdict")
LISTED = 1000
"""Most suspects in the list; the further down, the more of them are correct labels."""


class Suspect(NamedTuple):
    """A label that the model contradicts.

    Attributes:
        row: index of the image.
        column: index of the class.
        given: whether the class is labelled as present.
        score: the model's probability that it is present.
    """

    row: int
    column: int
    given: bool
    score: float


def suspects(
    probable: NDArray[np.float64], targets: NDArray[np.bool_], ignored: NDArray[np.bool_]
) -> Iterator[Suspect]:
    """Find probable label errors, the most certain first.

    A label is suspected when the model gives its opposite a higher probability than photos with that opposite have on
    average (cleanlab's ``confident_learning``). Suspects are ranked by the probability of the label as it is
    (``self_confidence``), which calibration makes comparable between classes.

    Args:
        probable: calibrated, out-of-sample scores [N, C].
        targets: [N, C], present or absent.
        ignored: [N, C], neither present nor absent; never suspected.
    """
    rows, columns = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for j in range(targets.shape[1]):
        # ignored entries agree with the model, so none is suspected
        labels = np.where(ignored[:, j], probable[:, j] > 0.5, targets[:, j])
        if labels.any() and not labels.all():  # the method needs present and absent labels
            rows.append(np.flatnonzero(_contradicted(labels, probable[:, j]) & ~ignored[:, j]))
            columns.append(np.full(len(rows[-1]), j))
    row, column = np.concatenate(rows), np.concatenate(columns)
    score, present = probable[row, column], targets[row, column]
    for k in np.lexsort((column, row, np.where(present, score, 1 - score))):
        yield Suspect(int(row[k]), int(column[k]), bool(present[k]), float(score[k]))


def list_suspects(scored: Sequence[Scores], model: str, files: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """List the most certain suspects as rows of a table, by the names in ``COLUMNS``.

    Args:
        scored: scores of splits outside training, each judged by itself.
        model: name of the model in the scores.
        files: file and split by image id; images that the table no longer has are left out.
    """
    entries = heapq.merge(*(_entries(scores, model) for scores in scored), key=lambda entry: _certainty(entry[0]))
    known = (entry for entry in entries if entry[1] in files)
    return [
        {"rank": rank, "image": image, "file": files[image][0], "split": files[image][1], "class": name,
         "given": "present" if suspect.given else "absent", "score": suspect.score,
         "verdict": WRONG if suspect.given else MISSING}
        for rank, (suspect, image, name) in enumerate(islice(known, LISTED), start=1)
    ]  # fmt: skip


def _entries(scores: Scores, model: str) -> Iterator[tuple[Suspect, str, str]]:
    """Suspects of a split with the names of their image and class, the most certain first."""
    for suspect in suspects(scores.in_use(model)[0], scores.targets, scores.ignored):
        yield suspect, scores.ids[suspect.row], scores.classes[suspect.column]


def _certainty(suspect: Suspect) -> float:
    """Probability of the recorded label: the lower, the more certain is its error."""
    return suspect.score if suspect.given else 1 - suspect.score


def write_label_errors(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the list as CSV."""
    files.write_csv(path, rows, COLUMNS)


def _contradicted(labels: NDArray[np.bool_], probable: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Flag the labels of one class [N] that the model contradicts with confidence."""
    from cleanlab.filter import find_label_issues

    both = np.stack([1 - probable, probable], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flagged = find_label_issues(labels.astype(np.int64), both, filter_by="confident_learning", n_jobs=1)
    return np.asarray(flagged, dtype=bool)
