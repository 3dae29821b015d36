"""Routing tables of the servers' applications: each route and method that may change something.

``python -m tests.services.routes mlflow|prefect|optuna`` prints them, and what guards each route of MLflow's server.
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

READ = {"GET", "HEAD", "OPTIONS"}
ANY = "ANY"
"""Method of a websocket, or of an application that is mounted."""
Route = tuple[str, str]


def asgi_routes(routes: Any, prefix: str = "") -> Iterator[Route]:
    """Method and path of each route of a Starlette or FastAPI application, with those of mounted ones."""
    from fastapi.routing import iter_route_contexts

    for route in iter_route_contexts(routes):
        path = f"{prefix}{getattr(route, 'path', '') or ''}"
        inner = getattr(route, "routes", None)
        yield from asgi_routes(inner, path) if inner else ()
        for method in getattr(route, "methods", None) or ([] if inner else [ANY]):
            yield method, path


def flask_routes(app: Any) -> Iterator[Route]:
    """Method and path of each route of a Flask application."""
    for rule in app.url_map.iter_rules():
        for method in rule.methods or ():
            yield method, rule.rule


def mlflow() -> Iterator[dict[str, str]]:
    """Routes of the guarded server, those outside Flask with their readings, and what the code does about each."""
    from mlflow.server import app as flask_app

    from sadcl.guard import app, artifact_rules, login_middleware, mlflow_internals

    outer, validators = app.create_app(), mlflow_internals.auth.BEFORE_REQUEST_VALIDATORS
    for inside, (method, path) in [
        *((True, route) for route in flask_routes(flask_app) if route[0] not in READ),
        # the application without a path is Flask's
        *((False, route) for route in asgi_routes(outer.routes) if route[0] not in ("HEAD", "OPTIONS") and route[1]),
    ]:
        uploaded = not inside and method == "PUT" and artifact_rules.ROUTE in path
        if login_middleware.CLOSED_ROUTES.match(path):
            guard = "closed"
        elif uploaded or (inside and any(path.endswith(end) and method == its for end, its in app.RULES)):
            guard = "rule"
        else:
            guard = "MLflow's rights" if (path, method) in validators else "none"
        yield {"method": method, "route": re.sub(r"^/(ajax-)?api/\d\.0(?=/)", "", path), "guard": guard}


def prefect() -> Iterator[dict[str, str]]:
    """Routes of Prefect's server."""
    from sadcl.services import prefect_app

    for method, path in asgi_routes(prefect_app.create_app().routes):
        if method not in READ:
            yield {"method": method, "route": path, "guard": ""}


def optuna() -> Iterator[dict[str, str]]:
    """Routes of Optuna's dashboard."""
    import optuna
    import optuna_dashboard

    app: Any = optuna_dashboard.wsgi(optuna.storages.InMemoryStorage())
    for route in app.routes:
        if route.method not in READ:
            yield {"method": route.method, "route": route.rule, "guard": ""}


if __name__ == "__main__":
    print(json.dumps(list({"mlflow": mlflow, "prefect": prefect, "optuna": optuna}[sys.argv[1]]())))
