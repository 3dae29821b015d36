"""The verdict that stands in a project: judged from its files, described in words, judged again to compare."""

from typing import Any

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.evaluation import scores
from sadcl.evaluation.gate import champion
from sadcl.evaluation.gate.verdict import verdict
from sadcl.layout import CHAMPION_SCORES, METRICS, SCORES, VERDICT

_REPRO = "Run `dvc repro`"


def judge_project(settings: params.Params) -> dict[str, Any]:
    """The value of verdict.json, from scores, metrics and champion as they lie in the project.

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
    )


def describe() -> list[str]:
    """The verdict that stands, in words: a line about the whole, then a line a rule.

    Raises:
        SadclError: nothing was judged yet.
    """
    judged = files.read_json(VERDICT, _REPRO)
    return [judged["words"], *describe_rules(judged)]


def describe_rules(judged: dict[str, Any]) -> list[str]:
    """The rules of a verdict, a line each."""
    return [f"  {rule['result']}: {rule['words']}" for rule in judged["rules"]]


def recheck() -> str:
    """Judge again and compare with the verdict that stands, byte for byte.

    Raises:
        SadclError: it is another one.
    """
    files.read_json(VERDICT, _REPRO)
    if VERDICT.read_text(encoding="utf-8") != files.json_text(judge_project(params.load("gate", "evaluate"))):
        fix = "Run `dvc repro gate`; if that changes nothing, somebody edited the file"
        raise SadclError("Scores, settings and champion give another verdict than this one", where=VERDICT, fix=fix)
    return f"{VERDICT} is what scores, settings and champion give, byte for byte"
