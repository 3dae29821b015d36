"""Names in the registry: models, aliases and tags."""

from collections.abc import Collection

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"

PROMOTE, ROLLBACK, REJECT = "promote", "rollback", "reject"

IDENTITY = "sadcl.identity"
"""Digest of weights and test data: a model never registers twice."""
WEIGHTS = "sadcl.weights"
TEST = "sadcl.test"
MAP = "sadcl.mAP"
PROBE = "sadcl.probe"
"""Claim of the author's run about a linear probe on the same backbone; it is not verified."""
VERDICT = "sadcl.verdict"
WORDS = "sadcl.verdict.words"
VERDICT_DIGEST = "sadcl.verdict.digest"
JUDGED_AGAINST = "sadcl.judged_against"
"""Weights of the champion that the gate compared with; empty where there was none."""
SPEED = "sadcl.speed"
"""JSON: latency and memory of this version and of the champion, measured in one run."""
DECISION = "sadcl.decision"
"""JSON: on a production version, the decision that last made it champion; on a registered one, its rejection."""
VERIFIED = "sadcl.verified"
"""JSON, written by the verifier alone: what it computed for these weights, criteria and champion."""
CRITERIA = "sadcl.criteria"
"""JSON, on the model in production: rules, test photos and labels that a reviewer accepted."""
OURS = "sadcl."
"""Prefix of the project's own tags."""
PRODUCTION = "-production"
VERIFICATION = "-verification"
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Experiment tags that make MLflow's pages show runs and curves, not the traces of a language model."""


def production(name: str) -> str:
    """Name of the registered model in production, which only reviewers write."""
    return f"{name}{PRODUCTION}"


def verification(name: str) -> str:
    """Name of the experiment with the verifier's results, which only the verifier writes."""
    return f"{name}{VERIFICATION}"


def audited(names: Collection[str]) -> list[str]:
    """Names of models in production, and of the models that have one; others are not of this project."""
    return [name for name in names if protected(name) or production(name) in names]


def protected(name: str) -> bool:
    """Whether a name is that of a model in production, in any spelling that a reader might confuse with it."""
    return name.strip().casefold().endswith(PRODUCTION)
