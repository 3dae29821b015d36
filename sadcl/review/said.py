"""What was decided, as pages show it."""

from typing import Any

from sadcl.review.context import AppContext
from sadcl.review.sessions import Session

Decision = dict[str, Any]
LACKING = dict.fromkeys(("action", "user", "time", "reason"), "")
"""What a line of the audit that people wrote by hand may leave out."""


def decisions(at: AppContext, who: Session) -> list[Decision]:
    """All decisions, the newest first, each with ``number`` of the registered version that it is about."""
    told = [{key: value and str(value) for key, value in one.items()} for one in at.registry.decisions(who)]
    return [{**LACKING, **one, "number": (one.get("challenger") or "").rpartition("/")[2]} for one in told]


def last(said: list[Decision]) -> dict[str, Decision]:
    """The last decision about each registered version, by its number."""
    return {one["number"]: one for one in reversed(said)}


def crowned(said: list[Decision]) -> dict[str, Decision]:
    """The last decision that made each version in production the champion, by its number."""
    return {str(one["to"]): one for one in reversed(said) if one.get("to") and one.get("action") != "reject"}
