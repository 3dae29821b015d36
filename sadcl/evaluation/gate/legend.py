"""Meaning of the names of metrics, for people who read a verdict."""

import re

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
