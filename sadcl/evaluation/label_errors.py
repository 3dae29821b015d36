"""Labels that are probably missing or probably wrong, by confident learning (Northcutt et al. 2021, through cleanlab).

Scores must be out of sample: those of photos that the model was not trained on.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sadcl import files
from sadcl.evaluation.scores import Scores, indexes

MISSING, WRONG = "probably missing", "probably wrong"
COLUMNS = ("rank", "image", "file", "split", "class", "given", "score", "verdict")
LISTED = 1000
"""Suspects in the list, at most; the further down, the more of them are right as they stand."""


class Suspect(NamedTuple):
    """An entry of the labels that the model contradicts.

    Attributes:
        row, column: its image and class.
        given: whether the label says that the class is present.
        score: the probability that it is, by the model.
    """

    row: int
    column: int
    given: bool
    score: float


def suspects(probable: NDArray[np.float64], targets: NDArray[np.bool_], ignored: NDArray[np.bool_]) -> list[Suspect]:
    """Find what stands wrong in the labels, the surest first.

    An entry is suspected when the model is surer of the other value than it is on average of photos that have it
    (cleanlab's ``confident_learning``), and ranked by the probability of the value that is given
    (``self_confidence``): of calibrated scores this order is the same for all classes.

    Args:
        probable: calibrated, out-of-sample scores [N, C].
        targets: [N, C], present or absent.
        ignored: [N, C], neither present nor absent; never suspected.
    """
    given = np.where(ignored, probable > 0.5, targets)  # what is ignored agrees with the model
    known = np.flatnonzero(given.any(axis=0) & ~given.all(axis=0))  # without both kinds there is nothing to learn from
    if not len(known):
        return []
    flagged, quality = _cleanlab(given[:, known], probable[:, known])
    rows, places = np.nonzero(flagged & ~ignored[:, known])
    order = np.lexsort((places, rows, quality[rows, places]))
    found = [(int(rows[i]), int(known[places[i]])) for i in order]
    return [Suspect(i, j, bool(targets[i, j]), float(probable[i, j])) for i, j in found]


def listed(scored: Sequence[Scores], model: str, files: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """The first suspects as rows for a table; see ``COLUMNS``.

    Args:
        scored: of splits that the model did not see in training, each judged by itself.
        model: whose scores.
        files: file and split by image id; images without one stand nowhere any more and are left out.
    """
    found = [
        (one, scores.ids[one.row], scores.classes[one.column])
        for scores in scored
        for one in suspects(scores.in_use(model)[0], scores.targets, scores.ignored)
    ]
    found = [each for each in found if each[1] in files]
    found.sort(key=lambda each: each[0].score if each[0].given else 1 - each[0].score)
    return [
        {"rank": rank, "image": image, "file": files[image][0], "split": files[image][1], "class": name,
         "given": "present" if one.given else "absent", "score": one.score,
         "verdict": WRONG if one.given else MISSING}
        for rank, (one, image, name) in enumerate(found[:LISTED], start=1)
    ]  # fmt: skip


def write_label_errors(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the list as CSV."""
    files.write_csv(path, rows, COLUMNS)


def _cleanlab(given: NDArray[np.bool_], probable: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Which entries are suspected, and the quality of all of them: [N, K] each."""
    from cleanlab.multilabel_classification import filter as filters
    from cleanlab.multilabel_classification import rank

    labels = indexes(given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        issues = filters.find_multilabel_issues_per_class(labels, probable, filter_by="confident_learning", n_jobs=1)
        quality = rank.get_label_quality_scores_per_class(labels, probable, method="self_confidence")
    return np.asarray(issues, dtype=bool), np.asarray(quality)
