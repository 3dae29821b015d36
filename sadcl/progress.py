"""Progress for people: bars in a terminal, a line every ten seconds in a log."""

import io
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

QUIET_SECONDS = 3.0
LOG_SECONDS = 10.0
_silent = False
JOINERS = "\u200c\u200d"


def prepare_output() -> None:
    """Set up the output of a command: its lines alone, with letters that the terminal lacks escaped.

    Warnings and log lines of libraries would bury the one sentence that says what to do;
    ``PYTHONWARNINGS=default`` shows them.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        # where the root logger has a handler, no record goes to stderr as a last resort
        logging.getLogger().addHandler(logging.NullHandler())


def silence() -> None:
    """Show neither lines nor progress from now on: another process shows them for this one."""
    global _silent
    _silent = True


def say(line: str) -> None:
    """Print one line at once; a reader that has gone, such as ``head``, ends the output and not the work."""
    if _silent:
        return
    try:
        print(line, flush=True)
    except BrokenPipeError:
        # the descriptor, not the stream: processes that this one starts would break on it too
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def try_say(line: str) -> None:
    """Print a line of a service; a log on a full disk, or a terminal that was closed, ends no service."""
    with suppress(OSError, ValueError):
        say(line)


def hint(line: str) -> None:
    """Print the usual next step, if the output is a terminal; scripts that read the output never get it."""
    if sys.stdout.isatty():
        print(f"Next: {line}", flush=True)


def track(
    items: Iterable[T],
    description: str,
    *,
    total: int | None = None,
    unit: str = "images",
    each: int = 1,
    size: Callable[[T], int] | None = None,
) -> Iterator[T]:
    """Yield ``items`` and show progress, rate and remaining time on stderr (terminal) or stdout (log).

    Args:
        items: the items to iterate over.
        description: one or two words, such as ``reading photos``.
        total: number of items, if ``items`` has no length.
        unit: unit of the rate.
        each: units per item, such as the photos of a batch.
        size: what an item counts towards ``total``; by default one.
    """
    count = total if total is not None else len(items) if isinstance(items, Sized) else None
    show = _bar if sys.stderr.isatty() else _lines
    yield from items if _silent else show(items, description, count, unit, each, size or (lambda item: 1))


def duration(seconds: float) -> str:
    """A duration in seconds as text: ``42 s``, ``3 min 05 s``, ``1 h 12 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def select_score(mean_ap: float | None) -> str:
    """Describe mAP on the select split, in percent; None where there is no such split."""
    return "no select split" if mean_ap is None else f"select mAP {mean_ap:.2f}"


def rate(count: float, seconds: float, unit: str) -> str:
    """A rate as text: ``1,200 photos/s``, ``2.5 photos/s``, ``4.0 photos/min``, ``1.5 photos/h``."""
    speed = count / max(seconds, 1e-9)
    if speed >= 10:
        return f"{speed:,.0f} {unit}/s"
    for period, name in ((1, "s"), (60, "min"), (3600, "h")):
        if speed * period >= 0.95 or name == "h":
            break
    return f"{speed * period:.1f} {unit}/{name}"


def _bar(
    items: Iterable[T], description: str, count: int | None, unit: str, each: int, size: Callable[[T], int]
) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bar:
        task = bar.add_task(description, total=count, rate="", visible=False)
        done = 0
        for item in items:
            yield item
            done += size(item)
            spent = time.monotonic() - started
            bar.update(
                task,
                completed=done,
                rate=rate(done * each, spent, unit),
                visible=spent > QUIET_SECONDS,
            )


def _lines(
    items: Iterable[T], description: str, count: int | None, unit: str, each: int, size: Callable[[T], int]
) -> Iterator[T]:
    started = shown = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += size(item)
        now = time.monotonic()
        if now - shown < LOG_SECONDS:
            continue
        shown, spent = now, now - started
        left = f", {duration(spent / done * (count - done))} left" if count else ""
        of = f"/{count}" if count else ""
        say(f"  {description}: {done}{of}, {rate(done * each, spent, unit)}{left}")


def printable(text: str) -> str:
    """Escape characters of somebody else's text that could move a terminal's cursor or reverse a line.

    Joiners stay: letters of some scripts, and pictographs, are written with them.
    """
    return "".join(letter if letter.isprintable() or letter in JOINERS else ascii(letter)[1:-1] for letter in text)
