"""Authentication of the review page against the registry server."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sadcl.errors import SadclError

if TYPE_CHECKING:
    pass


class Person(Protocol):
    """Whom a log-in knows."""

    @property
    def name(self) -> str:
        """As the registry notes it."""

    @property
    def role(self) -> str:
        """trainer, reviewer, reader or administrator."""


class Authenticator(Protocol):
    """Who may come in, and how the registry is asked as that person."""

    def check(self, name: str, password: str) -> Person | None:
        """The person, or None where name and password do not belong together."""

    def acting_as(self, name: str, password: str) -> AbstractContextManager[None]:
        """Inside, calls of the registry carry this log-in."""


class Server:
    """The door of MLflow's server with its accounts.

    Args:
        root: the project's folder.

    Raises:
        SadclError: the project's registry is no server, which knows nobody.
    """

    def __init__(self, root: Path) -> None:
        from sadcl.registry import client as store

        self.root = root
        if store.database(root) is not None:
            fix = "Run `sadcl up`, which starts it"
            raise SadclError("The review page needs a registry with accounts", where=store.address(root), fix=fix)

    def check(self, name: str, password: str) -> Person | None:
        """As MLflow's server has it."""
        from sadcl.accounts.users import check

        return check(name, password, self.root)

    def acting_as(self, name: str, password: str) -> AbstractContextManager[None]:
        """Calls carry this log-in; one person at a time."""
        from sadcl.registry.client import logged_in_as

        return logged_in_as(name, password)
