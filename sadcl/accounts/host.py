"""Team server on this host: its address, its files, and its initial models, roles and accounts."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import files, layout, params, processes
from sadcl.errors import SadclError
from sadcl.registry import identity, mlflow_context, schema
from sadcl.registry.client import ADDRESS, ALLOWED_HOSTS, PASSWORD, USERNAME, logged_in_as, server_command
from sadcl.registry.personal_client import PersonalClient

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.server.auth.client import AuthServiceClient
STATE = layout.TEAM / "up.json"
"""Process of `sadcl up`, which writes this file, the registry's address, and the state of each server."""
START_AGAIN = "Run `sadcl down`, then `sadcl up`"
"""Advice where ``STATE`` is damaged."""
RESTORE = "Restore it from a backup of the team's folder"
"""Advice where ``ADMINISTRATOR`` is damaged."""
ADMINISTRATOR = layout.TEAM / "administrator.json"
"""Name of the administrator and every password that this host needs; readable by its owner only."""
LEDGER = layout.TEAM / "ledger.jsonl"
APP = "sadcl-guard"

LOGIN_CACHE_SECONDS = 30 * 60
"""Seconds for which the server knows a right log-in again without computing the slow digest of its password. A changed
password, a deleted account and another administrator take effect at once: MLflow then forgets the account's log-ins."""
TRAINER, REVIEWER, READER = "trainer", "reviewer", "reader"
WORKER, VERIFIER = "worker", "verifier"
"""Accounts of this host: the first registers the models of scheduled runs, the second scores and judges versions.

The verifier has a role of its own name.
"""
WORKSPACE = "default"
"""MLflow's name of its only workspace."""


def exists(path: Path) -> bool:
    """Whether a file of the team's folder exists.

    Raises:
        SadclError: the folder belongs to another user.
    """
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        raise SadclError(
            "The team's files belong to another user", where=path, fix="Work as the user who ran `sadcl up`"
        ) from None


def running(root: Path = Path(".")) -> dict[str, Any] | None:
    """Content of ``STATE`` while `sadcl up` runs; None otherwise.

    Raises:
        SadclError: the file is damaged, or belongs to another user.
    """
    path = root / STATE
    if not exists(path):
        return None
    state = files.read_json(path, START_AGAIN)
    try:
        return dict(state) if state["registry"] and processes.is_alive(state["up"]) else None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise SadclError("The file is damaged", where=path, fix=START_AGAIN) from None


def administrator(root: Path = Path("."), create: bool = False) -> dict[str, str] | None:
    """Content of ``ADMINISTRATOR``; None where this project has no server on this host.

    Args:
        root: the project's folder.
        create: whether to create what is missing.

    Returns:
        ``username`` and ``password`` of the administrator, the server's ``secret``, the passwords of ``worker`` and
        ``verifier``, and ``prefect``, the log-in of Prefect's server.

    Raises:
        SadclError: the file is damaged, or belongs to another user.
    """
    path = root / ADMINISTRATOR
    stored: dict[str, str] | None = files.read_json(path, RESTORE) if exists(path) else None
    if stored is not None and not (isinstance(stored, dict) and all(isinstance(v, str) for v in stored.values())):
        raise SadclError("The file is damaged", where=path, fix=RESTORE)
    if not create:
        return stored
    complete = {"username": "admin", "password": secrets.token_urlsafe(18), "secret": secrets.token_urlsafe(32)}
    complete |= {account: secrets.token_urlsafe(18) for account in (WORKER, VERIFIER)}
    complete |= {"prefect": f"sadcl:{secrets.token_urlsafe(18)}", **(stored or {})}
    if complete != stored:
        with files.atomic_write(path) as temporary:
            temporary.touch(mode=0o600)  # before the text: nobody else can read it at any moment
            temporary.write_text(files.json_text(complete), encoding="utf-8")
    return complete


def account_login(account: str, root: Path = Path(".")) -> dict[str, str]:
    """Environment variables that log MLflow's client in as ``WORKER`` or ``VERIFIER``."""
    stored = administrator(root, create=True)
    assert stored is not None
    return {USERNAME: account, PASSWORD: stored[account]}


