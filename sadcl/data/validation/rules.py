"""The rules that data must keep, and their words for people.

Each rule is a built-in expectation over a frame made from the annotation table: ``images`` (a row an
image), ``learnt`` (a row an image of train or select), ``labels`` (a row a label), ``classes`` (a row a class
and split), and three that stand beside the last accepted data: ``accepted`` (a row a class), ``measures`` (a row
a measure of photos) and ``together`` (a row a pair of classes).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sadcl import params
from sadcl.data.table import SPLITS, Table
from sadcl.data.validation.baseline import MEASURES, Baseline

INDEX = {
    "images": ["image_id", "file"],
    "learnt": ["image_id", "file"],
    "labels": ["image_id", "file"],
    "classes": ["class", "split"],
    "accepted": ["class", "before", "now"],
    "measures": ["name", "before", "now"],
    "together": ["pair", "before", "now"],
}
"""By frame, the columns that say which row it is."""

ACCEPT = "If the new data is right, run `sadcl data accept`"


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: short, the same from run to run.
        says: what holds when it is kept, as a sentence without a full stop.
        frame: the frame it looks at.
        expectation: Great Expectations' name for it.
        bounds: its arguments; ``only`` restricts it to the rows with a value in a column, as (column, value).
        shows: names a broken row, from its index columns and the judged column.
        advice: what to do when it is broken.
        excuse: why it is not applicable; empty when it is.
    """

    name: str
    says: str
    frame: str
    expectation: str
    bounds: Mapping[str, Any]
    shows: Callable[[dict[str, Any]], str] = lambda row: f"{row['image_id']} ({row['file']})"
    advice: str = ""
    excuse: str = ""
    severity: str = field(default="critical", kw_only=True)


def rules(table: Table, settings: params.Validate, accepted: Baseline | None) -> list[Rule]:
    """All rules for a table, in the order of the report."""
    needed = {str(split): count for split, count in settings.min_positives.items()}
    empty = {split: "" if len(table.split(split)) else f"{split} has no photos" for split in SPLITS}
    return [
        Rule("photos in train and test", "Both train and test have photos", "images",
             "ExpectColumnDistinctValuesToContainSet", {"column": "split", "value_set": ["train", "test"]},
             lambda row: f"{row['missing']} has none", "Check ingest.annotations"),
        Rule("ids unique", "Each image has an id of its own", "images",
             "ExpectColumnValuesToBeUnique", {"column": "image_id"}),
        Rule("files unique", "Each file stands for one image", "images",
             "ExpectColumnValuesToBeUnique", {"column": "file"}),
        Rule("files readable", "Each file is there and can be decoded", "images",
             "ExpectColumnValuesToBeNull", {"column": "problem"},
             lambda row: f"{row['image_id']} ({row['file']}: {row['problem'].rstrip('.')})",
             "Mend or remove these files, with their annotations"),
        Rule("sides", f"The shorter side of each photo is at least {settings.min_side} px", "images",
             "ExpectColumnValuesToBeBetween", {"column": "short_side", "min_value": settings.min_side},
             lambda row: f"{row['image_id']} ({row['file']}: {row['short_side']:.0f} px)"),
        Rule("no photo in two splits", "No photo stands in two splits, by its content", "images",
             "ExpectColumnValuesToBeNull", {"column": "twin"},
             lambda row: f"{row['image_id']} ({row['file']}; also {row['twin']})", "Remove one of each"),
        _apart(settings.max_near_duplicates, "" if (table.frame["split"] != "test").any() else "there are none"),
        Rule("labels known", "Each label is in the class list", "labels",
             "ExpectColumnValuesToBeBetween", {"column": "label", "min_value": 0, "max_value": len(table.classes) - 1},
             lambda row: f"{row['image_id']} ({row['file']}: class number {row['label']:.0f})"),
        *(_labelled(split, settings.max_unlabelled, excuse) for split, excuse in empty.items()),
        *(_positives(split, needed.get(split, 0), excuse) for split, excuse in empty.items()),
        *_steady(table, settings, accepted),
    ]  # fmt: skip


