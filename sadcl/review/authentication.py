"""Authentication of the review page against the registry server."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sadcl.errors import SadclError
from sadcl.files import digest_of

PERMISSIONS = "/api/3.0/mlflow/users/current/permissions"
"""Route of MLflow's server that answers to the right credentials only, with all rights of the account."""


class Person(Protocol):
    """An authenticated account."""

    @property
    def name(self) -> str:
        """User name in the registry."""

    @property
    def role(self) -> str:
        """One of trainer, reviewer, reader and administrator."""

    @property
    def rights(self) -> str:
        """Digest of all rights in the registry: people with the same rights see the same registry."""


@dataclass(frozen=True)
class ConfirmedPerson:
    """An account whose credentials the registry confirmed."""

    name: str
    role: str
    rights: str


class Authenticator(Protocol):
    """Checks credentials and calls the registry with them."""

    def check(self, name: str, password: str) -> Person | None:
        """The account, or None where name and password do not match."""

    def logged_in_as(self, name: str, password: str) -> AbstractContextManager[None]:
        """Context in which registry calls carry these credentials."""


class RegistryAuthenticator:
    """Authenticates against MLflow's server and its accounts.

    Args:
        root: the project's folder.

    Raises:
        SadclError: the project's registry is a database, which has no accounts.
    """

    def __init__(self, root: Path) -> None:
        from sadcl.registry import client

        self.root, self._address = root, client.registry_address(root)
        self._confirmed: dict[str, ConfirmedPerson] = {}  # by the name that was typed
        if client.database_file(root) is not None:
            fix = "Run `sadcl up`, which starts it"
            raise SadclError(
                "The review page needs a registry with accounts", where=client.registry_address(root), fix=fix
            )

    def check(self, name: str, password: str) -> Person | None:
        """The account on MLflow's server, or None where name and password do not match.

        It asks the server at each call. A role can't change without the rights, so it is looked up where they changed.
        """
        from sadcl.accounts.users import check_login
        from sadcl.registry.personal_client import PersonalClient

        permissions = PersonalClient(self._address, name, password).get(PERMISSIONS)
        if permissions is None:
            return None
        rights, known = digest_of(permissions), self._confirmed.get(name)
        if known is not None and known.rights == rights:
            return known
        account = check_login(name, password, self.root)
        if account is None:
            return None
        self._confirmed[name] = ConfirmedPerson(account.name, account.role, rights)
        return self._confirmed[name]

    def logged_in_as(self, name: str, password: str) -> AbstractContextManager[None]:
        """Context in which MLflow's own functions carry these credentials; one person at a time."""
        from sadcl.registry.client import logged_in_as

        return logged_in_as(name, password)