@contextmanager
def logged_in_as_verifier(root: Path = Path(".")) -> Iterator[None]:
    """Log in as the verifier: by the environment where it has a log-in, else by the passwords of this host.

    Raises:
        SadclError: there is neither.
    """
    if USERNAME in os.environ:
        yield
        return
    stored = administrator(root) or {}
    if VERIFIER not in stored:
        raise SadclError(
            "This is not the host of a team's server", where=root / ADMINISTRATOR,
            fix=f"Work there, or set {USERNAME} and {PASSWORD} to the verifier's",
        )  # fmt: skip
    with logged_in_as(VERIFIER, stored[VERIFIER]):
        yield


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
    database = str(folder / "accounts.db").replace("%", "%%")  # MLflow reads the file with interpolation
    files.write_text(
        settings,
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{database}\n"
        f"admin_username = admin\nauth_cache_ttl_seconds = {LOGIN_CACHE_SECONDS}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
    )
    admin = administrator(root, create=True)
    assert admin is not None
    environment = {
        ADDRESS: f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_PASSWORD": admin["password"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": admin["secret"],
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **ALLOWED_HOSTS,
        "SADCL_LEDGER": str((root / LEDGER).resolve()),
    }
    database, artifacts = f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts")
    storage = ["--backend-store-uri", database, "--artifacts-destination", artifacts]
    return [*server_command(port), "--app-name", APP, *storage], environment


def set_up(address: str, root: Path = Path(".")) -> None:
    """Create what only the administrator may create: models, experiments, roles, and the accounts of this host.

    A second call changes nothing.

    Raises:
        SadclError: the server can't be reached or refuses, or an account of this host's names is somebody else's.
    """
    name = params.load("register", path=root / params.FILE).register_.name
    admin = administrator(root, create=True)
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
        experiment, verification = (_experiment(client, title) for title in (name, schema.verification(name)))
        rights = {
            TRAINER: [("experiment", experiment), ("registered_model", name)],
            REVIEWER: [("registered_model", schema.production(name))],
            VERIFIER: [("experiment", verification)],
            READER: [],
        }
        accounts = AuthServiceClient(address)
        _create_roles(accounts, rights)
        for account, role in ((WORKER, TRAINER), (VERIFIER, VERIFIER)):
            _create_account(accounts, PersonalClient(address, account, admin[account]), role)


def _experiment(client: "MlflowClient", name: str) -> str:
    """Id of an experiment, which is created where it is missing."""
    entity = client.get_experiment_by_name(name)
    return str(client.create_experiment(name, tags=schema.KIND) if entity is None else entity.experiment_id)


def _create_roles(accounts: "AuthServiceClient", rights: dict[str, list[tuple[str, str]]]) -> None:
    """Create missing roles and permissions; ``rights`` has resource types and patterns to edit, by role."""
    existing = {role.name: role for role in accounts.list_roles(WORKSPACE)}
    for name, resources in rights.items():
        role = existing.get(name) or accounts.create_role(WORKSPACE, name)
        permissions = {(p.resource_type, p.resource_pattern) for p in accounts.list_role_permissions(role.id)}
        for resource in resources:
            if resource not in permissions:
                accounts.add_role_permission(role.id, *resource, "EDIT")


def _create_account(accounts: "AuthServiceClient", login: PersonalClient, role: str) -> None:
    """Create an account of this host with a role, or complete the one that an earlier start has created.

    Raises:
        SadclError: somebody else created an account of this name, and would get the rights of the host's account.
    """
    from mlflow.exceptions import MlflowException

    name = login.name
    delete = f"Run `sadcl user delete {name}`, give the person another name, and start again"
    number = next(entity.id for entity in accounts.list_roles(WORKSPACE) if entity.name == role)
    try:
        roles = accounts.list_user_roles(name)
    except MlflowException:  # the account is missing
        accounts.create_user(name, login.password)
        roles = []
    # the password is random and in a file of this host: only a start of `sadcl up` can have given it to an account
    if login.get(identity.CURRENT_USER) is None:
        raise SadclError(
            f"The account {name} was not created by `sadcl up`, which needs this name for itself: its password is not "
            f"the one in {ADMINISTRATOR}",
            fix=delete,
        )
    if number in {entity.id for entity in roles}:
        return
    if roles:
        raise SadclError(f"The account {name} has another role, and `sadcl up` needs this name for itself", fix=delete)
    accounts.assign_role(name, number)
