"""The gate: rules that hold a model against bounds and against the champion, and know how far noise reaches.

A rule ends as pass, fail, undecided, not applicable or refused, in words. Nothing passes silently: what cannot be
judged is refused, and so is a verdict in which no rule could be applied.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sadcl import params
from sadcl.evaluation.gate.evidence import Evidence
from sadcl.evaluation.gate.results import FAIL, NOT_APPLICABLE, PASS, REFUSED, UNDECIDED
from sadcl.evaluation.gate.rules import RULES


def judge(rules: Sequence[params.Rule], evidence: Evidence) -> dict[str, Any]:
    """Hold a model against every rule.

    Args:
        rules: of params.yaml.
        evidence: figures of model and champion, with their resamples.

    Returns:
        ``verdict`` (pass, fail, undecided or refused), ``words``, and ``rules``: for each its settings and what it
        answered (``rules.base.Held``). JSON can hold all of it.
    """
    judged = [{**rule.model_dump(), **asdict(RULES[rule.kind](rule, evidence))} for rule in rules]
    verdict, words = _overall([rule["result"] for rule in judged], [rule["more_images"] for rule in judged])
    return {"verdict": verdict, "words": words, "rules": judged}


def _overall(results: Sequence[str], more_images: Sequence[int | None]) -> tuple[str, str]:
    counts, of = Counter(results), f"of {len(results)}"
    skipped = f"; {_rules(counts[NOT_APPLICABLE])} not applicable" if counts[NOT_APPLICABLE] else ""
    if counts[REFUSED]:
        return REFUSED, f"The gate refuses to judge: {_rules(counts[REFUSED])} {of} could not be judged."
    if counts[FAIL]:
        return FAIL, f"The model fails: {_rules(counts[FAIL])} {of} failed{skipped}."
    if counts[UNDECIDED]:
        needs = [more for result, more in zip(results, more_images, strict=True) if result == UNDECIDED]
        told = [more for more in needs if more is not None]
        most = f"needs about {max(told):,} more test images" if len(told) == len(needs) else "more would not help"
        return UNDECIDED, f"Undecided, {most}: {_rules(counts[UNDECIDED])} {of} within the noise{skipped}."
    if not counts[PASS]:
        return REFUSED, "The gate refuses to judge: no rule could be applied."
    return PASS, f"The model passes: {_rules(counts[PASS])} {of} held{skipped}."


def _rules(count: int) -> str:
    return f"{count} rule" if count == 1 else f"{count} rules"
