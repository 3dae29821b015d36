"""Decisions of reviewers as tags of a version."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
from sadcl.registry.lookup import address
from sadcl.registry.schema import DECISION, REJECT, VERDICT_DIGEST, protected

DECIDED = ("action", "model", "from", "to", "challenger", "weights", "verdict", "reason", "user", "time")
"""What a decision may say, each a text or null."""


def decision(version: "ModelVersion") -> dict[str, Any]:
    """What was decided last on a version, by whom and why; empty where nobody did with sadcl."""
    value = read_decision(version.tags.get(DECISION, ""))
    to = str(version.version) if protected(str(version.name)) else None
    return value if (value.get("model"), value.get("to")) == (version.name, to) else {}


def decision_text(decided: Mapping[str, Any]) -> str:
    """A decision as the tag holds it: the same one has one text."""
    return json.dumps(decided, sort_keys=True, ensure_ascii=False)


def read_decision(text: str) -> dict[str, Any]:
    """A decision from its text; empty where it is none, or says what no decision says."""
    try:
        value = json.loads(text)
        known = isinstance(value, dict) and value.keys() <= set(DECIDED)
        if not known or not all(said is None or isinstance(said, str) for said in value.values()):
            return {}
        decision_text(value).encode()
        datetime.fromisoformat(value.get("time") or "")
    except (ValueError, RecursionError):  # half of a character pair can't be encoded
        return {}
    return dict(value)


def rejection(version: "ModelVersion") -> dict[str, Any]:
    """How a registered version was rejected; empty where it was not, or was judged anew since."""
    decided = decision(version)
    rejected = decided.get("action") == REJECT and decided.get("challenger") == address(version)
    return decided if rejected and decided.get("verdict") == version.tags.get(VERDICT_DIGEST) else {}
