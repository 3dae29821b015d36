"""Names in the registry: models, aliases and tags, and who holds them."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sadcl.errors import SadclError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"

PROMOTE, ROLLBACK, REJECT = "promote", "rollback", "reject"

IDENTITY = "sadcl.identity"
"""Digest of weights and test data: the same one never registers twice."""
WEIGHTS = "sadcl.weights"
TEST = "sadcl.test"
MAP = "sadcl.mAP"
VERDICT = "sadcl.verdict"
WORDS = "sadcl.verdict.words"
VERDICT_DIGEST = "sadcl.verdict.digest"
JUDGED_AGAINST = "sadcl.judged_against"
"""Weights of the champion that the gate compared with; empty where there was none."""
SPEED = "sadcl.speed"
"""JSON: milliseconds and memory of this version and of who was champion, measured in one run."""
DECISION = "sadcl.decision"
"""JSON: on a production version, of the decision that made it champion last; on a registered one, of its rejection."""
DECIDED = ("action", "model", "from", "to", "challenger", "weights", "verdict", "reason", "user", "time")
"""What a decision may say, each a text or null."""
OURS = "sadcl."
"""How our tags begin."""
PRODUCTION = "-production"
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""MLflow's pages then show runs and curves, not the traces of a language model."""


def production(name: str) -> str:
    """The registered model that reviewers write."""
    return f"{name}{PRODUCTION}"


def protected(name: str) -> bool:
    """Whether a name is one that reviewers write, in any spelling."""
    return name.strip().casefold().endswith(PRODUCTION)


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


def address(version: "ModelVersion") -> str:
    """``models:/NAME/VERSION``."""
    return f"models:/{version.name}/{version.version}"


def versions(client: "MlflowClient", name: str, beginning: bool = False) -> list["ModelVersion"]:
    """All versions of a model, or of all models whose names begin like this."""
    wanted = f"name LIKE '{name}%'" if beginning else f"name='{name}'"
    found: list[ModelVersion] = []
    token = None
    while True:
        page = client.search_model_versions(wanted, max_results=200, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def holder(client: "MlflowClient", name: str, alias: str) -> "ModelVersion | None":
    """The version that has an alias; None where nobody has, or where there is no such model."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def version(client: "MlflowClient", name: str, number: str | int) -> "ModelVersion":
    """A version by its number.

    Raises:
        SadclError: it is no number, or there is no such version.
    """
    from mlflow.exceptions import MlflowException

    known = "`sadcl status` says who challenges"
    if not str(number).isdecimal():
        raise SadclError(f"A version is a number, but it is {str(number)!r}", where=name, fix=known)
    try:
        return client.get_model_version(name, str(number))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise SadclError(f"There is no version {number} of {name}", fix=known) from None
        raise
