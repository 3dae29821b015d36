"""Contexts for MLflow: no log lines, errors as sentences, global state restored."""

import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from sadcl.databases import without_login
from sadcl.errors import SadclError, first_line

ADDRESS = "MLFLOW_TRACKING_URI"

DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Environment variables for MLflow; those that the user has set stay."""

FIXES = {
    "UNAUTHENTICATED": "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    "PERMISSION_DENIED": "Log in with an account that has this right",
    "RESOURCE_DOES_NOT_EXIST": "`sadcl status` shows what exists",
    "WAIT": "Wait a minute, then try again with the right password",
}

one_at_a_time = threading.RLock()
"""Held while MLflow's global state is changed: it belongs to the whole process."""


def set_defaults() -> None:
    """Set the variables of ``DEFAULTS`` for the rest of the process."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


@contextmanager
def silence() -> Iterator[None]:
    """Switch off telemetry, warnings and log lines: users of sadcl can't act on them."""
    set_defaults()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.utils.logging_utils import MLFLOW_LOGGING_STREAM

        alembic, stream = logging.getLogger("alembic"), vars(MLFLOW_LOGGING_STREAM)
        level, write = alembic.level, stream.get("write")
        alembic.setLevel(logging.ERROR)
        stream["write"] = lambda text: None  # MLflow's autologging turns its own switch on again
        try:
            yield
        finally:
            stream.pop("write") if write is None else stream.update(write=write)
            alembic.setLevel(level)


@contextmanager
def pointed_at(uri: str) -> Iterator[None]:
    """Set MLflow's global address, for calls that take no client, and restore it afterwards."""
    import mlflow

    with one_at_a_time:
        environment = os.environ.get(ADDRESS)
        known = mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call]
        before = mlflow.get_tracking_uri() if known else None
        mlflow.set_tracking_uri(uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None resets it
            if environment is None:
                os.environ.pop(ADDRESS, None)
            else:
                os.environ[ADDRESS] = environment


@contextmanager
def translate_errors(uri: str) -> Iterator[None]:
    """Translate MLflow's errors into sentences.

    Raises:
        SadclError: MLflow, its database or its connection raised an error.
    """
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (RequestException, SQLAlchemyError) as error:
        raise SadclError(
            f"The registry failed: {first_line(error)}",
            where=without_login(uri),
            fix=f"Check {ADDRESS}, then try again",
        ) from error
    except MlflowException as error:
        cause = error.__cause__ if isinstance(error.__cause__, MlflowException) else error  # the server's own message
        raise _sentence(cause, uri) from error


def failed_response(status: int, uri: str) -> SadclError:
    """Error for a server that answers with an error's status."""
    where = without_login(uri)
    if status == 429:
        return SadclError("The registry asks you to wait: too many log-ins failed", where=where, fix=FIXES["WAIT"])
    problem = f"The registry answers with status {status}"
    return SadclError(problem, where=where, fix="Read the server's log, then try again")


def _sentence(error: Exception, uri: str) -> SadclError:
    where = without_login(uri)
    text, code = first_line(error), str(getattr(error, "error_code", ""))
    if status := re.search(r"too many (\d+) error responses", str(error)):  # urllib3's words, after it has tried again
        return failed_response(int(status[1]), uri)
    if "Max retries" in text or "failed with exception" in text:
        return SadclError("The registry can't be reached", where=where, fix=f"Start the server, or check {ADDRESS}")
    if "error code 401" in text:
        return SadclError("The registry does not know you", where=where, fix=FIXES["UNAUTHENTICATED"])
    if "error code 403" in text:
        return SadclError("Your account may not do this", where=where, fix=FIXES["PERMISSION_DENIED"])
    if "out-of-date database schema" in text:
        return SadclError(
            "The registry was written by another version of MLflow",
            where=where,
            fix=f"Back it up, then run `mlflow db upgrade {where}`",
        )
    return SadclError(f"The registry refused: {text}", where=where, fix=FIXES.get(code, f"Check {ADDRESS}"))
