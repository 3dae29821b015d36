"""The server's app: ``mlflow server --app-name sadcl-guard``."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from fastapi import FastAPI
from flask import Flask, make_response
from mlflow.server import app as flask_app
from starlette.middleware import Middleware

from sadcl import files
from sadcl.errors import SadclError
from sadcl.guard import (
    account_rules,
    artifact_rules,
    authorship,
    ledger,
    mlflow_internals,
    permissions,
    recovery,
    registry_rules,
    run_rules,
)
from sadcl.guard.login_middleware import LoginMiddleware, tell_known
from sadcl.registry.audit import hash_chain

Rule = Callable[..., ledger.Entry | None]

SERVER = "_MLFLOW_SGI_NAME"
"""Environment: what MLflow's command started the app under."""

WATCHED: dict[tuple[str, str], Rule] = {
    **registry_rules.RULES,
    **run_rules.RULES,
    **account_rules.RULES,
    **artifact_rules.RULES,
}
"""The end of a route and its method, and the rule that is asked before it runs."""


def create_app() -> FastAPI:
    """MLflow's app with log-in, and around it what this project refuses and notes.

    Raises:
        SadclError: the server is not uvicorn, no ledger is named, or MLflow's routes are others than these.
    """
    if os.environ.get(SERVER) != "uvicorn":
        raise SadclError("The guard needs uvicorn", fix="Start the server without --gunicorn-opts and --waitress-opts")
    with _alone():
        outer: FastAPI = mlflow_internals.auth.create_app(flask_app)
        recovery.complete_unfinished()
    authorship.stamp()
    permissions.widen()
    _watch(flask_app)
    tell_known(flask_app)
    ledger.serve(flask_app)
    outer.user_middleware.append(Middleware(artifact_rules.Uploads))  # the innermost one: behind MLflow's log-in
    outer.user_middleware.insert(0, Middleware(LoginMiddleware))
    return outer


def _watch(app: Flask) -> None:
    """Put each rule around the function that answers its route."""
    missing, views = set(WATCHED), dict(app.view_functions)
    for route in app.url_map.iter_rules():
        for end, method in WATCHED:
            if route.rule.endswith(end) and method in (route.methods or ()):
                missing.discard((end, method))
                app.view_functions[route.endpoint] = _watched(views[route.endpoint], WATCHED[end, method])
    if missing:
        raise SadclError(f"This MLflow has no route {sorted(missing)[0]}", fix="Install the locked version of MLflow")


def _watched(view: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
    """Refuse, or note and do. One at a time, so that what a rule saw still holds when the change is made.

    The line is written first: a change without a line can't be, and a line without its change (the server was
    killed between them) is made good when the person does it again.
    """

    @mlflow_internals.in_words
    @wraps(view)
    def watched(**path: Any) -> Any:
        with ledger.changing():
            entry = rule(**path)
            if entry is None:
                return view(**path)
            line, done = ledger.append_entry(entry), False
            try:
                answer = make_response(view(**path))
                done = answer.status_code < 400
                return answer
            finally:
                if not done:
                    ledger.append_entry({"what": hash_chain.NOT_DONE, "line": line})

    return watched


@contextmanager
def _alone() -> Iterator[None]:
    """One worker at a time makes MLflow's tables: with an app of another name they all try."""
    with files.open_locked(ledger.path().with_suffix(".start")):
        yield
