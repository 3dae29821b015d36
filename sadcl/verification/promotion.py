"""Verification as the last check of a promotion: what an author says of a version does not count."""

from pathlib import Path
from typing import TYPE_CHECKING

from sadcl.errors import SadclError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def require_pass(
    client: "MlflowClient", candidate: "ModelVersion", champion: "ModelVersion | None", root: Path
) -> None:
    """Raise unless a version passes the gate when its weights are scored and judged here.

    Args:
        client: of the registry.
        candidate: the version to promote.
        champion: the version in production; None where there is none.
        root: the project, whose test photos and rules count.

    Raises:
        SadclError: the version does not pass, or can't be verified.
    """
    from sadcl.verification.verify import verify  # torch, which a page needs for nothing else

    verification = verify(client, candidate, champion, root)
    if verification.passed:
        return
    claims = "; ".join(map(str, verification.differences))
    raise SadclError(
        f"The verified verdict is {verification.verdict['verdict']}: {verification.verdict['words']}".rstrip(".")
        + (f". Its author's claims differ: {claims}" if claims else ""),
        where=verification.address,
        fix=f"`sadcl verdict --check {candidate.version}` shows each rule",
    )
