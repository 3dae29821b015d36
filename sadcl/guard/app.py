"""App of the guarded server: ``mlflow server --app-name sadcl-guard``."""

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
    registry_copy,
    registry_rules,
    run_rules,
)
from sadcl.guard.login_middleware import LoginMiddleware, mark_authenticated
from sadcl.registry.audit import hash_chain

Rule = Callable[..., ledger.Entry | None]

SERVER_VARIABLE = "_MLFLOW_SGI_NAME"
"""Environment: kind of server that MLflow's command started."""

RULES: dict[tuple[str, str], Rule] = {
    **registry_rules.RULES,
    **run_rules.RULES,
    **account_rules.RULES,
    **artifact_rules.RULES,
}
"""Rules by the end of a route and its method; each runs before the route's view."""


def create_app() -> FastAPI:
    """MLflow's app with log-in, guarded by the rules and the ledger of this project.

    Raises:
        SadclError: the server is not uvicorn, no ledger is named, or this MLflow lacks a route of the rules.
    """
    # The middlewares are ASGI; another server would run Flask alone, without them.
    if os.environ.get(SERVER_VARIABLE) != "uvicorn":
        raise SadclError("The guard needs uvicorn", fix="Start the server without --gunicorn-opts and --waitress-opts")
    with _startup_lock():
        outer: FastAPI = mlflow_internals.auth.create_app(flask_app)
        # Before the first request: a new line would hide which one was last.
        recovery.complete_unfinished()
        with ledger.exclusive():
            ledger.introduce_root_key()
    authorship.stamp_authors()
    permissions.extend_validators()
    _install_rules(flask_app)
    mark_authenticated(flask_app)
    ledger.add_route(flask_app)
    registry_copy.add_route(flask_app)
    outer.user_middleware.append(Middleware(artifact_rules.UploadMiddleware))  # innermost: behind MLflow's log-in
    # Outermost: a guess must be counted before MLflow checks it, also on routes outside Flask.
    outer.user_middleware.insert(0, Middleware(LoginMiddleware))
    return outer


def _install_rules(app: Flask) -> None:
    """Wrap the view of each route in its rule."""
    missing, views = set(RULES), dict(app.view_functions)
    for route in app.url_map.iter_rules():
        for suffix, method in RULES:
            if route.rule.endswith(suffix) and method in (route.methods or ()):
                missing.discard((suffix, method))
                # From the original view: one view answers below /api and /ajax-api, and a rule that ran inside itself
                # would wait for its own lock.
                app.view_functions[route.endpoint] = _guarded(views[route.endpoint], RULES[suffix, method])
    if missing:  # a route that was renamed would be open without this
        raise SadclError(f"This MLflow has no route {sorted(missing)[0]}", fix="Install the locked version of MLflow")


def _guarded(view: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
    """View that checks its rule, writes the ledger's line, then makes the change.

    Requests run one at a time, so that the state that a rule checked still holds when the change is made. The line
    comes first: no change lacks its line, and a line whose change failed gets a second line that says so.
    """

    @mlflow_internals.answer_errors
    @wraps(view)
    def guarded(**path: Any) -> Any:
        with ledger.exclusive():
            entry = rule(**path)
            if entry is None:
                return view(**path)
            line, done = ledger.append_entry(entry), False
            try:
                response = make_response(view(**path))
                # MLflow's views answer errors as responses, and raise as well.
                done = response.status_code < 400
                return response
            finally:
                if not done:
                    ledger.append_entry({"what": hash_chain.NOT_DONE, "line": line})

    return guarded


@contextmanager
def _startup_lock() -> Iterator[None]:
    """Let one worker at a time create MLflow's tables; for its own app MLflow does so before the workers start."""
    with files.open_locked(ledger.path().with_suffix(".start")):
        yield
