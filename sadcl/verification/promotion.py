"""Promotion after verification: what an author says of a version does not count."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sadcl.errors import SadclError
from sadcl.registry import promote as registry
from sadcl.registry.promote import Promotion

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


Check = Callable[["MlflowClient", "ModelVersion", "ModelVersion | None", Path], None]
"""Called with client, candidate, champion and project before a promotion; raises to refuse it."""


def require_pass(
    client: "MlflowClient", candidate: "ModelVersion", champion: "ModelVersion | None", root: Path
) -> None:
    """Raise unless a version passes the gate when its weights are scored and judged here."""
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


def promote(
    version: str | int,
    reason: str,
    *,
    first: bool = False,
    verdict_digest: str | None = None,
    root: Path = Path("."),
    check: Check = require_pass,
) -> Promotion:
    """Score and judge a registered version here, and make it the champion if it passes.

    Args:
        version: number of the registered version.
        reason: for the audit log.
        first: confirms that there is no champion yet.
        verdict_digest: digest of the verdict that the reviewer read; None stands for the present one.
        root: the project, whose test photos and rules count.
        check: the verification.

    Raises:
        SadclError: the version does not pass, or can't be verified, or the registry refuses. Nothing was changed.
    """
    return registry.promote(
        version, reason, first=first, verdict_digest=verdict_digest, root=root,
        check=lambda client, candidate, champion: check(client, candidate, champion, root),
    )  # fmt: skip
