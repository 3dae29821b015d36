"""Validation rules of the data, with their statements for people.

Each rule is a built-in expectation over a frame: ``images`` (a row per image), ``learnt`` (a row per image of train or
select), ``tests`` (a row per image of test), ``labels`` (a row per label), ``classes`` (a row per class and split), and
three frames that compare with the baseline: ``accepted`` (a row per class), ``measures`` (a row per measure of photos)
and ``together`` (a row per pair of classes).
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
    "tests": ["image_id", "file"],
    "labels": ["image_id", "file"],
    "classes": ["class", "split"],
    "accepted": ["class", "before", "now"],
    "measures": ["name", "before", "now"],
    "together": ["pair", "before", "now"],
}
"""Columns that identify a row, by frame."""

ACCEPT = "If the new data is correct, run `sadcl data accept`"


def _photo(row: dict[str, Any], fact: str = "", mark: str = ": ") -> str:
    """A photo with a fact about it; its file is named once where the id is the file."""
    name, file = row["image_id"], row["file"]
    more = [*([file] if name != file else []), *([fact] if fact else [])]
    return f"{name} ({mark.join(more)})" if more else str(name)


@dataclass(frozen=True)
class Rule:
    """A validation rule.

    Attributes:
        name: short and stable, the key in reports.
        statement: what holds for data that passes, as a sentence without a full stop.
        frame: name of the frame that it checks.
        expectation: class of Great Expectations.
        bounds: its arguments; ``only`` restricts it to the rows with a value in a column, as (column, value).
        describe_row: text for a failed row, from its index columns and the checked column.
        advice: what to do when the rule fails.
        excuse: why the rule is not applicable; empty where it is.
        severity: ``critical`` where a failure stops the pipeline, else ``warning``.
    """

    name: str
    statement: str
    frame: str
    expectation: str
    bounds: Mapping[str, Any]
    describe_row: Callable[[dict[str, Any]], str] = _photo
    advice: str = ""
    excuse: str = ""
    severity: str = field(default="critical", kw_only=True)


def rules(table: Table, settings: params.Validate, accepted: Baseline | None) -> list[Rule]:
    """All rules for a table, in the order of the report.

    Args:
        table: the annotation table.
        settings: the bounds.
        accepted: the baseline; None where no data was accepted yet.
    """
    needed = {str(split): count for split, count in settings.min_positives.items()}
    others = (table.frame["split"] != "test").any()
    labelled = bool(table.split("train")["labels"].map(len).sum())
    empty = {split: "" if len(table.split(split)) else f"{split} has no photos" for split in SPLITS}
    return [
        Rule("photos in train and test", "Both train and test have photos", "images",
             "ExpectColumnDistinctValuesToContainSet", {"column": "split", "value_set": ["train", "test"]},
             lambda row: f"{row['missing']} has none", "Check ingest.annotations"),
        Rule("ids unique", "Each image has a unique id", "images",
             "ExpectColumnValuesToBeUnique", {"column": "image_id"}),
        Rule("files unique", "Each file belongs to one image", "images",
             "ExpectColumnValuesToBeUnique", {"column": "file"}),
        Rule("files readable", "Each file exists and can be decoded", "images",
             "ExpectColumnValuesToBeNull", {"column": "problem"},
             lambda row: _photo(row, row["problem"].rstrip(".")),
             "Repair these files, or remove them with their annotations"),
        Rule("sides", f"The shorter side of each photo is at least {settings.min_side} px", "images",
             "ExpectColumnValuesToBeBetween", {"column": "short_side", "min_value": settings.min_side},
             lambda row: _photo(row, f"{row['short_side']:.0f} px")),
        Rule("no photo in two splits", "No two splits share a photo with the same content", "images",
             "ExpectColumnValuesToBeNull", {"column": "twin"},
             lambda row: _photo(row, f"also {row['twin']}", "; "), "Remove one of each"),
        _look_alikes("learnt", settings.max_near_duplicates, "" if others else "train and select have no photos"),
        _look_alikes("tests", settings.max_near_duplicates, empty["test"]),
        Rule("labels known", "Each label is in the class list", "labels",
             "ExpectColumnValuesToBeBetween", {"column": "label", "min_value": 0, "max_value": len(table.classes) - 1},
             lambda row: _photo(row, f"class number {row['label']:.0f}"),
             excuse="" if table.classes else "there is no class"),
        *(_labelled(split, settings.max_unlabelled, excuse) for split, excuse in empty.items()),
        Rule("classes", "There is a class to learn", "classes", "ExpectTableRowCountToBeBetween", {"min_value": 1},
             advice="Check ingest.annotations"),
        _positives_in_train(needed.get("train", 0), labelled, empty["train"]),
        _negatives_in_train(len(table.split("train")), empty["train"]),
        *(_positives(split, needed.get(split, 0), empty[split]) for split in ("select", "test")),
        *_compared(table, settings, accepted),
    ]  # fmt: skip


def _labelled(split: str, maximum: float, excuse: str) -> Rule:
    # rounded, because 1 - 0.7 is not 3 / 10 in floating point: a share exactly at its bound has to pass
    bounds = {"column": "labels", "min_value": 1, "mostly": round(1 - maximum, 12), "only": ("split", split)}
    statement = (
        f"At most {maximum:.2%} of the photos in {split} have no label"
        if maximum
        else f"Each photo in {split} has a label"
    )
    return Rule(f"labelled in {split}", statement, "images", "ExpectColumnValuesToBeBetween", bounds, excuse=excuse)


def _positives_in_train(needed: int, labelled: bool, excuse: str) -> Rule:
    """Rule that a class can be learnt; no setting lowers its bound below one photo."""
    advice = "Add photos of these classes to train, or remove the classes from the annotations"
    if needed > 1:
        advice += "; validate.min_positives.train is the bound, at least 1"
    if not labelled:
        advice = (
            "No photo in train has a label, so there is nothing to learn: label photos, or check ingest.annotations"
        )
    return _class_rule("enough positives in train", max(needed, 1), "positives", "has", "train", advice, excuse)


def _negatives_in_train(photos: int, excuse: str) -> Rule:
    """Rule that a class can be told from others; no setting switches it off."""
    advice = (
        f"A label without a counterexample among the {photos:,} photos of train can't be learnt. Add photos without "
        "these classes, or remove the classes from the annotations"
    )
    return _class_rule("negatives in train", 1, "negatives", "is absent from", "train", advice, excuse)


def _positives(split: str, needed: int, excuse: str) -> Rule:
    """Rule that a class can be measured; a warning where ``validate.min_positives`` asks for no photo."""
    name = f"enough positives in {split}"
    if needed:
        advice = f"Add photos of these classes, or lower validate.min_positives.{split}"
        return _class_rule(name, needed, "positives", "has", split, advice, excuse)
    advice = "These classes have no score there: add photos of them"
    return _class_rule(name, 1, "positives", "has", split, advice, excuse, severity="warning")


def _class_rule(
    name: str, needed: int, column: str, verb: str, split: str, advice: str, excuse: str, severity: str = "critical"
) -> Rule:
    photos = "photo" if needed == 1 else "photos"
    return Rule(
        name, f"Each class {verb} at least {needed:,} {photos} in {split}", "classes",
        "ExpectColumnValuesToBeBetween", {"column": column, "min_value": needed, "only": ("split", split)},
        lambda row: f"{row['class']} ({row[column]:.0f})", advice, excuse, severity=severity,
    )  # fmt: skip


def _look_alikes(frame: str, maximum: float, excuse: str) -> Rule:
    split, opposite = ("train and select", "test") if frame == "learnt" else ("test", "train or select")
    return Rule(
        f"no near-duplicate in {opposite}",
        f"At most {maximum:.2%} of the photos in {split} look like a photo in {opposite}",
        frame, "ExpectColumnValuesToBeNull", {"column": "near", "mostly": round(1 - maximum, 12)},
        lambda row: _photo(row, row["near"], "; "),
        "Remove one of each, or raise validate.max_near_duplicates", excuse,
    )  # fmt: skip


def _compared(table: Table, settings: params.Validate, accepted: Baseline | None) -> list[Rule]:
    """Rules that compare with the baseline; each ignores what chance explains (``drift``)."""
    excuse = "no data was accepted yet"
    if accepted is not None:
        source = accepted.source or table.source
        excuse = f"the accepted data belongs to another source, {source}" if source != table.source else ""
    drift_excuse, bounds = excuse, {str(name): bound for name, bound in settings.max_drift.items()}
    if accepted is not None and accepted.measures is None:
        drift_excuse = excuse or "data/accepted.json lacks these statistics (`sadcl data accept` adds them)"
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
             "The overlap of each pair of classes (photos with both among photos with either) moved by at most "
             f"{100 * settings.max_overlap_shift:g} points since the data was accepted",
             "together", "ExpectColumnValuesToBeBetween", {"column": "shift", "max_value": settings.max_overlap_shift},
             lambda row: f"{row['pair']} ({row['before']:.1%} before, {row['now']:.1%} now)", ACCEPT, drift_excuse),
        *(_distribution(name, bounds.get(name), drift_excuse) for name in MEASURES),
    ]  # fmt: skip


def _distribution(name: str, maximum: float | None, excuse: str) -> Rule:
    measure = MEASURES[name]
    bound = "" if maximum is None else f" by at most {maximum:g} (Kolmogorov-Smirnov distance)"
    return Rule(
        f"{measure} as accepted", f"The distribution of {measure} moved{bound} since the data was accepted", "measures",
        "ExpectColumnValuesToBeBetween", {"column": "moved", "max_value": maximum, "only": ("measure", name)},
        lambda row: f"{row['name']} (by {row['moved']:.2f}; its median was {row['before']:g} and is {row['now']:g})",
        ACCEPT, excuse or ("" if maximum is not None else f"validate.max_drift has no bound for {name}"),
    )  # fmt: skip
