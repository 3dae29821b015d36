"""Prefect's log and last words without tracebacks of what a person can mend."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sadcl.errors import SadclError

if TYPE_CHECKING:
    from prefect import State

LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


class Sentences(logging.Filter):
    """An error that a person can mend is told in its own words."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, some of them shorter."""
        if record.exc_info and isinstance(record.exc_info[1], SadclError):
            record.msg, record.args, record.exc_info = str(record.exc_info[1]), (), None
        return True


def install_log_filter() -> None:
    """Put the filter on Prefect's loggers, once; and nothing about its own queues after our last words."""
    logging.getLogger("EventsWorker").setLevel(logging.ERROR)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, Sentences) for one in logger.filters):
            logger.addFilter(Sentences())


@contextmanager
def translate_errors() -> Iterator[None]:
    """A server that is not there, or goes away, as a sentence.

    Raises:
        SadclError: instead of what Prefect's client raised.
    """
    from httpx import HTTPError, HTTPStatusError

    try:
        yield
    except (HTTPError, RuntimeError) as error:
        if isinstance(error, HTTPStatusError) and error.response.status_code == 401:
            raise unknown() from error
        if isinstance(error, RuntimeError) and not str(error).startswith("Failed to reach API"):
            raise
        raise SadclError(
            "The Prefect server can't be reached",
            where=_address(),
            fix="Start it (`prefect server start`), or check PREFECT_API_URL; without one, a run has its own server",
        ) from error


def unknown() -> SadclError:
    """The server asks for a log-in, and ours is none or another."""
    return SadclError(
        "The Prefect server does not know you",
        where=_address(),
        fix="Set PREFECT_API_AUTH_STRING; `sadcl user prefect` says to what, where `sadcl up` runs",
    )


def _address() -> str:
    return os.environ.get("PREFECT_API_URL") or "the address of Prefect's profile"


def describe(state: "State[Any]") -> str:
    """What came of a run, for the terminal: an error that a person can mend in its own words."""
    if not state.is_completed():
        error = state.result(raise_on_failure=False)
        if isinstance(error, SadclError):
            return str(error)
    return state.message or ""
