"""In and out: who asks, whether a form is ours, and how often a log-in may be tried."""

from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from sadcl.review.context import AppContext, desk
from sadcl.review.forms import Form, PostedForm, _just_shown, _same, _signed
from sadcl.review.sessions import LONGEST, Session

NAME, PASSWORD = 200, 1000
"""Characters at most, as the form has it."""
NOBODY = "Name and password do not belong together."
ENDED = "Your session has ended. Log in again."

router = APIRouter()


class LoginNeededError(Exception):
    """Nobody is logged in, or no longer."""


def session(request: Request) -> Session:
    """The session of who asks, whose log-in the registry still knows; that is asked once a minute.

    Raises:
        LoginNeededError: there is none, or the account is gone, or its password another one now.
        SadclError: the registry can't be reached, which ends no session.
    """
    at, token = desk(request), _token(request)
    found = at.sessions.get(token)
    if found is not None:
        with found.alone:
            if at.sessions.due(found):
                person = at.door.check(found.name, found.password)
                if person is None:
                    at.sessions.end(token)
                else:
                    found.role = person.role
    return _session(at, token)


def _session(at: AppContext, token: str | None) -> Session:
    found = at.sessions.get(token)
    if found is None:
        raise LoginNeededError
    return found


Who = Annotated[Session, Depends(session)]


def own_form(who: Who, sent: PostedForm) -> Form:
    """The fields of a form that a page of this very session showed.

    Raises:
        HTTPException: another site, or an old page, sent it.
    """
    return _own(who, sent)


def _own(who: Session, sent: Form) -> Form:
    if not _same(sent.get("csrf", ""), who.csrf):
        raise HTTPException(403, "This form was not sent from a page of your session. Open the page again.")
    return sent


Own = Annotated[Form, Depends(own_form)]


@router.get("/login")
def ask(request: Request, next: str = "/") -> Response:
    """The form."""
    at, token = desk(request), _token(request)
    if at.sessions.get(token) is not None:
        return RedirectResponse(_inside(next), 303)
    return _page(request, next, words=ENDED if token else "")


@router.post("/login")
def log_in(request: Request, sent: PostedForm) -> Response:
    """Start a session."""
    at, to = desk(request), sent.get("next", "/")
    name, password = sent.get("name", "").strip(), sent.get("password", "")
    address = request.client.host if request.client else ""
    if not _just_shown(at, request.cookies.get(at.form_cookie, ""), sent.get("csrf", "")):
        return _page(request, to, name, "This page was open too long. Try again.", 403)
    wait = at.attempts.begin(name, address, password)
    if wait:
        return _page(request, to, name, f"Too many attempts. Wait {wait} s, then try again.", 429, wait)
    try:
        person = at.door.check(name, password) if _possible(name, password) else None
    except BaseException:
        at.attempts.undecided(name, address, password)
        raise
    if person is None:
        at.attempts.failed(name, address, password)
        return _page(request, to, name, NOBODY, 401)
    at.attempts.succeeded(name, address, password)
    at.sessions.end(_token(request))
    answer = RedirectResponse(_inside(to), 303)
    token = at.sessions.begin(person.name, person.role, password)
    _set(request, answer, at.cookie, token)
    answer.delete_cookie(at.form_cookie)
    return answer


@router.post("/logout")
def log_out(request: Request, sent: PostedForm) -> Response:
    """End a session, whether or not the registry can be asked."""
    at, token = desk(request), _token(request)
    _own(_session(at, token), sent)
    at.sessions.end(token)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(at.cookie)
    return answer


def to_login(request: Request) -> Response:
    """Where nobody is logged in: to the form, and from there back to the page that was asked for."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = f"?next={quote(asked, safe='/')}" if request.method == "GET" and asked != "/" else ""
    return RedirectResponse(f"/login{back}", 303)


def _page(request: Request, to: str, name: str = "", words: str = "", status: int = 200, wait: int = 0) -> Response:
    """The form; its signature belongs to a cookie of its own, since there is no session yet."""
    at = desk(request)
    nonce = f"{at.clock():.0f}.{at.nonce()}"
    values: dict[str, Any] = {"next": _inside(to), "name": name[:NAME], "words": words, "csrf": _signed(at, nonce)}
    answer = at.render("login.html", None, status, **values)
    _set(request, answer, at.form_cookie, nonce)
    if wait:
        answer.headers["retry-after"] = str(wait)
    return answer


def _set(request: Request, answer: Response, name: str, value: str) -> None:
    secure = request.url.scheme == "https"
    answer.set_cookie(name, value, max_age=LONGEST, httponly=True, samesite="strict", secure=secure)


def _token(request: Request) -> str | None:
    return request.cookies.get(desk(request).cookie)


def _possible(name: str, password: str) -> bool:
    """Whether somebody can be called so: the registry is not asked about anything else.

    A colon would let a name hold the beginning of the password, and nothing at all lets MLflow's client take the log-in
    of whoever runs this page from their own files.
    """
    named = 0 < len(name) <= NAME and name.isprintable() and ":" not in name
    return named and 0 < len(password) <= PASSWORD and "\0" not in password


def _inside(to: str) -> str:
    """A path of this page; anything else becomes the first page."""
    try:
        parts = urlsplit(to)
    except ValueError:
        return "/"
    ours = to.startswith("/") and not to.startswith("//") and not parts.scheme and not parts.netloc
    return to if ours and to.isprintable() and "\\" not in to else "/"
