"""What people accepted last, as ``data/accepted.json`` keeps it: enough to compare with, no rows."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sadcl import files, layout
from sadcl.data.table import Table, targets
from sadcl.data.validation import drift
from sadcl.errors import SadclError

MEASURES = {
    "labels": "labels a photo",
    "side": "shorter side",
    "brightness": "brightness",
    "sharpness": "sharpness",
}
"""What is compared photo by photo, and its words."""
PAIRS = 1000
"""Pairs of classes that are kept, the most frequent ones."""


@dataclass(frozen=True)
class Baseline:
    """The data that people accepted.

    Attributes:
        images: how many photos.
        source: its folder, or None in a file from before it was noted.
        frequencies: by class, the share of photos that show it.
        measures: by name (``MEASURES``), how it is spread; None in a file from before this was kept.
        together: by two classes in the order of their names, how many photos show both; None as above.
        others: how many photos show both of any other two classes, at most.
    """

    images: int
    source: str | None
    frequencies: Mapping[str, float]
    measures: Mapping[str, drift.Distribution] | None
    together: Mapping[tuple[str, str], int] | None
    others: int


def accept(table: Table) -> dict[str, Any]:
    """What later data is held against; see ``Baseline``.

    ``table`` is a digest of the protocol, so that a person sees which data was accepted.
    """
    pairs = pairs_of(table.classes, together(present(table)))
    ordered = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    kept: dict[str, dict[str, int]] = {}
    for (one, other), photos in ordered[:PAIRS]:
        kept.setdefault(one, {})[other] = photos
    return {
        "images": len(table.frame),
        "source": table.source,
        "frequencies": frequencies(table),
        "measures": {name: asdict(drift.distribution(values)) for name, values in measures(table).items()},
        "together": {"pairs": kept, "others": max((photos for _, photos in ordered[PAIRS:]), default=0)},
        "table": files.digest_of(table.protocol),
    }


def parse_baseline(value: Any) -> Baseline | None:
    """Read what ``accept`` made, now or in an older version; None where nothing was accepted yet.

    Raises:
        SadclError: it is something else.
    """
    if value is None:
        return None
    try:
        return _read(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise SadclError(
            "The accepted data is not what `sadcl data accept` writes",
            where="data/accepted.json",
            fix="Write it again with `sadcl data accept`, or make it `null`",
        ) from None


def measures(table: Table) -> dict[str, np.ndarray]:
    """By name (``MEASURES``), a number a photo; how a photo looks is known of those without a problem."""
    frame = table.frame[table.frame["problem"].isna()]
    return {
        "labels": present(table).sum(axis=1).astype(float),
        "side": frame[["width", "height"]].min(axis=1).to_numpy(float),
        "brightness": frame["brightness"].to_numpy(float),
        "sharpness": frame["sharpness"].to_numpy(float),
    }


def present(table: Table) -> np.ndarray:
    """Targets, bool [N, C]; a label outside the class list counts for none."""
    known = ([label for label in row if 0 <= label < len(table.classes)] for row in table.frame["labels"])
    return targets(known, len(table.classes))


def frequencies(table: Table) -> dict[str, float]:
    """By class, the share of photos that show it."""
    shares = present(table).sum(axis=0) / max(len(table.frame), 1)
    return {name: round(float(share), 6) for name, share in zip(table.classes, shares, strict=True)}


def together(labels: np.ndarray) -> np.ndarray:
    """How many photos show two classes, int64 [C, C]; the diagonal has those that show one."""
    dense = labels.astype(np.float32)
    return np.asarray(dense.T @ dense).round().astype(np.int64)


def pairs_of(classes: tuple[str, ...], counts: np.ndarray) -> dict[tuple[str, str], int]:
    """Of counts [C, C], those of two classes that some photo shows together; names in order."""
    ones, others = np.nonzero(np.triu(counts, 1))
    found = zip(ones.tolist(), others.tolist(), counts[ones, others].tolist(), strict=True)
    return {(min(classes[i], classes[j]), max(classes[i], classes[j])): photos for i, j, photos in found}


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
            (one, other): int(_number(photos))
            for one, row in pairs["pairs"].items() for other, photos in row.items()
        },
        others=0 if pairs is None else int(_number(pairs["others"])),
    )  # fmt: skip


def _distribution(value: Mapping[str, Any]) -> drift.Distribution:
    values, below, upto = ([float(number) for number in value[name]] for name in ("values", "below", "upto"))
    count = int(_number(value["count"]))
    if not len(values) == len(below) == len(upto) or bool(values) != bool(count):
        raise ValueError("knots and shares do not go together")
    return drift.Distribution(count, values, below, upto)


def _number(value: Any, most: float = float("inf")) -> float:
    if type(value) not in (int, float) or not 0 <= value <= most:
        raise ValueError("not a number of photos, or not a share")
    return float(value)


def accept_data() -> str:
    """Write ``data/accepted.json`` from the present table."""
    from sadcl.data import table
    from sadcl.data.validation import baseline

    if not layout.TABLE.exists():
        raise SadclError("There is no table to accept", where=layout.TABLE, fix="Run `dvc repro validate` first")
    files.write_json(layout.BASELINE, baseline.accept(table.read_table(layout.TABLE)))
    return f"{layout.BASELINE} now describes the present data; commit it"
