"""A team's server on this host: where it is, what it keeps, and the names that it begins with."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import files, layout, params, processes
from sadcl.errors import SadclError
from sadcl.registry import client as store
from sadcl.registry import mlflow_context, schema

if TYPE_CHECKING:
    from mlflow.server.auth.client import AuthServiceClient
UP = layout.TEAM / "up.json"
"""Who runs the servers, and the registry's address; `sadcl up` writes it."""
ADMINISTRATOR = layout.TEAM / "administrator.json"
"""The administrator's name, and every password that this host needs; nobody else may read it."""
LEDGER = layout.TEAM / "ledger.jsonl"
APP = "sadcl-guard"

TRAINER, REVIEWER, READER = "trainer", "reviewer", "reader"
WORKER = "worker"
"""The account in whose name a scheduled run registers."""
WORKSPACE = "default"
"""MLflow's name for the only one there is."""


def running(root: Path = Path(".")) -> dict[str, Any] | None:
    """What `sadcl up` wrote, while it runs; None where it does not."""
    path = root / UP
    found: dict[str, Any] | None = files.read_json(path) if path.is_file() else None
    return found if found is not None and processes.is_alive(found["up"]) else None


def administrator(root: Path = Path("."), make: bool = False) -> dict[str, str] | None:
    """What `ADMINISTRATOR` holds, where this project's server is on this host.

    Args:
        root: the project's folder.
        make: make up what is missing.

    Returns:
        ``username`` and ``password`` of the administrator, the server's ``secret``, the ``worker``'s password, and
        ``prefect``, which Prefect's server asks for.
    """
    path = root / ADMINISTRATOR
    kept: dict[str, str] | None = files.read_json(path) if path.is_file() else None
    if not make:
        return kept
    made = {"username": "admin", "password": secrets.token_urlsafe(18), "secret": secrets.token_urlsafe(32)}
    made |= {"worker": secrets.token_urlsafe(18), "prefect": f"sadcl:{secrets.token_urlsafe(18)}", **(kept or {})}
    if made != kept:
        with files.atomic_write(path) as beside:
            beside.touch(mode=0o600)
            beside.write_text(files.json_text(made), encoding="utf-8")
    return made


def worker_login(root: Path = Path(".")) -> dict[str, str]:
    """The log-in of the worker's account, as the environment of MLflow's client has it."""
    kept = administrator(root, make=True)
    assert kept is not None
    return {store.USERNAME: WORKER, store.PASSWORD: kept["worker"]}


def prefect_login(root: Path = Path(".")) -> str:
    """What Prefect's server asks for, as ``PREFECT_API_AUTH_STRING`` has it.

    Raises:
        SadclError: there is no such server on this host.
    """
    kept = administrator(root) or {}
    if "prefect" not in kept:
        raise SadclError("No team's servers ran here yet", where=root / ADMINISTRATOR, fix="Start them by `sadcl up`")
    return kept["prefect"]


def server(port: int, root: Path = Path(".")) -> tuple[list[str], dict[str, str]]:
    """The command that starts the guarded server on loopback, and its environment."""
    folder = (root / layout.TEAM).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    settings = folder / "accounts.ini"
    files.write_text(
        settings,
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/accounts.db\n"
        "admin_username = admin\nauth_cache_ttl_seconds = 60\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
    )
    admin = administrator(root, make=True)
    assert admin is not None
    environment = {
        store.ADDRESS: f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_PASSWORD": admin["password"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": admin["secret"],
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "SADCL_LEDGER": str((root / LEDGER).resolve()),
    }
    database, artefacts = f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts")
    kept = ["--backend-store-uri", database, "--artifacts-destination", artefacts]
    return [*store.server_command(port), "--app-name", APP, *kept], environment


def set_up(address: str, root: Path = Path(".")) -> None:
    """Make what only the administrator may make: both models, the experiment, the roles, the worker's account.

    Again is no harm.

    Raises:
        SadclError: the server can't be reached, or refuses.
    """
    name = params.load("register", path=root / params.FILE).register_.name
    admin = administrator(root)
    assert admin is not None
    with (
        store.logged_in_as(admin["username"], admin["password"]),
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
        found = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name, tags=schema.KIND) if found is None else found.experiment_id
        rights = {
            TRAINER: [("experiment", str(experiment)), ("registered_model", name)],
            REVIEWER: [("registered_model", schema.production(name))],
            READER: [],
        }
        accounts = AuthServiceClient(address)
        _roles(accounts, rights)
        _worker(accounts, admin["worker"])


def _roles(accounts: "AuthServiceClient", rights: dict[str, list[tuple[str, str]]]) -> None:
    there = {role.name: role for role in accounts.list_roles(WORKSPACE)}
    for name, wanted in rights.items():
        role = there.get(name) or accounts.create_role(WORKSPACE, name)
        given = {(p.resource_type, p.resource_pattern) for p in accounts.list_role_permissions(role.id)}
        for kind, which in wanted:
            if (kind, which) not in given:
                accounts.add_role_permission(role.id, kind, which, "EDIT")


def _worker(accounts: "AuthServiceClient", password: str) -> None:
    from mlflow.exceptions import MlflowException

    trainer = next(role.id for role in accounts.list_roles(WORKSPACE) if role.name == TRAINER)
    try:
        given = accounts.list_user_roles(WORKER)
    except MlflowException:  # nobody has this name yet
        accounts.create_user(WORKER, password)
        given = []
    if trainer not in {role.id for role in given}:
        accounts.assign_role(WORKER, trainer)
