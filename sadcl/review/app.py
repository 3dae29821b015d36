"""The review page: ``uvicorn sadcl.review.app:create_app --factory``, or any ASGI server."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from sadcl.errors import SadclError
from sadcl.review.after_decision import Aftermath, by_flow
from sadcl.review.authentication import Authenticator, Server
from sadcl.review.context import AppContext, desk
from sadcl.review.routes import decisions, login, versions
from sadcl.review.security_headers import ALWAYS, Headers

PROJECT = "SADCL_PROJECT"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
NOWHERE = "There is no such page."


def create_app(
    root: Path | None = None,
    *,
    door: Authenticator | None = None,
    hosts: Sequence[str] = LOOPBACK,
    clock: Callable[[], float] = time.monotonic,
    aftermath: Aftermath = by_flow,
) -> FastAPI:
    """The page of one project.

    Args:
        root: the project's folder; without it, ``SADCL_PROJECT`` or the present folder.
        door: who may come in; without it, MLflow's server says.
        hosts: names under which the page answers: a name that somebody else points here is none of them.
        clock: seconds that never go back, for sessions and log-ins.
        aftermath: what follows a decision; without it, the flow ``promote``.

    Raises:
        SadclError: the project's registry is no server with accounts.
    """
    place = root or Path(os.environ.get(PROJECT, "."))
    app = FastAPI(title="sadcl review", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk = AppContext(place, door or Server(place), clock, aftermath)
    for room in (login, decisions, versions):
        app.include_router(room.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")))
    app.add_exception_handler(login.LoginNeededError, _to_login)
    app.add_exception_handler(SadclError, _failed)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _refused)
    app.add_exception_handler(Exception, _broken)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(Headers)
    return app


def _to_login(request: Request, _: Exception) -> Response:
    return login.to_login(request)


def _failed(request: Request, error: Exception) -> Response:
    return _said(request, 503, str(error))


def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException | StarletteHTTPException):
        return _said(request, 404, NOWHERE)
    ours = error.detail if error.detail.endswith(".") else NOWHERE if error.status_code == 404 else f"{error.detail}."
    return _said(request, error.status_code, ours)


def _broken(request: Request, _: Exception) -> Response:
    answer = _said(request, 500, "Something went wrong here. The page's log says what.")
    answer.headers.update(ALWAYS)  # this one goes out beyond the middleware
    return answer


def _said(request: Request, status: int, words: str) -> Response:
    at = desk(request)
    who = at.sessions.get(request.cookies.get(at.cookie))
    return at.render("said.html", who, status, words=words)
