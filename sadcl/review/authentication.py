"""Authentication of the review page against the registry server."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from sadcl.errors import SadclError


class Person(Protocol):
    """An authenticated account."""

    @property
    def name(self) -> str:
        """User name in the registry."""

    @property
    def role(self) -> str:
        """One of trainer, reviewer, reader and administrator."""


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

        self.root = root
        if client.database_file(root) is not None:
            fix = "Run `sadcl up`, which starts it"
            raise SadclError(
                "The review page needs a registry with accounts", where=client.registry_address(root), fix=fix
            )

    def check(self, name: str, password: str) -> Person | None:
        """The account on MLflow's server, or None where name and password do not match."""
        from sadcl.accounts.users import check_login

        return check_login(name, password, self.root)

    def logged_in_as(self, name: str, password: str) -> AbstractContextManager[None]:
        """Context in which registry calls carry these credentials; one person at a time."""
        from sadcl.registry.client import logged_in_as

        return logged_in_as(name, password)
