"""Validation of the annotation table: ``rules`` over ``frames``, checked by Great Expectations (``expectations``)."""

from collections import Counter
from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data.table import SPLITS, Table
from sadcl.data.validation import baseline, data_docs, expectations, frames
from sadcl.data.validation.rules import INDEX, Rule, rules

FIRST = 5
"""Number of failed rows that a sentence names."""


def validate(table: Table, settings: params.Validate, known: Any, docs: Path) -> dict[str, Any]:
    """Check a table against all rules, and write Data Docs.

    Args:
        table: the annotation table.
        settings: bounds of the rules.
        known: content of data/accepted.json; None where no data was accepted yet.
        docs: folder for Data Docs; it appears complete or not at all.

    Returns:
        Content of reports/validation.json: ``passed``, ``rules`` (each with rule, sentence, status, rows, first),
        ``images`` by split, ``unlabelled`` by split and kind, ``table`` (the protocol's digests). Equal tables give
        equal values.

    Raises:
        SadclError: ``known`` is no baseline.
    """
    before = baseline.parse_baseline(known)
    checked = rules(table, settings, before)
    tables = {
        "images": frames.images(table),
        "learnt": frames.look_alikes(table, of_test=False),
        "tests": frames.look_alikes(table, of_test=True),
        "labels": frames.labels(table),
        "classes": frames.classes(table),
    }
    if before is not None:
        tables["accepted"] = frames.frequencies(table, before)
        tables["measures"] = frames.measures(table, before)
        tables["together"] = frames.co_occurrences(table, before)
    with files.atomic_directory(docs) as site:
        verdicts = expectations.judge(tables, INDEX, [rule for rule in checked if not rule.excuse], site)
        entries = [_entry(rule, verdicts.get(rule.name)) for rule in checked]
        data_docs.finish(site, entries)
    failed = [rule for rule in entries if rule["status"] == "failed"]
    return {
        "passed": not failed,
        "rules": entries,
        "images": {split: len(table.split(split)) for split in SPLITS},
        "unlabelled": frames.unlabelled(table),
        "table": table.protocol,
    }


def sentences(result: dict[str, Any], status: str = "failed") -> list[str]:
    """Sentence of each rule with a status, ``failed`` or ``warning``."""
    return [rule["sentence"] for rule in result["rules"] if rule["status"] == status]


def summary(result: dict[str, Any]) -> str:
    """Number of rules by status, and of photos without a label."""
    statuses = Counter(rule["status"] for rule in result["rules"])
    parts = [f"{statuses['passed']} rules passed ({statuses['not applicable']} not applicable)"]
    parts += [f"{statuses['warning']} with a warning"] if statuses["warning"] else []
    unlabelled = unlabelled_photos(result)
    return ", ".join([*parts, unlabelled] if unlabelled else parts)


def unlabelled_photos(result: dict[str, Any]) -> str:
    """Count of the photos without a label, for the user; empty where each has one."""
    negative, unknown = (
        sum(kinds[kind] for kinds in result["unlabelled"].values()) for kind in ("negative", "unknown")
    )
    kinds = [f"{count:,} {text}" for count, text in ((negative, "as negatives"), (unknown, "as unknown")) if count]
    total = sum(result["images"].values())
    return f"{negative + unknown:,} of {total:,} photos have no label ({', '.join(kinds)})" if kinds else ""


def _entry(rule: Rule, verdict: expectations.Verdict | None) -> dict[str, Any]:
    """Entry of a rule in reports/validation.json; a rule without a verdict is not applicable."""
    rows = verdict.failed_rows if verdict else []
    first = [rule.describe_row(row) for row in rows[:FIRST]]
    more = f" and {len(rows) - FIRST:,} more" if len(rows) > FIRST else ""
    if verdict is None:
        status, sentence = "not applicable", f"{rule.statement}: not applicable, {rule.excuse}."
    elif verdict.passed and not rows:
        status, sentence = "passed", f"{rule.statement}."
    elif verdict.passed:  # a rule that allows some
        verb = "does" if len(rows) == 1 else "do"
        status, sentence = "passed", f"{rule.statement}; {len(rows):,} {verb}: {', '.join(first)}{more}."
    else:
        count = f"{len(rows):,} {'breaks' if len(rows) == 1 else 'break'} this rule: {', '.join(first)}{more}"
        status = "failed" if rule.severity == "critical" else "warning"
        sentence = f"{rule.statement}, but {count if rows else 'there is none'}."
        sentence += f" {rule.advice}." if rule.advice else ""
    return {"rule": rule.name, "sentence": sentence, "status": status, "rows": len(rows), "first": first}