def _labelled(split: str, most: float, excuse: str) -> Rule:
    # rounding makes 1 - 0.7 the same number as 3 / 10, so that a share exactly at its bound is within it
    bounds = {"column": "labels", "min_value": 1, "mostly": round(1 - most, 12), "only": ("split", split)}
    says = (
        f"At most {most:.2%} of the photos in {split} have no label" if most else f"Each photo in {split} has a label"
    )
    return Rule(f"labelled in {split}", says, "images", "ExpectColumnValuesToBeBetween", bounds, excuse=excuse)


def _positives(split: str, needed: int, excuse: str) -> Rule:
    photos = "photo" if needed == 1 else "photos"
    return Rule(
        f"enough positives in {split}", f"Each class has at least {needed:,} {photos} in {split}", "classes",
        "ExpectColumnValuesToBeBetween", {"column": "positives", "min_value": needed, "only": ("split", split)},
        lambda row: f"{row['class']} ({row['positives']:.0f})",
        f"Add photos of these classes, or lower validate.min_positives.{split}", excuse,
    )  # fmt: skip


def _apart(most: float, excuse: str) -> Rule:
    return Rule(
        "no near-duplicate in test", f"At most {most:.2%} of the photos in train and select look like a photo in test",
        "learnt", "ExpectColumnValuesToBeNull", {"column": "near", "mostly": round(1 - most, 12)},
        lambda row: f"{row['image_id']} ({row['file']}; nearly {row['near']})",
        "Remove one of each, or raise validate.max_near_duplicates", excuse,
    )  # fmt: skip


def _steady(table: Table, settings: params.Validate, accepted: Baseline | None) -> list[Rule]:
    """What is held against the accepted data; each leaves out what chance explains (sadcl/data/validation/drift.py)."""
    excuse = "no data was accepted yet"
    if accepted is not None:
        other = accepted.source or table.source
        excuse = f"the accepted data is that of another source, {other}" if other != table.source else ""
    newer, bounds = excuse, {str(name): bound for name, bound in settings.max_drift.items()}
    if accepted is not None and accepted.measures is None:
        newer = excuse or "it was not yet noted when the data was accepted (`sadcl data accept` notes it)"
    return [
        Rule("classes as accepted", "The classes are those of the accepted data", "accepted",
             "ExpectColumnValuesToBeNull", {"column": "change"},
             lambda row: f"{row['class']} ({row['change']})", ACCEPT, excuse),
        Rule("frequencies as accepted",
             f"The frequency of each class moved by at most {settings.max_shift:.0%} since the data was accepted",
             "accepted", "ExpectColumnValuesToBeBetween", {"column": "shift", "max_value": settings.max_shift},
             lambda row: f"{row['class']} ({row['before']:.2%} of photos before, {row['now']:.2%} now)",
             ACCEPT, excuse),
        Rule("pairs as accepted",
             "The overlap of each two classes (photos with both among photos with either) moved by at most "
             f"{100 * settings.max_overlap_shift:g} points since the data was accepted",
             "together", "ExpectColumnValuesToBeBetween", {"column": "shift", "max_value": settings.max_overlap_shift},
             lambda row: f"{row['pair']} ({row['before']:.1%} before, {row['now']:.1%} now)", ACCEPT, newer),
        *(_spread(name, bounds.get(name), newer) for name in MEASURES),
    ]  # fmt: skip


def _spread(name: str, most: float | None, excuse: str) -> Rule:
    words = MEASURES[name]
    bound = "" if most is None else f" by at most {most:g} (Kolmogorov-Smirnov distance)"
    return Rule(
        f"{words} as accepted", f"The distribution of {words} moved{bound} since the data was accepted", "measures",
        "ExpectColumnValuesToBeBetween", {"column": "moved", "max_value": most, "only": ("measure", name)},
        lambda row: f"{row['name']} (by {row['moved']:.2f}; its median was {row['before']:g} and is {row['now']:g})",
        ACCEPT, excuse or ("" if most is not None else f"validate.max_drift has no bound for {name}"),
    )  # fmt: skip
