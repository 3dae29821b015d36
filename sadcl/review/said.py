"""What was decided, as pages show it."""

from typing import Any

from sadcl.review.desk import Desk
from sadcl.review.sessions import Session

Decision = dict[str, Any]


def decisions(at: Desk, who: Session) -> list[Decision]:
    """All decisions, the newest first, each with ``number`` of the registered version that it is about."""
    return [{**one, "number": str(one.get("challenger", "")).rpartition("/")[2]} for one in at.registry.decisions(who)]


def last(said: list[Decision]) -> dict[str, Decision]:
    """The last decision about each registered version, by its number."""
    return {one["number"]: one for one in reversed(said)}


def crowned(said: list[Decision]) -> dict[str, Decision]:
    """The last decision that made each version in production the champion, by its number."""
    return {str(one["to"]): one for one in reversed(said) if one.get("to") and one.get("action") != "reject"}
