"""Accounts of a team's registry, with their roles on MLflow's server."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl.accounts import host
from sadcl.errors import SadclError
from sadcl.registry import client, mlflow_context
from sadcl.registry.audit.signatures import SERVER
from sadcl.registry.identity import CURRENT_USER, connection, get
from sadcl.registry.personal_client import PersonalClient

if TYPE_CHECKING:
    from mlflow.server.auth.client import AuthServiceClient

ADMINISTRATOR = "administrator"
ROLES = (host.REVIEWER, host.TRAINER, host.READER)
"""In this order: an account with two of them is shown with the first."""

LONGEST_NAME = 200
"""Characters of an account's name."""
SHORTEST = 12
"""Characters of a password, as MLflow requires them."""
_USERS = "/api/2.0/mlflow/users/list"
_ROLES_OF = "/api/3.0/mlflow/users/roles/list"


@dataclass(frozen=True)
class Account:
    """An account.

    Attributes:
        name: for the log-in.
        role: ``trainer``, ``reviewer``, ``reader`` or ``administrator``.
    """

    name: str
    role: str


def add_account(name: str, role: str, password: str, root: Path = Path(".")) -> Account:
    """Create an account, as the administrator.

    Args:
        name: for the log-in.
        role: trainers register, reviewers decide, readers read.
        password: at least 12 characters.
        root: the project's folder.

    Raises:
        SadclError: the role is unknown, the name is taken, the password is too short, or the server refuses.
    """
    if role not in ROLES:
        raise SadclError(f"There is no role {role!r}", fix=f"Choose one of {', '.join(sorted(ROLES))}")
    if not _is_usable(name):
        raise SadclError(
            f"Nobody could log in as {name!r}",
            fix=f"Choose at most {LONGEST_NAME} visible characters, without a colon and without blanks around them",
        )
    if name in (host.WORKER, host.VERIFIER, SERVER):
        raise SadclError(f"The name {name} belongs to the server's own account", fix="Choose another name")
    if len(password) < SHORTEST:
        raise SadclError(f"A password needs at least {SHORTEST} characters")
    if name in {person.name for person in list_accounts(root)}:
        raise SadclError(f"There is an account {name} already", fix="`sadcl user list` shows all accounts")
    with _administering(root) as accounts:
        roles = [entity for entity in accounts.list_roles(host.WORKSPACE) if entity.name == role]
        if not roles:
            raise SadclError(f"This server has no role {role}", fix="Start it by `sadcl up`, which creates the roles")
        accounts.create_user(name, password)
        try:
            accounts.assign_role(name, roles[0].id)
        except BaseException:  # an account without a role can do nothing, and its name would be taken
            accounts.delete_user(name)
            raise
    return Account(name, role)


def _is_usable(name: str) -> bool:
    """Whether somebody can log in by a name: HTTP's basic log-in ends it at a colon, and pages strip blanks."""
    return 0 < len(name) <= LONGEST_NAME and name.isprintable() and ":" not in name and name == name.strip()


def delete_account(name: str, root: Path = Path(".")) -> None:
    """Delete an account, as the administrator; the ledger keeps what it did.

    Raises:
        SadclError: there is no such account, it is the administrator's, the server can't be reached, or it refuses.
    """
    account = next((account for account in list_accounts(root) if account.name == name), None)
    if account is None:
        raise SadclError(f"There is no account {name}", fix="`sadcl user list` shows all accounts")
    if account.role == ADMINISTRATOR:
        raise SadclError(f"The account {name} is the administrator's", fix="Delete it in MLflow's pages")
    with _administering(root) as accounts:
        accounts.delete_user(name)


def list_accounts(root: Path = Path(".")) -> list[Account]:
    """All accounts, by name.

    Raises:
        SadclError: the server can't be reached, or refuses.
    """
    with _administering(root):
        users = get(_USERS, root)["users"]
    return sorted((_person(user, user["roles"]) for user in users), key=lambda person: person.name)


def check_login(name: str, password: str, root: Path = Path(".")) -> Account | None:
    """Account of a log-in; None where the server does not know this name with this password.

    Raises:
        SadclError: the registry has no accounts, or can't be reached.
    """
    mlflow_context.set_defaults()
    person = PersonalClient(_server(root), name, password)  # several threads check log-ins at once
    current = person.get(CURRENT_USER)
    roles = current and person.get(_ROLES_OF, username=name)
    return _person(current["user"], roles["roles"]) if current and roles else None


def _person(user: dict[str, Any], roles: list[dict[str, Any]]) -> Account:
    names = {role["name"] for role in roles}
    known = (*ROLES, host.VERIFIER)
    role = ADMINISTRATOR if user["is_admin"] else next((role for role in known if role in names), host.READER)
    return Account(str(user["username"]), role)


def _server(root: Path) -> str:
    """Address of the server with the accounts: the registry's, or the one that runs on this host."""
    up = host.running(root)
    if client.database_file(root) is None:
        return client.registry_address(root)
    if up is None:
        raise SadclError(
            "There is no registry with accounts here",
            fix=f"Start one by `sadcl up`, or set {client.ADDRESS} to its address",
        )
    return str(up["registry"])


@contextmanager
def _administering(root: Path) -> Iterator["AuthServiceClient"]:
    """Client of the accounts, logged in from the environment, else as the administrator on the server's own host."""
    uri, admin = _server(root), host.administrator(root)
    with ExitStack() as stack:
        if client.USERNAME not in os.environ and admin is not None:
            stack.enter_context(client.logged_in_as(admin["username"], admin["password"]))
        stack.enter_context(connection(uri))
        from mlflow.server.auth.client import AuthServiceClient

        yield AuthServiceClient(uri)
