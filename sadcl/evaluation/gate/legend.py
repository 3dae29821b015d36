"""Sentences that explain a verdict: meaning of the metrics that it names, and the model's gain over a linear probe."""

import re
from collections.abc import Mapping
from typing import Any

MEANINGS = {
    "mAP": "mean of the classes' average precision",
    "CP": "mean precision of the classes",
    "CR": "mean recall of the classes",
    "CF1": "mean F1 of the classes",
    "CF1_harmonic": "F1 of CP and CR",
    "OP": "precision over all labels together",
    "OR": "recall over all labels together",
    "OF1": "F1 over all labels together",
    "ECE": "expected calibration error",
    "in_use": "with the served probabilities and thresholds",
    "top3": "with the three most probable labels of a photo",
}
"""Meaning of each name that a metric in params.yaml may have or begin with."""


def legend(text: str) -> str:
    """Meaning of each metric that a text names, in one line; empty where it names none."""
    words = set(re.findall(r"\w+", text))
    known = [f"{name}: {meaning}" for name, meaning in MEANINGS.items() if name in words]
    return f"{'; '.join(known)}." if known else ""


def over_probe(verdict: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Sentence on what the trained head is worth beside a linear probe; empty where there are no scores of one.

    Args:
        verdict: the value of verdict.json.
        metrics: the value of metrics.json.
    """
    difference = (verdict.get("probe") or {}).get("difference")
    if difference is None:
        return ""
    value, low, high = difference
    worth = f"The trained head is worth {value:+.2f} mAP ({low:+.2f} to {high:+.2f}) over a linear probe"
    size, probe_size = ((metrics.get(key) or {}).get("parameters") for key in ("cost", "probe_cost"))
    cost = ""
    if size and probe_size:
        times = f"{size / probe_size:.1f} times the parameters"
        cost = f", with {times} ({size / 1e6:.1f} M against {probe_size / 1e6:.1f} M)"
    unclear = "These test photos can't tell which is better" if high >= 0 else "The probe is better"
    return f"{worth} on the same backbone{cost}." + ("" if low > 0 else f" {unclear}.")
