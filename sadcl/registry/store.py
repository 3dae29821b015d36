"""Where the registry is, how MLflow starts quietly, and its errors in our words: the one door to MLflow."""

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sadcl import files
from sadcl.errors import SadclError

if TYPE_CHECKING:
    from mlflow import MlflowClient

ADDRESS = "MLFLOW_TRACKING_URI"
DATABASE = Path(".sadcl/mlflow.db")
LOCK = Path(".sadcl/registry.lock")
HOST = "127.0.0.1"

DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
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

_one_at_a_time = threading.RLock()


def address(root: Path = Path(".")) -> str:
    """The registry's address: ``MLFLOW_TRACKING_URI``, or sqlite in the project."""
    return os.environ.get(ADDRESS) or f"sqlite:///{(root / DATABASE).resolve()}"


def database(root: Path = Path(".")) -> Path | None:
    """The sqlite file behind the address; None where it is a server."""
    where = address(root)
    return Path(where.removeprefix("sqlite:///")).resolve() if where.startswith("sqlite:///") else None


def artifacts(root: Path = Path(".")) -> Path | None:
    """Where models and reports of a sqlite registry lie, beside its file; a server knows its own place."""
    file = database(root)
    return None if file is None else file.parent / "mlartifacts"


def exists(root: Path = Path(".")) -> bool:
    """Whether there is anything to ask; a project that registered nothing yet has no file."""
    file = database(root)
    return file is None or file.exists()


@contextmanager
def opened(root: Path = Path("."), changing: bool = False) -> Iterator["MlflowClient"]:
    """A client of the registry; inside, MLflow is quiet and its errors are sentences.

    Args:
        root: the project's folder.
        changing: one process of this project at a time.

    Raises:
        SadclError: the registry can't be reached, refuses, or does not know what is asked for.
    """
    _make_room(root)
    with ExitStack() as stack:
        if changing:
            stack.enter_context(files.held(root / LOCK, "changing the registry"))
        stack.enter_context(_quiet())
        stack.enter_context(_plain_words(address(root)))
        stack.enter_context(_pointed_at(address(root)))
        from mlflow import MlflowClient

        yield MlflowClient(tracking_uri=address(root), registry_uri=address(root))


def check(root: Path = Path(".")) -> None:
    """Ask the registry for nothing much.

    Raises:
        SadclError: it can't be reached or refuses.
    """
    with opened(root) as client:
        client.search_registered_models(max_results=1)


def page_command(port: int, root: Path = Path(".")) -> list[str]:
    """The command that shows MLflow's pages on loopback.

    Raises:
        SadclError: the registry is a server, which shows its pages itself.
    """
    place = artifacts(root)
    if place is None:
        raise SadclError(
            "MLflow's pages are shown by the server already", where=_shown(address(root)), fix="Open it in a browser"
        )
    place.mkdir(parents=True, exist_ok=True)
    quiet = ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false", "MLFLOW_DISABLE_TELEMETRY=true"]
    return [
        "env", *quiet, sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port),
        "--workers", "1", "--backend-store-uri", address(root), "--default-artifact-root", str(place),
    ]  # fmt: skip


def _make_room(root: Path) -> None:
    file = database(root)
    try:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SadclError(
            f"There can be no registry here: {error.strerror}", where=file, fix=f"Check {ADDRESS}"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
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
def _pointed_at(where: str) -> Iterator[None]:
    """MLflow's own global address, for calls that take no client; put back afterwards."""
    import mlflow

    with _one_at_a_time:
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
def _plain_words(where: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (RequestException, SQLAlchemyError) as error:
        raise SadclError(
            f"The registry failed: {_first_line(error)}", where=_shown(where), fix=f"Check {ADDRESS}, then try again"
        ) from error
    except MlflowException as error:
        raise _sentence(error, where) from error


def _sentence(error: Exception, where: str) -> SadclError:
    text, code = _first_line(error), str(getattr(error, "error_code", ""))
    if "Max retries" in text or "failed with exception" in text:
        return SadclError(
            "The registry can't be reached", where=_shown(where), fix=f"Start the server, or check {ADDRESS}"
        )
    if "error code 401" in text:
        return SadclError("The registry does not know you", where=_shown(where), fix=FIXES["UNAUTHENTICATED"])
    if "out-of-date database schema" in text:
        return SadclError(
            "The registry was written by another MLflow",
            where=_shown(where),
            fix=f"Keep a copy of it, then run `mlflow db upgrade {_shown(where)}`",
        )
    return SadclError(f"The registry refused: {text}", where=_shown(where), fix=FIXES.get(code, f"Check {ADDRESS}"))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:300]


def _shown(where: str) -> str:
    """The address without a password."""
    parts = urlsplit(where)
    return where.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)
