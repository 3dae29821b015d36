"""What a person reads in Prefect about a run: Markdown, made of files and results, without Prefect."""

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
    """One stage of a run: whether it ran, its last line, how long it took."""

    name: str
    ran: bool
    words: str
    seconds: float


def key(name: str) -> str:
    """A name as Prefect takes it for an artifact: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def stage_page(step: Step, output: str, outs: Sequence[str], root: Path) -> str:
    """A stage's last lines and what it made."""
    made = [f"| `{out}` | {_size(root / out)} |" for out in outs]
    head = [f"## {step.name}", "", f"{step.words} ({duration(step.seconds)})", "", "| made | size |", "|---|---|"]
    return "\n".join([*head, *made, "", "```", *output.splitlines()[-LINES:], "```"])


def run_page(steps: Sequence[Step], words: Sequence[str], root: Path) -> str:
    """The run: stages and times, figures, verdict, and what came of it."""
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
    head = ["| test figures, % | " + " | ".join(FIGURES) + " |", "|---|" + "---|" * len(FIGURES)]
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
    """A file for showing; one that can't be read is not shown."""
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
