"""The Great Expectations door: whether the data may pass, and why not.

Rules are built-in expectations over frames made from the annotation table (images, classes), so that Data
Docs show them; their words for people are ours.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sadcl import files, params
from sadcl.data import data_docs
from sadcl.data.table import SPLITS, Table, targets

FIRST = 5
"""How many broken rows a sentence names."""

ROW_NAMES = {"images": ["image_id", "file"], "classes": ["name_", "split", "positives"]}
"""Columns by which Data Docs name a broken row."""


@dataclass(frozen=True)
class Rule:
    """One rule: an expectation over a column of a frame, and how to say what breaks it."""

    name: str
    says: str
    frame: str
    column: str
    broken: Callable[[pd.Series], str]
    applies: bool = True


def validate(table: Table, settings: params.Validate, accepted: dict[str, Any] | None, docs: Path) -> dict[str, Any]:
    """Hold a table against its rules.

    Args:
        table: as ingest wrote it.
        settings: the bounds.
        accepted: what people accepted last (``accept``), or None.
        docs: gets GE's Data Docs, whole or not at all.

    Returns:
        What reports/validation.json holds: ``passed``, ``rules`` (each with rule, sentence, status, rows, first),
        ``images`` by split, ``protocol``; nothing in it depends on when it ran.
    """
    frames = {"images": _images(table, settings), "classes": _classes(table, settings, accepted)}
    rules = _rules(settings, accepted)
    with files.writing_directory(docs) as site:
        broken = _run(frames, [rule for rule in rules if rule.applies], site)
        found = [_judged(rule, frames[rule.frame], broken.get(rule.name, [])) for rule in rules]
        data_docs.finish(site, found)
    return {
        "passed": all(rule["status"] != "failed" for rule in found),
        "rules": found,
        "images": {split: len(table.split(split)) for split in SPLITS},
        "classes": len(table.classes),
        "protocol": table.protocol,
    }


def sentences(result: dict[str, Any]) -> list[str]:
    """One sentence for each broken rule."""
    return [rule["sentence"] for rule in result["rules"] if rule["status"] == "failed"]


def accept(table: Table) -> dict[str, Any]:
    """What later data is compared with: class frequencies, as shares of all photos."""
    present = targets(table.frame["labels"], len(table.classes))
    shares = present.mean(0) if len(present) else np.zeros(len(table.classes))
    return {
        "images": len(table.frame),
        "frequencies": {name: round(float(share), 6) for name, share in zip(table.classes, shares, strict=True)},
        "protocol": table.protocol,
    }


def _rules(settings: params.Validate, accepted: dict[str, Any] | None) -> list[Rule]:
    photo = lambda row: f"{row.image_id} ({row.file})"  # noqa: E731
    return [
        Rule("ids unique", "Each image has an id of its own", "images", "id_unique", photo),
        Rule("files unique", "Each file stands for one image", "images", "file_unique", photo),
        Rule("files readable", "Each file is there and can be decoded", "images", "readable",
             lambda row: f"{row.image_id} ({row.file}: {row.problem})"),
        Rule("sides", f"Each photo is at least {settings.min_side} px wide and high", "images", "large_enough",
             lambda row: f"{row.image_id} ({row.width} x {row.height})"),
        Rule("labels known", "Each label is in the class list", "images", "labels_known", photo),
        Rule("no photo in two splits", "No photo stands in two splits, by its content", "images", "in_one_split",
             lambda row: f"{row.image_id} ({row.split}: {row.file})"),
        Rule("labelled", f"At most {settings.max_unlabelled:.1%} of a split's photos have no label", "images",
             "few_unlabelled", lambda row: f"{row.image_id} ({row.split})"),
        Rule("enough positives", "Each class has enough photos in each split", "classes", "enough",
             lambda row: f"{row.name_} has {row.positives} in {row.split}, {row.needed} are needed"),
        Rule("frequencies", f"No class's frequency moved by more than {settings.max_shift:.0%} since data was accepted",
             "classes", "steady", lambda row: f"{row.name_}: {row.before:.2%} before, {row.share:.2%} now",
             applies=accepted is not None),
    ]  # fmt: skip


def _images(table: Table, settings: params.Validate) -> pd.DataFrame:
    """A row an image, with a truth value a rule; rows that a rule cannot judge hold."""
    frame = table.frame
    usable = frame["problem"].isna()
    classes = len(table.classes)
    splits_of = frame[frame["sha256"] != ""].groupby("sha256")["split"].nunique()
    every = [[*a, *b] for a, b in zip(frame["labels"], frame["ignored"], strict=True)]
    unlabelled = pd.Series([not row for row in every], index=frame.index, dtype=bool)
    share = unlabelled.groupby(frame["split"]).transform("mean") if len(frame) else unlabelled
    return pd.DataFrame(
        {
            **{name: frame[name] for name in ("image_id", "file", "split", "width", "height", "problem")},
            "id_unique": ~frame["image_id"].duplicated(keep=False),
            "file_unique": ~frame["file"].duplicated(keep=False),
            "readable": usable,
            "large_enough": ~usable | (frame[["width", "height"]].min(axis=1) >= settings.min_side),
            "labels_known": [max(row, default=-1) < classes and min(row, default=0) >= 0 for row in every],
            "in_one_split": frame["sha256"].map(splits_of).fillna(1) == 1,
            "few_unlabelled": ~unlabelled | (share <= settings.max_unlabelled),
        }
    )  # fmt: skip


def _classes(table: Table, settings: params.Validate, accepted: dict[str, Any] | None) -> pd.DataFrame:
    """A row a class and split that has photos, and a row a class over all of them."""
    known = [[i for i in row if 0 <= i < len(table.classes)] for row in table.frame["labels"]]
    present = targets(known, len(table.classes))
    before = (accepted or {}).get("frequencies", {})
    minimum = {str(split): least for split, least in settings.min_positives.items()}
    rows = []
    for split in (*SPLITS, "all"):
        here = np.ones(len(present), bool) if split == "all" else (table.frame["split"] == split).to_numpy()
        if not here.any():
            continue
        needed = int(minimum.get(split, 0))
        for name, count in zip(table.classes, present[here].sum(0), strict=True):
            share = count / here.sum()
            rows.append({"name_": name, "split": split, "positives": int(count), "needed": needed, "share": share})
    if accepted is not None:
        rows += [
            {"name_": name, "split": "all", "positives": 0, "needed": 0, "share": 0.0}
            for name in before
            if name not in table.classes
        ]
    frame = pd.DataFrame(rows, columns=["name_", "split", "positives", "needed", "share"])
    frame["enough"] = frame["positives"] >= frame["needed"]
    frame["before"] = frame["name_"].map(before).fillna(0.0).astype(float)
    moved = (frame["share"] - frame["before"]).abs() > settings.max_shift * frame["before"]
    frame["steady"] = ~((frame["split"] == "all") & moved)
    return frame


def _judged(rule: Rule, frame: pd.DataFrame, rows: list[int]) -> dict[str, Any]:
    first = [rule.broken(row) for row in frame.iloc[rows[:FIRST]].itertuples()]  # type: ignore[arg-type]
    status = "not applicable" if not rule.applies else "failed" if rows else "passed"
    sentence = f"{rule.says}."
    if not rule.applies:
        sentence = f"{rule.says}: no data was accepted yet, so this is not applicable."
    elif rows:
        more = f" and {len(rows) - FIRST:,} more" if len(rows) > FIRST else ""
        sentence = (
            f"{rule.says}, but {len(rows):,} {'does' if len(rows) == 1 else 'do'} not hold: {', '.join(first)}{more}."
        )
    return {"rule": rule.name, "sentence": sentence, "status": status, "rows": len(rows), "first": first}


def _run(frames: dict[str, pd.DataFrame], rules: list[Rule], site: Path) -> dict[str, list[int]]:
    """Let Great Expectations judge and write its pages; positions of the broken rows by rule."""
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        data_docs.add_site(context, site)
        broken: dict[str, list[int]] = {}
        for name, frame in frames.items():
            broken |= _checkpoint(context, name, frame, [rule for rule in rules if rule.frame == name])
        context.build_data_docs(site_names=[data_docs.SITE])
    return broken


def _checkpoint(context: Any, name: str, frame: pd.DataFrame, rules: list[Rule]) -> dict[str, list[int]]:
    import great_expectations as gx
    from great_expectations.expectations.core.expect_column_values_to_be_in_set import ExpectColumnValuesToBeInSet

    shown = frame.rename(columns={rule.column: rule.name for rule in rules}).assign(row=np.arange(len(frame)))
    source = context.data_sources.add_pandas(name)
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(gx.ExpectationSuite(name=name))
    for rule in rules:
        suite.add_expectation(ExpectColumnValuesToBeInSet(column=rule.name, value_set=[True], meta=_notes(rule.says)))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name=name,
            validation_definitions=[definition],
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["row", *ROW_NAMES[name]]},
        )
    )
    # a fixed run id: the same data gives the same pages
    run = gx.RunIdentifier(run_name="validate", run_time=datetime(2000, 1, 1, tzinfo=UTC))
    ran = checkpoint.run(batch_parameters={"dataframe": shown}, run_id=run)
    (result,) = ran.run_results.values()
    return {rule.name: _rows(one.result) for rule, one in zip(rules, _in_order(result, rules), strict=True)}


def _in_order(result: Any, rules: list[Rule]) -> list[Any]:
    by_name = {one.expectation_config.kwargs["column"]: one for one in result.results}
    return [by_name[rule.name] for rule in rules]


def _notes(text: str) -> dict[str, Any]:
    return {"notes": {"format": "string", "content": [text + "."]}}


def _rows(result: dict[str, Any]) -> list[int]:
    return sorted(int(entry["row"]) for entry in result.get("unexpected_index_list") or [])
