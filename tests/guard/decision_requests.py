"""Requests to the guarded registry, and the text of a decision."""

from typing import Any

from sadcl.registry import lookup, schema
from sadcl.registry.audit import log
from sadcl.registry.client import connect
from sadcl.registry.decision import decision_text
from tests.guard.conftest import PRODUCTION, REA, Team

REFUSED = r"refused|Your account may not|does not know you|403|401|PERMISSION_DENIED"
ALIAS = "/api/2.0/mlflow/registered-models/alias"
TAG = "/api/2.0/mlflow/model-versions/set-tag"


def decision(team: Team, version: str, **facts: Any) -> str:
    """Text of the decision that `sadcl promote` writes on a version in production."""
    with team.acting(REA), connect() as client:
        champion = lookup.version_with_alias(client, PRODUCTION, schema.CHAMPION)
        verdict = client.get_model_version(PRODUCTION, version).tags[schema.VERDICT_DIGEST]
    decided = {"action": "promote", "model": PRODUCTION, "from": str(champion.version), "to": version, "reason": "why"}
    return decision_text({**decided, "verdict": verdict, "time": log.now(), **facts})
