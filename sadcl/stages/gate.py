"""Scores of model and champion to a verdict; a failed gate is a result, not an error."""

from pathlib import Path

from sadcl import files, params, stages
from sadcl.evaluation import champion, scores
from sadcl.evaluation.verdict import verdict
from sadcl.progress import say

REPORTS = Path("reports")
OUT = REPORTS / "verdict.json"


def main() -> str:
    """Judge, say each rule, and write the verdict."""
    settings = params.load("gate", "evaluate")
    judged = verdict(
        settings.gate,
        settings.evaluate.threshold,
        scores.read(REPORTS / "scores.parquet"),
        files.read_json(REPORTS / "metrics.json"),
        scores.read(REPORTS / "champion_scores.parquet"),
        champion.read(),
    )
    files.write_json(OUT, judged)
    for rule in judged["rules"]:
        say(f"  {rule['result']}: {rule['words']}")
    return f"{judged['words']} The verdict is in {OUT}, made"


if __name__ == "__main__":
    stages.run("gate", f"{REPORTS}/scores.parquet, {REPORTS}/champion_scores.parquet, {champion.FILE}", main)
