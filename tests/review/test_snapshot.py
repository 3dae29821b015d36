"""Decisions of the audit log by version, and times as pages show them."""

from sadcl.review.context import _day
from sadcl.review.snapshot import decision_from_log, latest_by_version, promotions


def test_decisions_on_another_model_are_not_those_of_this_one() -> None:
    """The name of the model in params.yaml may change; version 1 of the new model is another one."""
    about = {"challenger": "models:/old/1", "model": "old-production", "to": "1", "action": "promote", "reason": "good"}
    log = [decision_from_log(about)]
    assert (list(latest_by_version(log, "old")), list(promotions(log, "old"))) == (["1"], ["1"])
    assert (latest_by_version(log, "new"), promotions(log, "new")) == ({}, {})


def test_times_of_other_zones_are_shown_in_utc() -> None:
    assert _day("2026-01-01T12:00:00+05:00") == "2026-01-01 07:00 UTC"
    assert _day("2026-01-01T12:00:00") == "2026-01-01 12:00 UTC"
    assert _day("soon") == "soon"
