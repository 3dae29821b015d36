"""Connection to the registry: its address, a quiet MLflow client, and the commands of MLflow's server."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sadcl import databases, files, layout, processes
from sadcl.errors import SadclError
from sadcl.progress import say
from sadcl.registry import mlflow_context

if TYPE_CHECKING:
    from mlflow import MlflowClient

ADDRESS = mlflow_context.ADDRESS
USERNAME, PASSWORD = processes.LOGIN
HOST = "127.0.0.1"
LOOPBACK = (HOST, "localhost", "[::1]")
"""Names of this host. Against DNS rebinding, servers refuse a foreign name that resolves to it."""
ALLOWED_HOSTS = {
    "MLFLOW_SERVER_ALLOWED_HOSTS": os.environ.get(
        "MLFLOW_SERVER_ALLOWED_HOSTS", "127.0.0.1,127.0.0.1:*,localhost,localhost:*,[::1],[[]::1]:*"
    )
}
"""Environment of MLflow's server: names of loopback. Its default, such as 10.*, takes 10.evil.example too."""


def registry_address(root: Path = Path(".")) -> str:
    """Address of the registry: ``MLFLOW_TRACKING_URI``, or SQLite in the project.

    Raises:
        SadclError: it is a database in memory, which would forget the models.
    """
    address = os.environ.get(ADDRESS) or f"sqlite:///{(root / layout.MLFLOW_DATABASE).resolve()}"
    return databases.require_lasting(address, "models", ADDRESS)


def database_file(root: Path = Path(".")) -> Path | None:
    """SQLite file of the registry; None where the registry is a server."""
    return databases.sqlite_file(registry_address(root))


def artifact_folder(root: Path = Path(".")) -> Path | None:
    """Folder with models and reports of an SQLite registry, beside its file; None where a server has its own."""
    file = database_file(root)
    return None if file is None else file.parent / "mlartifacts"


def registry_exists(root: Path = Path(".")) -> bool:
    """Whether the registry exists: before the first registration a project has no SQLite file."""
    file = database_file(root)
    return file is None or file.exists()


def temporary_folder_note(root: Path = Path(".")) -> str:
    """Sentence about a registry that will vanish before its project: it is in a temporary folder; empty elsewhere."""
    path = databases.local_path(registry_address(root))
    if path is None or not databases.is_temporary(path) or databases.is_temporary(root):
        return ""
    return f"The registry is in a temporary folder, which the system empties ({path}). Check {ADDRESS}."


@contextmanager
def connect(root: Path = Path("."), changing: bool = False) -> Iterator["MlflowClient"]:
    """Yield a client of the registry; inside, MLflow is quiet and its errors are sentences.

    Args:
        root: the project's folder.
        changing: take the project's lock, so that one process at a time changes the registry.

    Raises:
        SadclError: the registry can't be reached, refuses the request, or lacks what it names.
    """
    _make_folder(root)
    with ExitStack() as stack:
        if changing:
            if note := temporary_folder_note(root):
                _note_once(note)
            stack.enter_context(files.lock(root / layout.REGISTRY_LOCK, "changing the registry"))
        stack.enter_context(mlflow_context.silence())
        stack.enter_context(mlflow_context.translate_errors(registry_address(root)))
        stack.enter_context(mlflow_context.pointed_at(registry_address(root)))
        from mlflow import MlflowClient

        yield MlflowClient(tracking_uri=registry_address(root), registry_uri=registry_address(root))


@contextmanager
def logged_in_as(name: str, password: str) -> Iterator[None]:
    """Log in to the registry with another account.

    MLflow reads the account from the environment of the process, so other threads wait meanwhile.
    """
    login = {USERNAME: name, PASSWORD: password}
    with mlflow_context.one_at_a_time:
        before = {variable: os.environ.get(variable) for variable in login}
        try:
            os.environ.update(login)
            yield
        finally:
            for variable, value in before.items():
                if value is None:
                    os.environ.pop(variable, None)
                else:
                    os.environ[variable] = value


def check_connection(root: Path = Path(".")) -> None:
    """Check the connection by a small request.

    Raises:
        SadclError: the registry can't be reached or refuses.
    """
    with connect(root) as client:
        client.search_registered_models(max_results=1)


def pages_command(port: int, root: Path = Path(".")) -> list[str]:
    """Command that serves MLflow's pages of an SQLite registry on loopback.

    Raises:
        SadclError: the registry is a server, which serves its pages itself.
    """
    folder = artifact_folder(root)
    if folder is None:
        raise SadclError(
            "The server already serves MLflow's pages",
            where=databases.without_login(registry_address(root)),
            fix="Open it in a browser",
        )
    folder.mkdir(parents=True, exist_ok=True)
    variables = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", **ALLOWED_HOSTS}
    return [
        "env",
        *(f"{name}={value}" for name, value in variables.items()),
        *server_command(port),
        "--backend-store-uri",
        registry_address(root),
        "--default-artifact-root",
        str(folder),
    ]


def server_command(port: int) -> list[str]:
    """Command that starts MLflow's server on loopback, without its storage options."""
    return [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]


@cache
def _note_once(note: str) -> None:
    say(f"Note: {note}")


def _make_folder(root: Path) -> None:
    file = database_file(root)
    try:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SadclError(
            f"The registry's folder can't be created: {error.strerror}", where=file, fix=f"Check {ADDRESS}"
        ) from None
