"""Decisions of reviewers as tags of a version."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sadcl.registry.lookup import model_uri
from sadcl.registry.schema import DECISION, REJECT, VERDICT_DIGEST, protected

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

FIELDS = ("action", "model", "from", "to", "challenger", "weights", "verdict", "reason", "user", "time")
"""Fields of a decision, each a string or null."""


BLANK = "\u115f\u1160\u2800\u3164\uffa0"
"""Characters that count as letters or symbols, and show nothing."""


def is_reason(text: str) -> bool:
    """Whether a reader of the audit log sees anything of a reason."""
    return any(character.isprintable() and character not in BLANK and not character.isspace() for character in text)


def decision(version: "ModelVersion") -> dict[str, Any]:
    """Last decision on a version; empty where it has none that sadcl wrote.

    A copy in production carries the tags of its source, also a decision that is about the source.
    """
    value = read_decision(version.tags.get(DECISION, ""))
    to = str(version.version) if protected(str(version.name)) else None
    return value if (value.get("model"), value.get("to")) == (version.name, to) else {}


def decision_text(decided: Mapping[str, Any]) -> str:
    """JSON of a decision as its tag holds it; equal decisions have equal text."""
    return json.dumps(decided, sort_keys=True, ensure_ascii=False)


def read_decision(text: str) -> dict[str, Any]:
    """Parse a decision; empty where the text is no decision, or has other fields."""
    try:
        value = json.loads(text)
        known = isinstance(value, dict) and value.keys() <= set(FIELDS)
        if not known or not all(field is None or isinstance(field, str) for field in value.values()):
            return {}
        decision_text(value).encode()  # half of a surrogate pair can't be encoded
        datetime.fromisoformat(value.get("time") or "")
    except (ValueError, RecursionError):
        return {}
    return dict(value)


def rejection(version: "ModelVersion") -> dict[str, Any]:
    """Rejection of a registered version; empty where there is none, or the gate has judged the version again since."""
    decided = decision(version)
    rejected = decided.get("action") == REJECT and decided.get("challenger") == model_uri(version)
    if not decided.get("user") or not decided.get("reason"):  # sadcl writes both
        return {}
    return decided if rejected and decided.get("verdict") == version.tags.get(VERDICT_DIGEST) else {}
