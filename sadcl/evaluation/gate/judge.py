"""The gate: rules compare a model with bounds and with the champion, allowing for sampling noise.

A rule ends as pass, fail, undecided, not applicable or refused, with a sentence. Nothing passes silently: a rule that
can't be judged is refused, and so is a verdict without any applicable rule.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sadcl import params
from sadcl.evaluation.gate.evidence import Evidence
from sadcl.evaluation.gate.results import FAIL, NOT_APPLICABLE, PASS, REFUSED, UNDECIDED
from sadcl.evaluation.gate.rules import RULES
from sadcl.names import counted


def judge(rules: Sequence[params.Rule], evidence: Evidence) -> dict[str, Any]:
    """Judge a model by every rule.

    Args:
        rules: from params.yaml.
        evidence: metrics of model and champion, with their resamples.

    Returns:
        ``verdict`` (pass, fail, undecided or refused), ``words``, and ``rules``: for each rule its settings and the
        fields of its ``RuleResult``. All values fit into JSON.
    """
    judged = [{**rule.model_dump(), **asdict(RULES[rule.kind](rule, evidence))} for rule in rules]
    verdict, words = _overall([rule["result"] for rule in judged], [rule["more_images"] for rule in judged])
    return {"verdict": verdict, "words": words, "rules": judged}


def _overall(results: Sequence[str], more_images: Sequence[int | None]) -> tuple[str, str]:
    """Combine results: refused goes before fail, fail before undecided, undecided before pass."""
    counts, total = Counter(results), f"of {len(results)}"
    skipped = f"; {counted(counts[NOT_APPLICABLE], 'rule')} not applicable" if counts[NOT_APPLICABLE] else ""
    if counts[REFUSED]:
        return REFUSED, f"The gate refuses to judge: {counted(counts[REFUSED], 'rule')} {total} could not be judged."
    if counts[FAIL]:
        return FAIL, f"The model fails: {counted(counts[FAIL], 'rule')} {total} failed{skipped}."
    if counts[UNDECIDED]:
        # the rule that needs most images decides; one that no number of images settles leaves no estimate
        needs = [more for result, more in zip(results, more_images, strict=True) if result == UNDECIDED]
        known = [more for more in needs if more is not None]
        more = (
            f"about {max(known):,} more test images would" if len(known) == len(needs) else "more test images would not"
        )
        within = (
            f"{counted(counts[UNDECIDED], 'rule')} {total} {'is' if counts[UNDECIDED] == 1 else 'are'} within the noise"
        )
        return UNDECIDED, f"The gate can't decide: {within}, and {more} change that{skipped}."
    # rules that are not applicable have shown nothing
    if not counts[PASS]:
        return REFUSED, "The gate refuses to judge: no rule is applicable."
    return PASS, f"The model passes: {counted(counts[PASS], 'rule')} {total} held{skipped}."
