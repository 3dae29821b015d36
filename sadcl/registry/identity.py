"""Identity of the user: the account on the registry's server, or git's user without one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sadcl.databases import without_login
from sadcl.errors import SadclError
from sadcl.registry import client, mlflow_context
from sadcl.registry.audit import log

if TYPE_CHECKING:
    from requests import Response

LEDGER = "/api/2.0/sadcl/ledger"
"""Route of the guarded server that shows its ledger."""
BUNDLE = "/api/2.0/sadcl/bundle"
"""Route of the guarded server that answers with a signed copy of the registry."""
CURRENT_USER = "/api/2.0/mlflow/users/current"


def decider(root: Path = Path(".")) -> str:
    """Name that goes into a decision: the account on the server, or git's user where the registry has no log-in."""
    return logged_in(root) or log.user(root)


def logged_in(root: Path = Path(".")) -> str | None:
    """Account that is logged in to the server; None where the registry has no log-in."""
    current = ask(CURRENT_USER, root)
    return None if current is None else str(current["user"]["username"])


def ask(path: str, root: Path = Path(".")) -> Any:
    """Response of ``get``; None where the registry is a file, or a server without this route.

    Raises:
        SadclError: the server can't be reached, does not know the account, or fails.
    """
    if client.database_file(root) is not None:
        return None
    try:
        with connection(client.registry_address(root)):
            return get(path, root)
    except NoAccountsError:
        return None


def get(path: str, root: Path = Path(".")) -> Any:
    """Response of the server to a GET request, parsed from JSON; ledger and bundle as text.

    Raises:
        NoAccountsError: the server has no such route.
        SadclError: the server does not know the account, or fails.
    """
    from mlflow.utils import credentials, rest_utils

    uri, send = client.registry_address(root), cast(Any, rest_utils).http_request
    login = cast(Any, credentials).get_default_host_creds(uri)
    answer = content(send(login, path, "GET", raise_on_status=False), path, uri)
    if answer is None:
        raise SadclError("The registry does not know you", fix=mlflow_context.FIXES["UNAUTHENTICATED"])
    return answer


def content(response: "Response", path: str, uri: str) -> Any:
    """Content of the server's response to a GET request; None where it does not know the account.

    Raises:
        NoAccountsError: the server has no such route.
        SadclError: the server failed.
    """
    if response.status_code == 401:
        return None
    if response.status_code not in (200, 404):
        raise mlflow_context.failed_response(response.status_code, uri)
    if response.status_code == 404:
        raise NoAccountsError(
            "This registry has no accounts",
            where=without_login(uri),
            fix="Start a server with accounts by `sadcl up`",
        )
    return response.content.decode("utf-8", "replace") if path in (LEDGER, BUNDLE) else response.json()


class NoAccountsError(SadclError):
    """The registry is a server without accounts."""


@contextmanager
def connection(uri: str) -> Iterator[None]:
    """Connect MLflow's global functions to a registry, quietly and with errors as sentences."""
    with mlflow_context.silence(), mlflow_context.translate_errors(uri), mlflow_context.pointed_at(uri):
        yield
