"""Routes for logging in and out, and the dependencies that protect the other routes."""

from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from sadcl.review.context import AppContext, app_context
from sadcl.review.forms import Form, PostedForm, equal_in_constant_time, is_fresh, sign
from sadcl.review.sessions import MAX_SECONDS, Session

MAX_NAME, MAX_PASSWORD = 200, 1000
"""Most characters, as the form says."""
WRONG_LOGIN = "Wrong name or password."
SESSION_ENDED = "Your session has ended. Log in again."

router = APIRouter()


class LoginNeededError(Exception):
    """The request has no session, or one that has ended."""


async def arrival(request: Request) -> int:
    """The moment at which a request arrived: a coroutine runs before the request waits for a thread."""
    return app_context(request).registry.arrival()


Arrival = Annotated[int, Depends(arrival)]


def current_session(request: Request, _: Arrival) -> Session:
    """The session of a request; every few seconds the registry confirms its credentials.

    Raises:
        LoginNeededError: there is no session, the account was deleted, or its password was changed.
        SadclError: the registry can't be reached; the session stays valid.
    """
    context, token = app_context(request), _token(request)
    session = context.sessions.get(token)
    if session is not None:
        with session.check_lock:
            if context.sessions.needs_check(session):
                since = context.clock()
                person = context.authenticator.check(session.name, session.password)
                if person is None:
                    context.sessions.end(token)
                else:
                    context.sessions.confirm(session, person.role, person.rights, since)
    return _require_session(context, token)


def _require_session(context: AppContext, token: str | None) -> Session:
    session = context.sessions.get(token)
    if session is None:
        raise LoginNeededError
    return session


CurrentSession = Annotated[Session, Depends(current_session)]


def csrf_form(session: CurrentSession, form: PostedForm) -> Form:
    """The fields of a form whose CSRF token belongs to the session.

    Raises:
        HTTPException: another site, or a page of an older session, sent the form.
    """
    return _check_csrf(session, form)


def _check_csrf(session: Session, form: Form) -> Form:
    if not equal_in_constant_time(form.get("csrf", ""), session.csrf):
        raise HTTPException(403, "This form does not belong to your session. Open the page again.")
    return form


CsrfForm = Annotated[Form, Depends(csrf_form)]


@router.get("/login")
def show_login(request: Request, next: str = "/") -> Response:
    """The log-in form, or a redirect where a session exists."""
    context, token = app_context(request), _token(request)
    if context.sessions.get(token) is not None:
        return RedirectResponse(_local_path(next), 303)
    return _login_page(request, next, message=SESSION_ENDED if token else "")


@router.post("/login")
def log_in(request: Request, form: PostedForm) -> Response:
    """Check the credentials and start a session."""
    context, target = app_context(request), form.get("next", "/")
    name, password = form.get("name", "").strip(), form.get("password", "")
    address = request.client.host if request.client else ""
    if not is_fresh(context, request.cookies.get(context.form_cookie, ""), form.get("csrf", "")):
        return _login_page(request, target, name, "This page has expired. Try again.", 403)
    wait = context.throttle.begin(name, address, password)
    if wait:
        return _login_page(request, target, name, f"Too many attempts. Wait {wait} s, then try again.", 429, wait)
    try:
        person = context.authenticator.check(name, password) if _is_possible_login(name, password) else None
    except BaseException:
        context.throttle.undecided(name, address, password)
        raise
    if person is None:
        context.throttle.failed(name, address, password)
        return _login_page(request, target, name, WRONG_LOGIN, 401)
    context.throttle.succeeded(name, address, password)
    context.sessions.end(_token(request))
    response = RedirectResponse(_local_path(target), 303)
    token = context.sessions.begin(person.name, person.role, password, person.rights)
    _set_cookie(request, response, context.cookie, token)
    response.delete_cookie(context.form_cookie)
    return response


@router.post("/logout")
def log_out(request: Request, form: PostedForm) -> Response:
    """End the session, even while the registry can't be reached."""
    context, token = app_context(request), _token(request)
    _check_csrf(_require_session(context, token), form)
    context.sessions.end(token)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(context.cookie)
    return response


def to_login(request: Request) -> Response:
    """Redirect to the log-in form, which leads back to the requested page."""
    requested = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    query = f"?next={quote(requested, safe='/')}" if request.method == "GET" and requested != "/" else ""
    return RedirectResponse(f"/login{query}", 303)


def _login_page(
    request: Request, target: str, name: str = "", message: str = "", status: int = 200, wait: int = 0
) -> Response:
    """The log-in form; its signature covers a cookie of its own, since there is no session yet."""
    context = app_context(request)
    nonce = f"{context.clock():.0f}.{context.nonce()}"
    response = context.render(
        "login.html", None, status, next=_local_path(target), name=name[:MAX_NAME], message=message,
        csrf=sign(context, nonce),
    )  # fmt: skip
    _set_cookie(request, response, context.form_cookie, nonce)
    if wait:
        response.headers["retry-after"] = str(wait)
    return response


def _set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, max_age=MAX_SECONDS, httponly=True, samesite="strict", secure=secure)


def _token(request: Request) -> str | None:
    return request.cookies.get(app_context(request).cookie)


def _is_possible_login(name: str, password: str) -> bool:
    """Whether an account can have this name and password; only then does the page ask the registry.

    With a colon, a name could hold the beginning of the password. With an empty name or password, MLflow's client
    takes the credentials of the person who runs this page from their own files.
    """
    valid_name = 0 < len(name) <= MAX_NAME and name.isprintable() and ":" not in name
    return valid_name and 0 < len(password) <= MAX_PASSWORD and "\0" not in password


def _local_path(target: str) -> str:
    """A path on this site, against open redirects; anything else becomes the first page."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    is_local = target.startswith("/") and not target.startswith("//") and not parts.scheme and not parts.netloc
    return target if is_local and target.isprintable() and "\\" not in target else "/"
