"""Messages of Prefect's logs and states without tracebacks of errors that a person can fix."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from sadcl.errors import SadclError
from sadcl.progress import say

if TYPE_CHECKING:
    from prefect import State

SERVER_FIX = "Check that the server has the same version of Prefect, and read its log"
"""Advice where the server answers with an error."""
LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


class TracebackFilter(logging.Filter):
    """Replaces the traceback of a ``SadclError`` by its message."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record, and shorten those of a ``SadclError``."""
        if record.exc_info and isinstance(record.exc_info[1], SadclError):
            record.msg, record.args, record.exc_info = str(record.exc_info[1]), (), None
        return True


def install_log_filter() -> None:
    """Add the filter to Prefect's loggers once, and silence warnings of its event queue at exit."""
    logging.getLogger("EventsWorker").setLevel(logging.ERROR)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(item, TracebackFilter) for item in logger.filters):
            logger.addFilter(TracebackFilter())


@contextmanager
def translate_errors() -> Iterator[None]:
    """Convert errors of Prefect's client to ``SadclError``.

    Raises:
        SadclError: the server can't be reached, disappears, rejects the login, or answers with an error.
    """
    from httpx import HTTPError, HTTPStatusError

    try:
        yield
    except (HTTPError, RuntimeError) as error:
        if isinstance(error, HTTPStatusError):
            raise _status_error(error.response.status_code) from error
        if isinstance(error, RuntimeError) and not str(error).startswith("Failed to reach API"):
            raise
        raise SadclError(
            "The Prefect server can't be reached",
            where=_address(),
            fix="Start it (`prefect server start`), or check PREFECT_API_URL; without it, a run starts its own server",
        ) from error


def _status_error(status: int) -> SadclError:
    """Error for a server that answers a request with an error's status."""
    if status == 401:
        return login_error()
    return SadclError(f"The Prefect server answered with status {status}", where=_address(), fix=SERVER_FIX)


def login_error() -> SadclError:
    """Error for a server that rejects the login of this process."""
    return SadclError(
        "The Prefect server rejected the login",
        where=_address(),
        fix="Set PREFECT_API_AUTH_STRING to what `sadcl user prefect` prints on the host of `sadcl up`",
    )


def _address() -> str:
    return os.environ.get("PREFECT_API_URL") or "the address of Prefect's profile"


def run_command(name: str, run: "Callable[[], State[Any]]") -> NoReturn:
    """Run a flow as a command: print its result and exit with 0, or with 2 and a message.

    Args:
        name: of the command, which begins the line.
        run: runs the flow.
    """
    try:
        state = run()
    except SadclError as error:
        print(f"{name}: failed: {error}", file=sys.stderr)
        sys.exit(2)
    say(f"{name}: {(state.name or '').lower()}: {describe(state)}")
    sys.exit(0 if state.is_completed() else 2)


def describe(state: "State[Any]") -> str:
    """Result of a run in one sentence: the message of its error, or of its state."""
    if state.is_final() and not state.is_completed():
        error = state.result(raise_on_failure=False)
        if isinstance(error, SadclError):
            return str(error)
    return state.message or ""
