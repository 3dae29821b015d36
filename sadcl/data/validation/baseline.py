"""Baseline: statistics of the accepted data in ``data/accepted.json``, which later data is compared with."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, triu

from sadcl import files, layout
from sadcl.data.table import Table, read_table, targets
from sadcl.data.validation import drift
from sadcl.errors import SadclError
from sadcl.names import counted

MEASURES = {
    "labels": "labels a photo",
    "side": "shorter side",
    "brightness": "brightness",
    "sharpness": "sharpness",
}
"""Measures of a photo whose distributions are compared, with their names for people."""
PAIRS = 1000
"""Number of pairs of classes in a baseline, the most frequent ones."""


@dataclass(frozen=True)
class Baseline:
    """Statistics of the accepted data.

    Attributes:
        images: number of photos.
        source: folder of the source; None in a file of an earlier version.
        frequencies: fraction of photos with a class, by class.
        measures: distribution of each measure of ``MEASURES``; None in a file of an earlier version.
        together: number of photos with both classes, by pair in order of the names; None as for ``measures``.
        others: most photos with both classes of any other pair.
    """

    images: int
    source: str | None
    frequencies: Mapping[str, float]
    measures: Mapping[str, drift.Distribution] | None
    together: Mapping[tuple[str, str], int] | None
    others: int


def compute_baseline(table: Table) -> dict[str, Any]:
    """Compute the baseline of a table, as JSON holds it.

    Returns:
        Fields of ``Baseline``, and ``table``, a digest of the protocol that identifies the accepted data.
    """
    pairs = pairs_of(table.classes, co_occurrences(present_labels(table)))
    ordered = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    frequent: dict[str, dict[str, int]] = {}
    for (first, second), photos in ordered[:PAIRS]:
        frequent.setdefault(first, {})[second] = photos
    return {
        "images": len(table.frame),
        "source": table.source,
        "frequencies": frequencies(table),
        "measures": {name: asdict(drift.distribution(values)) for name, values in measures(table).items()},
        "together": {"pairs": frequent, "others": max((photos for _, photos in ordered[PAIRS:]), default=0)},
        "table": files.digest_of(table.protocol),
    }


def parse_baseline(value: Any) -> Baseline | None:
    """Parse a baseline of this version or an earlier one; None where no data was accepted yet.

    Raises:
        SadclError: the value is no baseline.
    """
    if value is None:
        return None
    try:
        return _read(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise SadclError(
            "The file is not a baseline that `sadcl data accept` wrote",
            where=layout.BASELINE,
            fix="Write it again with `sadcl data accept`, or set it to `null`",
        ) from None


def measures(table: Table) -> dict[str, np.ndarray]:
    """Values of each measure of ``MEASURES``, float64 [N]; those of the pixels skip photos with a problem."""
    frame = table.frame[table.frame["problem"].isna()]
    return {
        "labels": present_labels(table).sum(axis=1).astype(float),
        "side": frame[["width", "height"]].min(axis=1).to_numpy(float),
        "brightness": frame["brightness"].to_numpy(float),
        "sharpness": frame["sharpness"].to_numpy(float),
    }


def present_labels(table: Table) -> np.ndarray:
    """Present labels, bool [N, C]; a label outside the class list is left out."""
    return _matrix(table, "labels")


def ignored_labels(table: Table) -> np.ndarray:
    """Labels that are neither present nor absent, bool [N, C]; one outside the class list is left out."""
    return _matrix(table, "ignored")


def _matrix(table: Table, column: str) -> np.ndarray:
    known = ([label for label in row if 0 <= label < len(table.classes)] for row in table.frame[column])
    return targets(known, len(table.classes))


def frequencies(table: Table) -> dict[str, float]:
    """Fraction of photos with a class, by class."""
    shares = present_labels(table).sum(axis=0) / max(len(table.frame), 1)
    return {name: round(float(share), 6) for name, share in zip(table.classes, shares, strict=True)}


def co_occurrences(labels: np.ndarray) -> csr_array:
    """Number of photos with both of two classes, sparse int64 [C, C]; the diagonal counts photos with one class.

    Args:
        labels: bool [N, C].
    """
    # sparse: of 20,000 classes a square of counts takes gigabytes, and nearly all of it is 0
    counts = csr_array(labels, dtype=np.int64)
    return csr_array(counts.T @ counts)


def pairs_of(classes: tuple[str, ...], counts: csr_array) -> dict[tuple[str, str], int]:
    """Counts [C, C] above 0, by pair of classes in order of the names."""
    upper = triu(counts, 1).tocoo()
    cells = zip(upper.row.tolist(), upper.col.tolist(), upper.data.tolist(), strict=True)
    return {(min(classes[i], classes[j]), max(classes[i], classes[j])): photos for i, j, photos in cells}


def _read(value: Any) -> Baseline:
    shares = {str(name): _number(share, 1) for name, share in value["frequencies"].items()}
    spread = value.get("measures")
    pairs = value.get("together")
    return Baseline(
        images=int(_number(value.get("images", 0))),
        source=value.get("source"),
        frequencies=shares,
        measures=None if spread is None else {name: _distribution(spread[name]) for name in MEASURES},
        together=None if pairs is None else {
            (first, second): int(_number(photos))
            for first, row in pairs["pairs"].items() for second, photos in row.items()
        },
        others=0 if pairs is None else int(_number(pairs["others"])),
    )  # fmt: skip


def _distribution(value: Mapping[str, Any]) -> drift.Distribution:
    values, below, upto = ([float(number) for number in value[name]] for name in ("values", "below", "upto"))
    count = int(_number(value["count"]))
    if not len(values) == len(below) == len(upto) or bool(values) != bool(count):
        raise ValueError("knots and shares differ in number")
    return drift.Distribution(count, values, below, upto)


def _number(value: Any, maximum: float = float("inf")) -> float:
    if type(value) not in (int, float) or not 0 <= value <= maximum:
        raise ValueError("not a number in its range")
    return float(value)


def accept_data() -> str:
    """Write ``data/accepted.json`` from the current table.

    Returns:
        Sentences for the user: what was accepted.

    Raises:
        SadclError: there is no table, or it is damaged.
    """
    if not layout.TABLE.exists():
        raise SadclError("There is no table to accept", where=layout.TABLE, fix="Run `dvc repro validate` first")
    table = read_table(layout.TABLE)
    files.write_json(layout.BASELINE, compute_baseline(table))
    return f"{layout.BASELINE} now describes the current data, {_contents(table)}; commit it"


def _contents(table: Table) -> str:
    """Size, rarest class and unlabelled photos of a table, for the person who accepts it."""
    counts = present_labels(table).sum(axis=0)
    classes = counted(len(table.classes), "class", "classes")
    parts = [f"{counted(len(table.frame), 'photo')} of {classes} in {table.source}"]
    if len(counts):
        rarest = int(counts.argmin())
        parts.append(f"the rarest class is {table.classes[rarest]!r} with {counts[rarest]:,}")
    blank = int((table.frame["labels"].map(len) == 0).sum())
    return ", ".join([*parts, counted(blank, "photo has no label", "photos have no label")])
