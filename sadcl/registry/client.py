"""Where the registry is, how MLflow starts quietly, and its errors in our words: the one door to MLflow."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sadcl import files, layout, processes
from sadcl.errors import SadclError
from sadcl.registry import mlflow_context

if TYPE_CHECKING:
    from mlflow import MlflowClient

ADDRESS = mlflow_context.ADDRESS
USERNAME, PASSWORD = processes.LOGIN
HOST = "127.0.0.1"


def address(root: Path = Path(".")) -> str:
    """The registry's address: ``MLFLOW_TRACKING_URI``, or sqlite in the project."""
    return os.environ.get(ADDRESS) or f"sqlite:///{(root / layout.MLFLOW_DATABASE).resolve()}"


def database(root: Path = Path(".")) -> Path | None:
    """The sqlite file behind the address; None where it is a server."""
    where = address(root)
    return Path(where.removeprefix("sqlite:///")).resolve() if where.startswith("sqlite:///") else None


def artifact_folder(root: Path = Path(".")) -> Path | None:
    """Where models and reports of a sqlite registry lie, beside its file; a server knows its own place."""
    file = database(root)
    return None if file is None else file.parent / "mlartifacts"


def exists(root: Path = Path(".")) -> bool:
    """Whether there is anything to ask; a project that registered nothing yet has no file."""
    file = database(root)
    return file is None or file.exists()


@contextmanager
def connect(root: Path = Path("."), changing: bool = False) -> Iterator["MlflowClient"]:
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
            stack.enter_context(files.lock(root / layout.REGISTRY_LOCK, "changing the registry"))
        stack.enter_context(mlflow_context.silence())
        stack.enter_context(mlflow_context.translate_errors(address(root)))
        stack.enter_context(mlflow_context.pointed_at(address(root)))
        from mlflow import MlflowClient

        yield MlflowClient(tracking_uri=address(root), registry_uri=address(root))


@contextmanager
def logged_in_as(name: str, password: str) -> Iterator[None]:
    """Ask the registry in a person's own name; nobody else in this process asks anything meanwhile."""
    mine = {USERNAME: name, PASSWORD: password}
    with mlflow_context.one_at_a_time:
        before = {variable: os.environ.get(variable) for variable in mine}
        try:
            os.environ.update(mine)
            yield
        finally:
            for variable, value in before.items():
                if value is None:
                    os.environ.pop(variable, None)
                else:
                    os.environ[variable] = value


def check(root: Path = Path(".")) -> None:
    """Ask the registry for nothing much.

    Raises:
        SadclError: it can't be reached or refuses.
    """
    with connect(root) as client:
        client.search_registered_models(max_results=1)


def page_command(port: int, root: Path = Path(".")) -> list[str]:
    """The command that shows MLflow's pages on loopback.

    Raises:
        SadclError: the registry is a server, which shows its pages itself.
    """
    folder = artifact_folder(root)
    if folder is None:
        raise SadclError(
            "MLflow's pages are shown by the server already",
            where=mlflow_context.shown(address(root)),
            fix="Open it in a browser",
        )
    folder.mkdir(parents=True, exist_ok=True)
    variables = ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false", "MLFLOW_DISABLE_TELEMETRY=true"]
    return [
        "env",
        *variables,
        *server_command(port),
        "--backend-store-uri",
        address(root),
        "--default-artifact-root",
        str(folder),
    ]


def server_command(port: int) -> list[str]:
    """The command that starts MLflow's server on loopback, without where it keeps its things."""
    return [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]


def _make_room(root: Path) -> None:
    file = database(root)
    try:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SadclError(
            f"There can be no registry here: {error.strerror}", where=file, fix=f"Check {ADDRESS}"
        ) from None
