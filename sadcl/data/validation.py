"""Whether the data may pass, and why not: the rules, and their words for people.

Each rule is a built-in expectation over a frame made from the annotation table: ``images`` (a row an
image), ``labels`` (a row a label), ``classes`` (a row a class and split) and ``accepted`` (a row a class,
beside the last accepted data). ``expectations`` lets Great Expectations judge them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data import data_docs, expectations
from sadcl.data import validation_frames as frames
from sadcl.data.table import SPLITS, Table
from sadcl.errors import SadclError

FIRST = 5
"""How many broken rows a sentence names."""

INDEX = {
    "images": ["image_id", "file"],
    "labels": ["image_id", "file"],
    "classes": ["class", "split"],
    "accepted": ["class", "before", "now"],
}
"""By frame, the columns that say which row it is."""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: short, the same from run to run.
        says: what holds when it is kept, as a sentence without a full stop.
        frame: the frame it looks at.
        expectation: Great Expectations' name for it.
        bounds: its arguments; ``split`` restricts it to the rows of one split.
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


def validate(table: Table, settings: params.Validate, accepted: dict[str, Any] | None, docs: Path) -> dict[str, Any]:
    """Hold a table against its rules.

    Args:
        table: as ingest wrote it.
        settings: the bounds.
        accepted: what people accepted last (``accept``), or None.
        docs: a folder that becomes Great Expectations' Data Docs, whole or not at all.

    Returns:
        What reports/validation.json holds: ``passed``, ``rules`` (each with rule, sentence, status, rows,
        first), ``images`` by split, ``table`` (the protocol's digests). The same table gives the same value.

    Raises:
        SadclError: what is given as accepted is not what ``accept`` makes.
    """
    before = _frequencies(accepted)
    shown = {
        "images": frames.images(table),
        "labels": frames.labels(table),
        "classes": frames.classes(table),
    }
    if before is not None:
        shown["accepted"] = frames.beside_accepted(table, before)
    rules = _rules(table, settings, accepted)
    with files.writing_directory(docs) as site:
        verdicts = expectations.judge(shown, INDEX, [rule for rule in rules if not rule.excuse], site)
        found = [_judged(rule, verdicts.get(rule.name)) for rule in rules]
        data_docs.finish(site, found)
    failed = {rule["rule"] for rule in found if rule["status"] == "failed"}
    return {
        "passed": not any(rule.name in failed and rule.severity == "critical" for rule in rules),
        "rules": found,
        "images": {split: len(table.split(split)) for split in SPLITS},
        "table": table.protocol,
    }


def sentences(result: dict[str, Any]) -> list[str]:
    """One sentence for each broken rule."""
    return [rule["sentence"] for rule in result["rules"] if rule["status"] == "failed"]


def accept(table: Table) -> dict[str, Any]:
    """What later data is held against: ``images``, ``source``, ``frequencies`` (share of photos by class), ``table``.

    ``table`` is a digest of the protocol, so that a person sees which data was accepted.
    """
    return {
        "images": len(table.frame),
        "source": table.source,
        "frequencies": frames.frequencies(table),
        "table": files.digest_of(table.protocol),
    }


def _rules(table: Table, settings: params.Validate, accepted: dict[str, Any] | None) -> list[Rule]:
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
        Rule("labels known", "Each label is in the class list", "labels",
             "ExpectColumnValuesToBeBetween", {"column": "label", "min_value": 0, "max_value": len(table.classes) - 1},
             lambda row: f"{row['image_id']} ({row['file']}: class number {row['label']:.0f})"),
        *(_labelled(split, settings.max_unlabelled, excuse) for split, excuse in empty.items()),
        *(_positives(split, needed.get(split, 0), excuse) for split, excuse in empty.items()),
        *_steady(table, settings, accepted),
    ]  # fmt: skip


def _labelled(split: str, most: float, excuse: str) -> Rule:
    # rounding makes 1 - 0.7 the same number as 3 / 10, so that a share exactly at its bound is within it
    bounds = {"column": "labels", "min_value": 1, "mostly": round(1 - most, 12), "split": split}
    says = (
        f"At most {most:.2%} of the photos in {split} have no label" if most else f"Each photo in {split} has a label"
    )
    return Rule(f"labelled in {split}", says, "images", "ExpectColumnValuesToBeBetween", bounds, excuse=excuse)


def _positives(split: str, needed: int, excuse: str) -> Rule:
    photos = "photo" if needed == 1 else "photos"
    return Rule(
        f"enough positives in {split}", f"Each class has at least {needed:,} {photos} in {split}", "classes",
        "ExpectColumnValuesToBeBetween", {"column": "positives", "min_value": needed, "split": split},
        lambda row: f"{row['class']} ({row['positives']:.0f})",
        f"Add photos of these classes, or lower validate.min_positives.{split}", excuse,
    )  # fmt: skip


def _steady(table: Table, settings: params.Validate, accepted: dict[str, Any] | None) -> list[Rule]:
    excuse = "no data was accepted yet"
    if accepted is not None:
        other = accepted.get("source", table.source)
        excuse = f"the accepted data is that of another source, {other}" if other != table.source else ""
    advice = "If the new data is right, run `sadcl data accept`"
    return [
        Rule("classes as accepted", "The classes are those of the accepted data", "accepted",
             "ExpectColumnValuesToBeNull", {"column": "change"},
             lambda row: f"{row['class']} ({row['change']})", advice, excuse),
        Rule("frequencies as accepted",
             f"The frequency of each class moved by at most {settings.max_shift:.0%} since the data was accepted",
             "accepted", "ExpectColumnValuesToBeBetween", {"column": "shift", "max_value": settings.max_shift},
             lambda row: f"{row['class']} ({row['before']:.2%} of photos before, {row['now']:.2%} now)",
             advice, excuse),
    ]  # fmt: skip


def _frequencies(accepted: dict[str, Any] | None) -> dict[str, float] | None:
    if accepted is None:
        return None
    found = accepted.get("frequencies") if isinstance(accepted, dict) else None
    if isinstance(found, dict) and all(type(value) in (int, float) and 0 <= value <= 1 for value in found.values()):
        return found
    raise SadclError(
        "The accepted data has no table of class frequencies",
        where="data/accepted.json",
        fix="Write it again with `sadcl data accept`, or make it `null`",
    )


def _judged(rule: Rule, verdict: expectations.Verdict | None) -> dict[str, Any]:
    """A rule's entry in validation.json; without a verdict it was not applicable."""
    rows = verdict.broken if verdict else []
    first = [rule.shows(row) for row in rows[:FIRST]]
    if verdict is None:
        status, sentence = "not applicable", f"{rule.says}: not applicable, {rule.excuse}."
    elif verdict.kept:
        status, sentence = "passed", f"{rule.says}."
    else:
        more = f" and {len(rows) - FIRST:,} more" if len(rows) > FIRST else ""
        count = f"{len(rows):,} {'breaks' if len(rows) == 1 else 'break'} this rule"
        status, sentence = "failed", f"{rule.says}, but {count}: {', '.join(first)}{more}."
        sentence += f" {rule.advice}." if rule.advice else ""
    return {"rule": rule.name, "sentence": sentence, "status": status, "rows": len(rows), "first": first}
