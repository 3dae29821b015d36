"""MLflow without its noise: no log lines, its errors in our words, its globals as they were."""

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from sadcl.errors import SadclError

ADDRESS = "MLFLOW_TRACKING_URI"

DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Environment that MLflow reads; what a person has set stays."""

FIXES = {
    "UNAUTHENTICATED": "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    "PERMISSION_DENIED": "Ask a person who may do this, or log in as one",
    "RESOURCE_DOES_NOT_EXIST": "`sadcl status` says what is there",
}

one_at_a_time = threading.RLock()


@contextmanager
def silence() -> Iterator[None]:
    """No telemetry, no warnings, no log lines: nobody who only uses sadcl could act on them."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.utils.logging_utils import MLFLOW_LOGGING_STREAM

        alembic, stream = logging.getLogger("alembic"), vars(MLFLOW_LOGGING_STREAM)
        level, spoke = alembic.level, stream.get("write")
        alembic.setLevel(logging.ERROR)
        stream["write"] = lambda text: None  # its own switch is put back on by MLflow's autologging
        try:
            yield
        finally:
            stream.pop("write") if spoke is None else stream.update(write=spoke)
            alembic.setLevel(level)


@contextmanager
def pointed_at(where: str) -> Iterator[None]:
    """MLflow's own global address, for calls that take no client; put back afterwards."""
    import mlflow

    with one_at_a_time:
        environment = os.environ.get(ADDRESS)
        known = mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call]
        before = mlflow.get_tracking_uri() if known else None
        mlflow.set_tracking_uri(where)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None is how it forgets
            if environment is None:
                os.environ.pop(ADDRESS, None)
            else:
                os.environ[ADDRESS] = environment


@contextmanager
def translate_errors(where: str) -> Iterator[None]:
    """MLflow's errors as sentences.

    Raises:
        SadclError: instead of what MLflow, its database or its connection raised.
    """
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (RequestException, SQLAlchemyError) as error:
        raise SadclError(
            f"The registry failed: {_first_line(error)}", where=shown(where), fix=f"Check {ADDRESS}, then try again"
        ) from error
    except MlflowException as error:
        answer = error.__cause__ if isinstance(error.__cause__, MlflowException) else error  # the server's own words
        raise _sentence(answer, where) from error


def _sentence(error: Exception, where: str) -> SadclError:
    text, code = _first_line(error), str(getattr(error, "error_code", ""))
    if "Max retries" in text or "failed with exception" in text:
        return SadclError(
            "The registry can't be reached", where=shown(where), fix=f"Start the server, or check {ADDRESS}"
        )
    if "error code 401" in text:
        return SadclError("The registry does not know you", where=shown(where), fix=FIXES["UNAUTHENTICATED"])
    if "error code 403" in text:
        return SadclError("The registry does not allow you this", where=shown(where), fix=FIXES["PERMISSION_DENIED"])
    if "out-of-date database schema" in text:
        return SadclError(
            "The registry was written by another MLflow",
            where=shown(where),
            fix=f"Keep a copy of it, then run `mlflow db upgrade {shown(where)}`",
        )
    return SadclError(f"The registry refused: {text}", where=shown(where), fix=FIXES.get(code, f"Check {ADDRESS}"))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:300]


def shown(where: str) -> str:
    """The address without a password."""
    parts = urlsplit(where)
    return where.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)
