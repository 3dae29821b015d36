"""Identity of whoever talks to the registry: account and role, as the server knows them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sadcl.errors import SadclError
from sadcl.registry import client, mlflow_context
from sadcl.registry.audit import log

if TYPE_CHECKING:
    pass

LEDGER = "/api/2.0/sadcl/ledger"
"""Where the guarded server shows its ledger."""
_CURRENT = "/api/2.0/mlflow/users/current"


def decider(root: Path = Path(".")) -> str:
    """Who decides: the name that is logged in to the server, or git's where the registry has no log-in."""
    return logged_in(root) or log.user(root)


def logged_in(root: Path = Path(".")) -> str | None:
    """The name that is logged in to the server; None where the registry has no log-in."""
    if client.database(root) is not None:
        return None
    try:
        with _at(client.address(root)):
            return str(answer(_CURRENT, root)["user"]["username"])
    except NoAccountsError:
        return None


def answer(path: str, root: Path = Path(".")) -> Any:
    """What the server answers to who is logged in.

    Raises:
        NoAccountsError: it has no such page.
        SadclError: it does not know who asks.
    """
    found = _get(path, root)
    if found is None:
        raise SadclError("The registry does not know you", fix=mlflow_context.FIXES["UNAUTHENTICATED"])
    return found


def _get(path: str, root: Path, **query: str) -> Any:
    """The same; None where the server does not know who asks."""
    from mlflow.utils import credentials, rest_utils

    where, ask = client.address(root), cast(Any, rest_utils).http_request
    got = ask(cast(Any, credentials).get_default_host_creds(where), path, "GET", params=query, raise_on_status=False)
    if got.status_code == 401:
        return None
    if got.status_code not in (200, 404):
        raise SadclError(
            f"The registry answers {got.status_code}",
            where=mlflow_context.shown(where),
            fix="Its log says why; try again",
        )
    if got.status_code == 404:
        raise NoAccountsError(
            "This registry has no accounts", where=mlflow_context.shown(where), fix="Start one that has by `sadcl up`"
        )
    return got.text if path == LEDGER else got.json()


class NoAccountsError(SadclError):
    """The registry is a plain server."""


@contextmanager
def _at(where: str) -> Iterator[None]:
    with mlflow_context.silence(), mlflow_context.translate_errors(where), mlflow_context.pointed_at(where):
        yield
