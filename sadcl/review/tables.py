"""Tables of the page about a version, as plain rows; pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pydantic import ValidationError

from sadcl import files
from sadcl.review.schemas import SHOWN_METRICS, Cost, LatencyTag, MetricIntervals, Metrics, Verdict

SORTS = {"name": "Class", "positives": "Test photos", "AP": "AP", "champion": "Champion", "change": "Change"}
"""Columns of the table of classes, by their name in a link."""
ORDERS = ("asc", "desc")
ROWS = 200
"""Most classes on a page of the table."""

LINEAGE_TAGS = {
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
"""Labels of the tags that say where a version came from."""


@dataclass(frozen=True)
class Estimate:
    """A metric with its 95 % interval, in percent; None where not known."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class MetricRow:
    """A row of the table of metrics: version, champion, difference, published value."""

    name: str
    version: Estimate
    champion: Estimate
    difference: Estimate
    published: float | None


@dataclass(frozen=True)
class SettingChange:
    """A setting that differs from the champion's; None where one of them lacks it."""

    name: str
    champion: str | None
    version: str | None


def metric_rows(verdict: Verdict | None, metrics: Metrics | None, settings: Mapping[str, Any]) -> list[MetricRow]:
    """Metrics of version and champion, in the report's order.

    Args:
        verdict: the gate's, with the intervals of both models on the same images.
        metrics: the version's own, for metrics without an interval.
        settings: the version's params.yaml, for published values; empty where not known.
    """
    intervals, values = verdict.intervals if verdict else {}, metrics.sadcl if metrics else {}
    published_values = published(settings).get("figures") or {}
    rows = []
    for name in SHOWN_METRICS:
        both = intervals.get(name, MetricIntervals())
        version = estimate(both.model or [values.get(name)])
        rows.append(
            MetricRow(name, version, estimate(both.champion), estimate(both.difference), published_values.get(name))
        )
    return rows


def published(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Name and metrics of the publication in params.yaml; empty without one."""
    return (settings.get("gate") or {}).get("published") or {}


def estimate(interval: Sequence[float | None] | None) -> Estimate:
    """Convert a value, or value, lower and upper bound, as a verdict has them."""
    return Estimate(*interval) if interval else Estimate()


def parse_number(text: str | None) -> float | None:
    """A tag as a number, or None."""
    try:
        return float(text or "")
    except ValueError:
        return None


LineageRow = tuple[str, str, str | None]
"""Label, the version's value, the champion's value where it differs."""


def sort_rows(rows: Sequence[Mapping[str, Any]], sort: str, order: str) -> list[Mapping[str, Any]]:
    """Sort the table of classes by a column; rows without a value come last in both orders."""
    known = [row for row in rows if row[sort] is not None]
    unknown = [row for row in rows if row[sort] is None]

    def key(row: Mapping[str, Any]) -> Any:
        return row[sort].casefold() if sort == "name" else row[sort]

    return [*sorted(known, key=key, reverse=order == "desc"), *unknown]


@dataclass(frozen=True)
class ClassTable:
    """One page of the table of classes, and the choices that its links keep.

    Attributes:
        sort: column.
        order: ``asc`` or ``desc``.
        find: part of the names to show.
        number: of the page, from 1.
    """

    sort: str = "name"
    order: str = "asc"
    find: str = ""
    number: int = 1

    def select(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], int, int]:
        """Rows of the page, its number, and the number of pages of rows whose name contains the text.

        A number beyond the last page stands for the last one.
        """
        matches = [row for row in rows if self.find.casefold() in row["name"].casefold()]
        pages = max(1, -(-len(matches) // ROWS))
        number = min(self.number, pages)
        return sort_rows(matches, self.sort, self.order)[ROWS * (number - 1) : ROWS * number], number, pages

    def link(self, **changes: Any) -> str:
        """Address of the table with other choices; a new order or text begins at the first page."""
        chosen = {"sort": self.sort, "order": self.order, "find": self.find, "page": 1, **changes}
        shown = {name: value for name, value in chosen.items() if value not in ("", 1)}
        return f"?{urlencode(shown)}#classes"


ALL_CLASSES = ClassTable()
"""The first page of the table, by name."""


def setting_changes(champion: Mapping[str, Any], version: Mapping[str, Any]) -> list[SettingChange]:
    """Settings that differ, by name; a list counts as one value."""
    before, after = files.flatten(dict(champion)), files.flatten(dict(version))
    names = [name for name in {**before, **after} if before.get(name, KeyError) != after.get(name, KeyError)]

    def value(flat: Mapping[str, Any], name: str) -> str | None:
        return _format_setting(flat[name]) if name in flat else None

    return [SettingChange(name, value(before, name), value(after, name)) for name in sorted(names)]


CostRow = tuple[str, int | None, int | None]
"""Label, the version's value, the champion's value."""


def cost(version: Metrics | None, champion: Metrics | None, latency_tag: str) -> list[CostRow]:
    """Size and latency of the registered model.

    Args:
        version, champion: their metrics; None where not known.
        latency_tag: what ``registry.latency`` measured of both at registration; empty without a measurement.
    """
    size, champion_size = (metrics.cost if metrics else Cost() for metrics in (version, champion))
    rows: list[CostRow] = [
        ("bytes", size.bytes, champion_size.bytes),
        ("parameters", size.parameters, champion_size.parameters),
    ]
    try:
        latency = LatencyTag.model_validate_json(latency_tag)
    except ValidationError:  # trainers can write tags: an invalid one is left out
        return rows
    model, rival = latency.model, latency.champion
    return [
        *rows,
        ("p95 latency a photo, ms", round(model.p95), round(rival.p95) if rival else None),
        ("peak memory, MiB", round(model.peak), round(rival.peak) if rival else None),
    ]


def lineage_rows(tags: Mapping[str, str], champion: Mapping[str, str]) -> list[LineageRow]:
    """Labels and values of the tags that say where a version came from.

    Args:
        tags: of the version.
        champion: tags of the champion, whose value is given where it differs; empty without one.
    """
    rows = [(label, tags[tag], champion.get(tag)) for tag, label in LINEAGE_TAGS.items() if tags.get(tag)]
    return [(label, value, None if other == value else other) for label, value, other in rows]


def _format_setting(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
