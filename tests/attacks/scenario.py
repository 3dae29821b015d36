"""Steps of attacks, and the check that each comes to nothing."""

import json
from collections.abc import Collection
from pathlib import Path

import pytest
import yaml

from sadcl.errors import SadclError
from sadcl.registry import client, schema
from sadcl.registry.promote import Promotion, promote
from sadcl.registry.publish import publish
from sadcl.verification import acceptance, promotion
from sadcl.verification.verify import verify_number
from tests.verification.conftest import settings, train

WORSE = 7
"""Seed of a model that is worse than the champion."""


def set_bound(at_least: float) -> None:
    """Set the bound of the first rule in the project's settings."""
    raw = settings()
    raw["gate"]["rules"][0]["at_least"] = at_least
    Path("params.yaml").write_text(yaml.safe_dump(raw))


def lower_bounds() -> None:
    """Register a model that was judged by rules of its author's own."""
    train(2)
    publish()
    set_bound(90.0)


def approve(number: int, reason: str, first: bool = False) -> Promotion:
    """Promote as the command does it."""
    promotion.prepare(number, reason, first)
    return promote(number, reason, first=first, check=promotion.require_verified)


def accept_project() -> None:
    """Accept the criteria of the project unless they are the accepted ones."""
    if not acceptance.compare_project()[1]:
        acceptance.accept_project("the rules of the team")


def champion() -> str:
    """Version of the champion by the project's file; None as text without one."""
    record = json.loads(Path("data/champion.json").read_text())
    return str(record and record["version"])


def tag(key: str, value: str, number: str = "2") -> None:
    """Write a tag of a version as its author."""
    with client.connect() as connection:
        connection.set_model_version_tag("tiny", number, key, value)


def require_refused(false_claims: Collection[str]) -> None:
    """Check that version 2 claims to have passed, that its false claims are named, and that it stays out.

    Args:
        false_claims: names of the claims that the verification has to name.
    """
    accept_project()
    with client.connect() as connection:
        assert connection.get_model_version("tiny", "2").tags[schema.VERDICT] == "pass"
    verification = verify_number(2)
    assert not verification.passed
    assert {difference.name for difference in verification.differences} == set(false_claims)
    with pytest.raises(SadclError, match=r"The verified verdict is fail.*verdict: claimed pass, verified fail"):
        approve(2, "deceived")
    assert champion() == "1"
