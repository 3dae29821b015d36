"""What a page about one version shows, as plain rows; nothing is asked for here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sadcl.registry import lineage
from sadcl.review.schemas import SHOWN, Cost, Judged, Metrics, Speed, Verdict

SORTS = {"name": "Class", "positives": "Test photos", "AP": "AP", "champion": "Champion", "change": "Change"}
"""Columns of the table of classes, by what a link calls them."""
ORDERS = ("asc", "desc")

LINEAGE = {
    "sadcl.recipe": "recipe",
    "sadcl.git": "commit",
    "sadcl.seed": "seed",
    "sadcl.device": "trained on",
    "sadcl.precision": "precision",
    "sadcl.data": "data",
    "sadcl.dvc_lock": "dvc.lock",
    "sadcl.weights": "weights",
    "sadcl.test": "test photos",
}
"""Tags of a version, in words."""


@dataclass(frozen=True)
class Estimate:
    """A figure and the ends of its 95 % interval, in percent; None where not known."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Figure:
    """A row of the table of figures: this version's, the champion's, their difference, a published one."""

    name: str
    version: Estimate
    champion: Estimate
    difference: Estimate
    published: float | None


@dataclass(frozen=True)
class SettingChange:
    """A setting that is not the champion's; None where one of them does not have it."""

    name: str
    champion: str | None
    version: str | None


def figures(verdict: Verdict | None, metrics: Metrics | None, settings: Mapping[str, Any]) -> list[Figure]:
    """Figures side by side, in the report's order.

    Args:
        verdict: of the gate, with the intervals of both models on the same images.
        metrics: the version's own figures, for those that have no interval.
        settings: its params.yaml, for the published figures; empty where not known.
    """
    intervals, own = verdict.intervals if verdict else {}, metrics.sadcl if metrics else {}
    known = published(settings).get("figures") or {}
    rows = []
    for name in SHOWN:
        found = intervals.get(name, Judged())
        version = reach(found.model) if found.model else Estimate(own.get(name))
        rows.append(Figure(name, version, reach(found.champion), reach(found.difference), known.get(name)))
    return rows


def published(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Name and figures of the publication that params.yaml names; empty where it names none."""
    return (settings.get("gate") or {}).get("published") or {}


def reach(interval: Sequence[float] | None) -> Estimate:
    """Of value, low and high as a verdict has them."""
    return Estimate(*interval) if interval else Estimate()


def number(text: str | None) -> float | None:
    """A tag as a number; None where it is none."""
    try:
        return float(text or "")
    except ValueError:
        return None


def ordered(rows: Sequence[Mapping[str, Any]], sort: str, order: str) -> list[Mapping[str, Any]]:
    """Rows of the table of classes by a column; those without a value come last either way."""
    known = [row for row in rows if row[sort] is not None]
    unknown = [row for row in rows if row[sort] is None]

    def key(row: Mapping[str, Any]) -> Any:
        return row[sort].casefold() if sort == "name" else row[sort]

    return [*sorted(known, key=key, reverse=order == "desc"), *unknown]


def changes(champion: Mapping[str, Any], version: Mapping[str, Any]) -> list[SettingChange]:
    """Settings that differ, by name; lists differ as a whole."""
    theirs, ours = lineage.flat(dict(champion)), lineage.flat(dict(version))
    names = [name for name in {**theirs, **ours} if theirs.get(name, KeyError) != ours.get(name, KeyError)]

    def shown(flat: Mapping[str, Any], name: str) -> str | None:
        return _setting(flat[name]) if name in flat else None

    return [SettingChange(name, shown(theirs, name), shown(ours, name)) for name in sorted(names)]


TIMED = ("milliseconds a photo, 19 of 20", "MiB of memory")
"""Measured in one run, when it was registered, beside who was champion then."""


def cost(version: Metrics | None, champion: Metrics | None, timed: str) -> list[tuple[str, int | None, int | None]]:
    """What the registered file costs: name, the version's, the champion's.

    Args:
        version, champion: their metrics; None where not known.
        timed: the tag of ``registry.speed``, who was champion then included; empty where nobody measured.
    """
    ours, theirs = (of.cost if of else Cost() for of in (version, champion))
    rows = [("bytes", ours.bytes, theirs.bytes), ("parameters", ours.parameters, theirs.parameters)]
    try:
        speed = Speed.model_validate_json(timed)
    except ValidationError:  # a tag is a trainer's: shown where it makes sense
        return rows
    model, rival = speed.model, speed.champion
    return [
        *rows,
        (TIMED[0], round(model.p95), round(rival.p95) if rival else None),
        (TIMED[1], round(model.peak), round(rival.peak) if rival else None),
    ]


def origin(tags: Mapping[str, str]) -> list[tuple[str, str]]:
    """What a version came from, in words and values."""
    return [(words, tags[tag]) for tag, words in LINEAGE.items() if tags.get(tag)]


def _setting(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
