"""Times of a log: where the clock went back."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sadcl.progress import duration

TOLERANCE = 2.0
"""Seconds that a clock may go back unmentioned: time servers correct it now and then."""


def notes(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """One text per entry: empty, or that its time is earlier than that of the entry before it."""
    texts, before = [], None
    for entry in entries:
        time, text = _time(entry), ""
        if before is not None and time is not None and (back := (before - time).total_seconds()) > TOLERANCE:
            text = f" (The clock went back by {duration(back)} before this line.)"
        texts.append(text)
        before = time or before
    return texts


def _time(entry: Mapping[str, Any]) -> datetime | None:
    with suppress(ValueError):
        time = datetime.fromisoformat(str(entry.get("time")))
        return time if time.tzinfo else None  # times with and without a zone can't be compared
    return None
