"""Who may do what in a team's registry: accounts and roles of MLflow's server, and who is logged in."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl.accounts import host
from sadcl.errors import SadclError
from sadcl.registry import client

if TYPE_CHECKING:
    from mlflow.server.auth.client import AuthServiceClient
from sadcl.registry.identity import _CURRENT, _at, _get, answer

ADMINISTRATOR = "administrator"
ROLES = (host.REVIEWER, host.TRAINER, host.READER)
"""Who has two of them is shown by the first."""

SHORTEST = 12
"""Characters of a password, as MLflow wants it."""
_USERS = "/api/2.0/mlflow/users/list"
_ROLES_OF = "/api/3.0/mlflow/users/roles/list"


@dataclass(frozen=True)
class Person:
    """An account.

    Attributes:
        name: that one logs in with.
        role: ``trainer``, ``reviewer``, ``reader`` or ``administrator``.
    """

    name: str
    role: str


def add(name: str, role: str, password: str, root: Path = Path(".")) -> Person:
    """Make an account, as the administrator.

    Args:
        name: that the person will log in with.
        role: trainers register, reviewers decide, readers look.
        password: at least 12 characters.
        root: the project's folder.

    Raises:
        SadclError: no such role, the name is taken, the password is too short, or the server refuses.
    """
    if role not in ROLES:
        raise SadclError(f"There is no role {role!r}", fix=f"Choose one of {', '.join(sorted(ROLES))}")
    if len(password) < SHORTEST:
        raise SadclError(f"A password has at least {SHORTEST} characters")
    if name in {person.name for person in listed(root)}:
        raise SadclError(f"There is an account {name} already", fix="`sadcl user list` shows all")
    with _administering(root) as accounts:
        wanted = [found for found in accounts.list_roles(host.WORKSPACE) if found.name == role]
        if not wanted:
            raise SadclError(f"This server has no role {role}", fix="Start it by `sadcl up`, which makes them")
        accounts.create_user(name, password)
        accounts.assign_role(name, wanted[0].id)
    return Person(name, role)


def listed(root: Path = Path(".")) -> list[Person]:
    """All accounts, by name.

    Raises:
        SadclError: the server can't be reached, or refuses.
    """
    with _administering(root):
        users = answer(_USERS, root)["users"]
    return sorted((_person(user, user["roles"]) for user in users), key=lambda person: person.name)


def check(name: str, password: str, root: Path = Path(".")) -> Person | None:
    """Who logs in so; None where the server does not know this name with this password.

    Raises:
        SadclError: the registry has no accounts, or can't be reached.
    """
    with client.logged_in_as(name, password), _at(_server(root)):
        found = _get(_CURRENT, root)
        roles = found and _get(_ROLES_OF, root, username=name)
    return _person(found["user"], roles["roles"]) if found and roles else None


def _person(user: dict[str, Any], roles: list[dict[str, Any]]) -> Person:
    held = {role["name"] for role in roles}
    role = ADMINISTRATOR if user["is_admin"] else next((role for role in ROLES if role in held), host.READER)
    return Person(str(user["username"]), role)


def _server(root: Path) -> str:
    """The address of the server that has the accounts: the registry's, or the one that runs on this host."""
    up = host.running(root)
    if client.database(root) is None:
        return client.address(root)
    if up is None:
        raise SadclError(
            "There is no registry with accounts here", fix=f"Start one by `sadcl up`, or name it in {client.ADDRESS}"
        )
    return str(up["registry"])


@contextmanager
def _administering(root: Path) -> Iterator["AuthServiceClient"]:
    """As whom the environment names, or else as the administrator, where this is the server's host."""
    where, admin = _server(root), host.administrator(root)
    with ExitStack() as stack:
        if client.USERNAME not in os.environ and admin is not None:
            stack.enter_context(client.logged_in_as(admin["username"], admin["password"]))
        stack.enter_context(_at(where))
        from mlflow.server.auth.client import AuthServiceClient

        yield AuthServiceClient(where)
