"""Scores of model and champion to a verdict; a failed gate is a result, not an error."""

from pathlib import Path
from typing import Any

from sadcl import files, params, stages
from sadcl.errors import SadclError
from sadcl.evaluation import scores
from sadcl.evaluation.gate import champion
from sadcl.evaluation.gate.verdict import verdict
from sadcl.progress import say

REPORTS = Path("reports")
OUT = REPORTS / "verdict.json"


def main() -> str:
    """Judge, say each rule, and write the verdict."""
    judged = _judged()
    files.write_json(OUT, judged)
    for line in _lines(judged):
        say(line)
    return f"{judged['words']} The verdict is in {OUT}, made"


def said() -> list[str]:
    """The verdict that stands, in words.

    Raises:
        SadclError: nothing was judged yet.
    """
    judged = files.read_json(OUT, "Run `dvc repro`")
    return [judged["words"], *_lines(judged)]


def check() -> str:
    """Judge anew and compare with the verdict that stands, byte for byte.

    Raises:
        SadclError: it is another one.
    """
    files.read_json(OUT, "Run `dvc repro`")
    if OUT.read_text(encoding="utf-8") != files.json_text(_judged()):
        fix = "Run `dvc repro gate`; if that changes nothing, somebody wrote in the file"
        raise SadclError("Scores, settings and champion give another verdict than this one", where=OUT, fix=fix)
    return f"{OUT} is what scores, settings and champion give, byte for byte"


def _lines(judged: dict[str, Any]) -> list[str]:
    return [f"  {rule['result']}: {rule['words']}" for rule in judged["rules"]]


def _judged() -> dict[str, Any]:
    settings = params.load("gate", "evaluate")
    return verdict(
        settings.gate,
        settings.evaluate.threshold,
        scores.read(REPORTS / "scores.parquet"),
        files.read_json(REPORTS / "metrics.json"),
        scores.read(REPORTS / "champion_scores.parquet"),
        champion.read(),
    )


if __name__ == "__main__":
    stages.run("gate", f"{REPORTS}/scores.parquet, {REPORTS}/champion_scores.parquet, {champion.FILE}", main)
