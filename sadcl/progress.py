"""What a person sees while something runs: bars in a terminal, a line every ten seconds in a log."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")

QUIET_SECONDS = 3.0
LOG_SECONDS = 10.0


def say(line: str) -> None:
    """Print one line at once."""
    print(line, flush=True)


def hint(line: str) -> None:
    """Print what usually comes next, for a person at a terminal; programs that read the output never see it."""
    if sys.stdout.isatty():
        print(f"Next: {line}", flush=True)


def track(
    items: Iterable[T], what: str, *, total: int | None = None, unit: str = "images", each: int = 1
) -> Iterator[T]:
    """Pass ``items`` on and show how far they are, with rate and time left.

    Args:
        items: what is worked through.
        what: a word or two for the line, such as ``reading photos``.
        total: how many items there are, when ``items`` does not know.
        unit: what one item counts as in the rate.
        each: how many units one item stands for (the photos in a batch).
    """
    count = total if total is not None else len(items) if isinstance(items, Sized) else None
    show = _bar if sys.stderr.isatty() else _lines
    yield from show(items, what, count, unit, each)


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``42 s``, ``3 min 05 s``, ``1 h 12 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _bar(items: Iterable[T], what: str, count: int | None, unit: str, each: int) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bar:
        task = bar.add_task(what, total=count, rate="", visible=False)
        for done, item in enumerate(items, start=1):
            yield item
            spent = time.monotonic() - started
            bar.update(
                task,
                completed=done,
                rate=f"{done * each / max(spent, 1e-9):,.0f} {unit}/s",
                visible=spent > QUIET_SECONDS,
            )


def _lines(items: Iterable[T], what: str, count: int | None, unit: str, each: int) -> Iterator[T]:
    started = shown = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - shown < LOG_SECONDS:
            continue
        shown, spent = now, now - started
        left = f", {duration(spent / done * (count - done))} left" if count else ""
        of = f"/{count}" if count else ""
        say(f"  {what}: {done}{of}, {done * each / spent:,.0f} {unit}/s{left}")
