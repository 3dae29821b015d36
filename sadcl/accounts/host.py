"""Team server on this host: its address, its files, and its initial models, roles and accounts."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import files, layout, params, processes
from sadcl.errors import SadclError
from sadcl.registry import mlflow_context, schema
from sadcl.registry.client import ADDRESS, PASSWORD, USERNAME, logged_in_as, server_command

if TYPE_CHECKING:
    from mlflow.server.auth.client import AuthServiceClient
STATE = layout.TEAM / "up.json"
"""Process of `sadcl up`, which writes this file, and the registry's address."""
ADMINISTRATOR = layout.TEAM / "administrator.json"
"""Name of the administrator and every password that this host needs; readable by its owner only."""
LEDGER = layout.TEAM / "ledger.jsonl"
APP = "sadcl-guard"

LOGIN_CACHE_SECONDS = 30 * 60
"""Seconds for which the server knows a right log-in again without computing the slow digest of its password. A changed
password, a deleted account and another administrator take effect at once: MLflow then forgets the account's log-ins."""
TRAINER, REVIEWER, READER = "trainer", "reviewer", "reader"
WORKER = "worker"
"""Account that registers the models of scheduled runs."""
WORKSPACE = "default"
"""MLflow's name of its only workspace."""


def running(root: Path = Path(".")) -> dict[str, Any] | None:
    """Content of ``STATE`` while `sadcl up` runs; None otherwise."""
    path = root / STATE
    state: dict[str, Any] | None = files.read_json(path) if path.is_file() else None
    return state if state is not None and processes.is_alive(state["up"]) else None


def administrator(root: Path = Path("."), make: bool = False) -> dict[str, str] | None:
    """Content of ``ADMINISTRATOR``; None where this project has no server on this host.

    Args:
        root: the project's folder.
        make: create what is missing.

    Returns:
        ``username`` and ``password`` of the administrator, the server's ``secret``, the ``worker``'s password, and
        ``prefect``, the log-in of Prefect's server.
    """
    path = root / ADMINISTRATOR
    stored: dict[str, str] | None = files.read_json(path) if path.is_file() else None
    if not make:
        return stored
    complete = {"username": "admin", "password": secrets.token_urlsafe(18), "secret": secrets.token_urlsafe(32)}
    complete |= {"worker": secrets.token_urlsafe(18), "prefect": f"sadcl:{secrets.token_urlsafe(18)}", **(stored or {})}
    if complete != stored:
        with files.atomic_write(path) as temporary:
            temporary.touch(mode=0o600)  # before the text: nobody else can read it at any moment
            temporary.write_text(files.json_text(complete), encoding="utf-8")
    return complete


def worker_login(root: Path = Path(".")) -> dict[str, str]:
    """Environment variables that log MLflow's client in as the worker."""
    stored = administrator(root, make=True)
    assert stored is not None
    return {USERNAME: WORKER, PASSWORD: stored["worker"]}


def prefect_login(root: Path = Path(".")) -> str:
    """Log-in of Prefect's server, for ``PREFECT_API_AUTH_STRING``.

    Raises:
        SadclError: this host has no such server.
    """
    stored = administrator(root) or {}
    if "prefect" not in stored:
        raise SadclError("No team servers ran here yet", where=root / ADMINISTRATOR, fix="Start them by `sadcl up`")
    return stored["prefect"]


def server(port: int, root: Path = Path(".")) -> tuple[list[str], dict[str, str]]:
    """Command that starts the guarded server on loopback, and its environment variables."""
    folder = (root / layout.TEAM).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    settings = folder / "accounts.ini"
    files.write_text(
        settings,
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/accounts.db\n"
        f"admin_username = admin\nauth_cache_ttl_seconds = {LOGIN_CACHE_SECONDS}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
    )
    admin = administrator(root, make=True)
    assert admin is not None
    environment = {
        ADDRESS: f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_PASSWORD": admin["password"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": admin["secret"],
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "SADCL_LEDGER": str((root / LEDGER).resolve()),
    }
    database, artifacts = f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts")
    storage = ["--backend-store-uri", database, "--artifacts-destination", artifacts]
    return [*server_command(port), "--app-name", APP, *storage], environment


def set_up(address: str, root: Path = Path(".")) -> None:
    """Create what only the administrator may create: both models, the experiment, the roles, the worker's account.

    A second call changes nothing.

    Raises:
        SadclError: the server can't be reached, or refuses.
    """
    name = params.load("register", path=root / params.FILE).register_.name
    admin = administrator(root)
    assert admin is not None
    with (
        logged_in_as(admin["username"], admin["password"]),
        mlflow_context.silence(),
        mlflow_context.translate_errors(address),
        mlflow_context.pointed_at(address),
    ):
        from mlflow import MlflowClient
        from mlflow.server.auth.client import AuthServiceClient

        client = MlflowClient(tracking_uri=address, registry_uri=address)
        for model in (name, schema.production(name)):
            if not client.search_registered_models(f"name = '{model}'"):
                client.create_registered_model(model)
        entity = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name, tags=schema.KIND) if entity is None else entity.experiment_id
        rights = {
            TRAINER: [("experiment", str(experiment)), ("registered_model", name)],
            REVIEWER: [("registered_model", schema.production(name))],
            READER: [],
        }
        accounts = AuthServiceClient(address)
        _create_roles(accounts, rights)
        _create_worker(accounts, admin["worker"])


def _create_roles(accounts: "AuthServiceClient", rights: dict[str, list[tuple[str, str]]]) -> None:
    """Create missing roles and permissions; ``rights`` has resource types and patterns to edit, by role."""
    existing = {role.name: role for role in accounts.list_roles(WORKSPACE)}
    for name, resources in rights.items():
        role = existing.get(name) or accounts.create_role(WORKSPACE, name)
        permissions = {(p.resource_type, p.resource_pattern) for p in accounts.list_role_permissions(role.id)}
        for resource in resources:
            if resource not in permissions:
                accounts.add_role_permission(role.id, *resource, "EDIT")


def _create_worker(accounts: "AuthServiceClient", password: str) -> None:
    from mlflow.exceptions import MlflowException

    trainer = next(role.id for role in accounts.list_roles(WORKSPACE) if role.name == TRAINER)
    try:
        roles = accounts.list_user_roles(WORKER)
    except MlflowException:  # the account is missing
        accounts.create_user(WORKER, password)
        roles = []
    if trainer not in {role.id for role in roles}:
        accounts.assign_role(WORKER, trainer)
