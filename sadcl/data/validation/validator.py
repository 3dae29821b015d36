"""Whether the data may pass, and why not.

``validation_rules`` has the rules, ``validation_frames`` what they look at, and ``expectations`` lets Great
Expectations judge them.
"""

from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data.table import SPLITS, Table
from sadcl.data.validation import baseline, data_docs, expectations
from sadcl.data.validation import frames as frames
from sadcl.data.validation.rules import INDEX, Rule, rules

FIRST = 5
"""How many broken rows a sentence names."""


def validate(table: Table, settings: params.Validate, known: Any, docs: Path) -> dict[str, Any]:
    """Hold a table against its rules.

    Args:
        table: as ingest wrote it.
        settings: the bounds.
        known: what people accepted last (``accepted.accept``, from its file), or None.
        docs: a folder that becomes Great Expectations' Data Docs, whole or not at all.

    Returns:
        What reports/validation.json holds: ``passed``, ``rules`` (each with rule, sentence, status, rows,
        first), ``images`` by split, ``table`` (the protocol's digests). The same table gives the same value.

    Raises:
        SadclError: what is given as accepted is not what ``accept`` makes.
    """
    before = baseline.parse_baseline(known)
    asked = rules(table, settings, before)
    shown = {
        "images": frames.images(table),
        "learnt": frames.training_neighbours(table),
        "labels": frames.labels(table),
        "classes": frames.classes(table),
    }
    if before is not None:
        shown["accepted"] = frames.frequencies(table, before)
        shown["measures"] = frames.measures(table, before)
        shown["together"] = frames.together(table, before)
    with files.atomic_directory(docs) as site:
        verdicts = expectations.judge(shown, INDEX, [rule for rule in asked if not rule.excuse], site)
        found = [_judged(rule, verdicts.get(rule.name)) for rule in asked]
        data_docs.finish(site, found)
    failed = {rule["rule"] for rule in found if rule["status"] == "failed"}
    return {
        "passed": not any(rule.name in failed and rule.severity == "critical" for rule in asked),
        "rules": found,
        "images": {split: len(table.split(split)) for split in SPLITS},
        "table": table.protocol,
    }


def sentences(result: dict[str, Any]) -> list[str]:
    """One sentence for each broken rule."""
    return [rule["sentence"] for rule in result["rules"] if rule["status"] == "failed"]


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
