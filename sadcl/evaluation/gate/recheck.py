"""The verdict of a project: computed from its files, described in words, and computed again to compare."""

from collections.abc import Iterable
from typing import Any

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.evaluation import scores
from sadcl.evaluation.gate import champion
from sadcl.evaluation.gate.legend import legend
from sadcl.evaluation.gate.verdict import verdict
from sadcl.layout import CHAMPION_SCORES, METRICS, SCORES, VERDICT
from sadcl.progress import track

_REPRO = "Run `dvc repro`"


def judge_project(settings: params.Params) -> dict[str, Any]:
    """Compute the value of verdict.json from the project's scores, metrics and champion, with a progress bar.

    Args:
        settings: sections gate and evaluate.
    """
    return verdict(
        settings.gate,
        settings.evaluate.threshold,
        scores.read_scores(SCORES),
        files.read_json(METRICS),
        scores.read_scores(CHAMPION_SCORES),
        champion.read_champion(),
        _progress,
    )


def _progress(classes: range) -> Iterable[int]:
    return track(classes, "classes resampled", total=len(classes), unit="classes")


def describe() -> list[str]:
    """Describe the present verdict: a line about the model, then a line for each rule.

    Raises:
        SadclError: there is no verdict yet.
    """
    judged = files.read_json(VERDICT, _REPRO)
    return [judged["words"], *describe_rules(judged)]


def describe_rules(judged: dict[str, Any]) -> list[str]:
    """Describe the rules of a verdict, one line each, and explain the metrics that they name."""
    lines = [f"  {rule['result']}: {rule['words']}" for rule in judged["rules"]]
    meaning = legend("\n".join(lines))
    return [*lines, f"  ({meaning})"] if meaning else lines


def recheck() -> str:
    """Judge again and compare with verdict.json, byte for byte.

    Raises:
        SadclError: the file is missing, about another champion, or differs.
    """
    recorded, current = files.read_json(VERDICT, _REPRO), champion.read_champion()
    if isinstance(recorded, dict) and recorded.get("champion") != (current.weights if current else None):
        raise SadclError("The champion has changed since this verdict", where=VERDICT, fix="Run `dvc repro`")
    # as text: draws and seed are fixed, so that honest files are equal to the last bit, and any edit shows
    if VERDICT.read_text(encoding="utf-8") != files.json_text(judge_project(params.load("gate", "evaluate"))):
        fix = "Run `dvc repro gate`; if that changes nothing, the file was edited by hand"
        raise SadclError("The verdict does not follow from scores, settings and champion", where=VERDICT, fix=fix)
    return f"{VERDICT} follows from scores, settings and champion, byte for byte"
