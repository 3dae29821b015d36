"""Markdown pages about a run for Prefect's dashboard, from files and results; imports no Prefect."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sadcl import layout
from sadcl.progress import duration

FIGURES = ("mAP", "CP", "CR", "CF1", "OP", "OR", "OF1")
LINES = 30


@dataclass(frozen=True)
class Step:
    """One stage of a run.

    Attributes:
        name: name of the stage.
        ran: whether it ran; false if it was up to date.
        words: last line that it printed.
        seconds: duration.
    """

    name: str
    ran: bool
    words: str
    seconds: float


def key(name: str) -> str:
    """Key of an artifact in Prefect: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def stage_page(step: Step, output: str, outs: Sequence[str], root: Path) -> str:
    """Page of a stage: its outputs with their sizes, and its last lines."""
    sizes = [f"| `{out}` | {_size(root / out)} |" for out in outs]
    head = [f"## {step.name}", "", f"{step.words} ({duration(step.seconds)})", "", "| output | size |", "|---|---|"]
    return "\n".join([*head, *sizes, "", "```", *output.splitlines()[-LINES:], "```"])


def run_page(steps: Sequence[Step], words: Sequence[str], root: Path) -> str:
    """Page of a run: its outcome, stages with times, metrics, and verdict."""
    rows = [f"| {s.name} | {_ran(s)} | {s.words.replace('|', ' ')} |" for s in steps]
    table = ["| stage | ran | last line |", "|---|---|---|", *rows]
    return "\n".join(["# Retraining", "", *(f"{w}\n" for w in words), *table, "", *_figures(root), *_verdict(root)])


def _ran(step: Step) -> str:
    return duration(step.seconds) if step.ran else "unchanged"


def _figures(root: Path) -> list[str]:
    metrics = _json(root / layout.METRICS)
    rows = [(name, value) for name, value in metrics.items() if isinstance(value, dict) and "mAP" in value]
    if not rows:
        return []
    head = ["| test metrics, % | " + " | ".join(FIGURES) + " |", "|---|" + "---|" * len(FIGURES)]
    return [*head, *(f"| {n} | " + " | ".join(_figure(v.get(f)) for f in FIGURES) + " |" for n, v in rows), ""]


def _verdict(root: Path) -> list[str]:
    verdict = _json(root / layout.VERDICT)
    if not verdict:
        return []
    rules = [f"- {rule.get('result')}: {rule.get('words')}" for rule in verdict.get("rules", [])]
    return [f"**Verdict: {verdict.get('verdict')}.** {verdict.get('words', '')}", "", *rules]


def _figure(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "-"


def _json(path: Path) -> dict[str, Any]:
    """Content of a JSON file; empty if it can't be read, because a page shows what there is."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _size(path: Path) -> str:
    if not path.exists():
        return "missing"
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    size = sum(p.stat().st_size for p in files)
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size:,} bytes"
