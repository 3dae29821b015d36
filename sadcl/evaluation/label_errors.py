"""Label errors: labels that are probably missing or wrong, by confident learning (Northcutt et al. 2021, cleanlab).

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


def suspects(probable: NDArray[np.float64], targets: NDArray[np.bool_], ignored: NDArray[np.bool_]) -> list[Suspect]:
    """Find probable label errors, the most certain first.

    A label is suspected when the model gives its opposite a higher probability than photos with that opposite have on
    average (cleanlab's ``confident_learning``). Suspects are ranked by the probability of the label as it is
    (``self_confidence``), which calibration makes comparable between classes.

    Args:
        probable: calibrated, out-of-sample scores [N, C].
        targets: [N, C], present or absent.
        ignored: [N, C], neither present nor absent; never suspected.
    """
    labels = np.where(ignored, probable > 0.5, targets)  # ignored entries agree with the model, so none is suspected
    usable = np.flatnonzero(labels.any(axis=0) & ~labels.all(axis=0))  # the method needs present and absent labels
    if not len(usable):
        return []
    flagged, quality = _cleanlab(labels[:, usable], probable[:, usable])
    rows, columns = np.nonzero(flagged & ~ignored[:, usable])
    order = np.lexsort((columns, rows, quality[rows, columns]))
    pairs = [(int(rows[i]), int(usable[columns[i]])) for i in order]
    return [Suspect(i, j, bool(targets[i, j]), float(probable[i, j])) for i, j in pairs]


def list_suspects(scored: Sequence[Scores], model: str, files: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """List the most certain suspects as rows of a table, by the names in ``COLUMNS``.

    Args:
        scored: scores of splits outside training, each judged by itself.
        model: name of the model in the scores.
        files: file and split by image id; images that the table no longer has are left out.
    """
    entries = [
        (suspect, scores.ids[suspect.row], scores.classes[suspect.column])
        for scores in scored
        for suspect in suspects(scores.in_use(model)[0], scores.targets, scores.ignored)
    ]
    entries = [entry for entry in entries if entry[1] in files]
    entries.sort(key=lambda entry: entry[0].score if entry[0].given else 1 - entry[0].score)
    return [
        {"rank": rank, "image": image, "file": files[image][0], "split": files[image][1], "class": name,
         "given": "present" if suspect.given else "absent", "score": suspect.score,
         "verdict": WRONG if suspect.given else MISSING}
        for rank, (suspect, image, name) in enumerate(entries[:LISTED], start=1)
    ]  # fmt: skip


def write_label_errors(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the list as CSV."""
    files.write_csv(path, rows, COLUMNS)


def _cleanlab(present: NDArray[np.bool_], probable: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Flag suspected labels, and score the quality of all labels: [N, K] each."""
    from cleanlab.multilabel_classification import filter as filters
    from cleanlab.multilabel_classification import rank

    labels = indexes(present)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        issues = filters.find_multilabel_issues_per_class(labels, probable, filter_by="confident_learning", n_jobs=1)
        quality = rank.get_label_quality_scores_per_class(labels, probable, method="self_confidence")
    return np.asarray(issues, dtype=bool), np.asarray(quality)
