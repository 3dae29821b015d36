"""Checks of the Ray cluster that ``RAY_ADDRESS`` names, for ``sadcl doctor``."""

import os
import socket
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import get_args

from sadcl import extras
from sadcl.processes import ENGINE, EngineName

ADDRESS, AUTHENTICATION = "RAY_ADDRESS", "RAY_AUTH_MODE"
TOKEN, TOKEN_PATH = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
SECONDS = 3.0


def problems() -> Iterator[str]:
    """One sentence for each problem of the cluster; none without an address."""
    address, engine = os.environ.get(ADDRESS, ""), os.environ.get(ENGINE, "")
    if engine not in ("", *get_args(EngineName)):
        yield f"{ENGINE} names no engine, {engine!r}; use local or ray."
    if not address:
        return
    if util.find_spec("ray") is None:
        yield f"{ADDRESS} names a Ray cluster, and Ray is missing; run `{extras.pip_install('ray')}`."
    if os.environ.get(AUTHENTICATION) != "token":
        yield f"The Ray cluster has to ask for a token; start it and every command with {AUTHENTICATION}=token."
    elif not _has_token():
        yield "This machine has no token of the Ray cluster; copy ~/.ray/auth_token from the first machine."
    if reason := _unreachable(address):
        yield f"The Ray cluster at {address} does not answer: {reason}; start it, or check {ADDRESS}."


def _has_token() -> bool:
    path = Path(os.environ.get(TOKEN_PATH) or Path.home() / ".ray" / "auth_token")
    return bool(os.environ.get(TOKEN)) or (path.is_file() and path.stat().st_size > 0)


def _unreachable(address: str) -> str:
    """Why the head of a cluster can't be reached; empty where it can, or where Ray finds the address itself."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if not host or not port.isdigit():
        return "" if address in ("auto", "local") else "the address has no port"
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS).close()
    except (OSError, OverflowError) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""
