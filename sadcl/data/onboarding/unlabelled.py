"""Meaning of photos without labels: none of the classes, or not labelled yet."""

from pathlib import Path
from typing import Literal

from sadcl.data import sources
from sadcl.data.onboarding.questions import Options, Question

FEW = 0.05
"""Largest part of the photos that may lack labels without a question."""
LEAST = 3
"""Least number of photos without labels for a question."""
MANY = 0.5
"""Largest part of the rows of a list that may be blank without a question: in a list, blank is documented."""
TAIL = 5
"""Least number of blank rows at the end of a list that look like labelling that stopped there."""
LISTS = ("csv", "parquet", "jsonl", "rows")
MEANINGS: dict[str, bool | Literal["unknown"]] = {"negative": True, "unknown": "unknown", "drop": False}
"""Answers, and the value of ``ingest.keep_unlabelled`` for each."""
_TEXTS = {
    "negative": "they show none of the classes",
    "unknown": "they are not labelled yet: keep them, without effect on losses and metrics",
    "drop": "they are not labelled yet: drop them",
}


def meaning_of(keep: bool | Literal["unknown"], photos: int) -> str:
    """Treatment of photos without labels, by the value of ``ingest.keep_unlabelled``."""
    they, verb, be = ("it", "counts", "is") if photos == 1 else ("they", "count", "are")
    if keep == "unknown":
        return f"{they} {verb} as not labelled yet: losses and metrics leave {'it' if photos == 1 else 'them'} out"
    return f"{they} {verb} as showing none of the classes" if keep else f"{they} {be} dropped"


def keep_unlabelled(
    source: sources.Source, kind: str, blank: int | None, options: Options, where: Path
) -> bool | Literal["unknown"] | None:
    """Value of ``ingest.keep_unlabelled``; None where nothing decides it.

    Args:
        source: the annotations.
        kind: of the format.
        blank: number of rows with blank labels, None where absence is written down (0).
        options: what the user has decided, and who answers the rest.
        where: the source, for the question.

    Raises:
        SadclError: photos without labels are many, and the question stays open.
    """
    without = [image.file for image in source.images if not image.labels and not image.ignored]
    answer: str | None = options.unlabelled
    if answer is None:
        tail = _is_tail(source)
        if not _is_doubtful(source, len(without), kind, blank, tail):
            return None
        order = ("unknown", "drop", "negative") if tail or len(without) == len(source.images) else _TEXTS
        problem = f"{len(without):,} of {len(source.images):,} photos have no label"
        if len(without) == len(source.images):
            problem += "; some tools leave them out of some formats, as CVAT leaves tags out of COCO"
        elif tail:
            problem += ", all at the end of the list, as if labelling had stopped there"
        choices = tuple((name, _TEXTS[name]) for name in order)
        *others, last = order
        option = f"--unlabelled {', '.join(others)} or {last}"
        answer = options.ask(Question(problem, choices, option, where))
    return MEANINGS[answer]


def _is_doubtful(source: sources.Source, without: int, kind: str, blank: int | None, tail: bool) -> bool:
    share = without / len(source.images)
    if without < LEAST or share <= FEW or blank is None:
        return False
    if kind not in LISTS:
        return True
    return tail or (share > MANY and without >= TAIL and len(source.classes) > 1)


def _is_tail(source: sources.Source) -> bool:
    """Whether the photos without labels are the last ones, in the order of the annotations."""
    labelled = [bool(image.labels or image.ignored) for image in source.images]
    without = labelled.count(False)
    last = labelled[::-1].index(True) if True in labelled else 0
    return last >= TAIL and last >= 0.8 * without
