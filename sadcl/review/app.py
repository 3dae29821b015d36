"""ASGI application of the review page: ``uvicorn sadcl.review.app:create_app --factory``."""

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
from sadcl.registry.client import LOOPBACK
from sadcl.registry.promote import Check
from sadcl.review.after_decision import AfterDecision, sync_by_flow
from sadcl.review.authentication import Authenticator, RegistryAuthenticator
from sadcl.review.context import AppContext, app_context
from sadcl.review.routes import criteria_decision, decisions, login, versions
from sadcl.review.security_headers import NO_STORE_HEADERS, SecurityHeaders
from sadcl.verification.promotion import require_verified

PROJECT = "SADCL_PROJECT"
NOT_FOUND = "This page does not exist."


def create_app(
    root: Path | None = None,
    *,
    authenticator: Authenticator | None = None,
    hosts: Sequence[str] = LOOPBACK,
    clock: Callable[[], float] = time.monotonic,
    after_decision: AfterDecision = sync_by_flow,
    check: Check | None = require_verified,
) -> FastAPI:
    """Create the review page of one project.

    Args:
        root: the project's folder; by default ``SADCL_PROJECT`` or the current folder.
        authenticator: checks log-ins; by default the registry server.
        hosts: accepted values of the Host header, against DNS rebinding.
        clock: monotonic seconds, for sessions and log-ins.
        after_decision: synchronises the project after a decision; by default the flow ``promote``.
        check: refuses a promotion by raising; by default without a pass of the verifier. None requires no verifier.

    Raises:
        SadclError: the project's registry is not a server with accounts.
    """
    project = root or Path(os.environ.get(PROJECT, "."))
    app = FastAPI(title="sadcl review", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = AppContext(
        project, authenticator or RegistryAuthenticator(project), clock, after_decision, check
    )
    for module in (login, criteria_decision, decisions, versions):
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")))
    app.add_exception_handler(login.LoginNeededError, _redirect_to_login)
    app.add_exception_handler(SadclError, _service_unavailable)
    app.add_exception_handler(StarletteHTTPException, _client_error)
    app.add_exception_handler(RequestValidationError, _client_error)
    app.add_exception_handler(Exception, _server_error)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(SecurityHeaders)
    return app


def _redirect_to_login(request: Request, _: Exception) -> Response:
    return login.to_login(request)


def _service_unavailable(request: Request, error: Exception) -> Response:
    return _message_page(request, 503, str(error))


def _client_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException | StarletteHTTPException):
        return _message_page(request, 404, NOT_FOUND)
    if error.detail.endswith("."):  # a sentence of this page; Starlette's own have no full stop
        return _message_page(request, error.status_code, error.detail)
    return _message_page(request, error.status_code, NOT_FOUND if error.status_code == 404 else f"{error.detail}.")


def _server_error(request: Request, _: Exception) -> Response:
    response = _message_page(request, 500, "Internal error. See the log of the review page for details.")
    response.headers.update(NO_STORE_HEADERS)  # Starlette sends this response outside the middleware
    return response


def _message_page(request: Request, status: int, message: str) -> Response:
    context = app_context(request)
    session = context.sessions.get(request.cookies.get(context.cookie))
    return context.render("message.html", session, status, message=message)
