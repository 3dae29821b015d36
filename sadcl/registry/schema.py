"""Names in the registry: models, aliases and tags, and who holds them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

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
