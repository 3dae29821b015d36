"""In and out: who asks, whether a form is ours, and how often a log-in may be tried."""

import hashlib
import hmac
from typing import Annotated, Any
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from sadcl.review.desk import Desk, desk
from sadcl.review.sessions import LONGEST, Session

LARGEST, FIELDS = 64 * 1024, 16
"""Bytes and fields of a form."""
KIND = "application/x-www-form-urlencoded"
ENDED = "Your session has ended. Log in again."

router = APIRouter()
Form = dict[str, str]


class LoginNeededError(Exception):
    """Nobody is logged in, or no longer."""


async def form(request: Request) -> Form:
    """The fields of a form, the last value of each.

    Raises:
        HTTPException: it is too large, or no form.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != KIND:
        raise HTTPException(415, "This is no form of this page.")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            raise HTTPException(413, "The form is too large.")
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS, errors="strict")
    except ValueError:
        raise HTTPException(400, "The form can't be read.") from None
    return {name: values[-1] for name, values in fields.items()}


def session(request: Request) -> Session:
    """The session of who asks.

    Raises:
        LoginNeededError: there is none.
    """
    at = desk(request)
    found = at.sessions.get(request.cookies.get(at.cookie))
    if found is None:
        raise LoginNeededError
    return found


Who = Annotated[Session, Depends(session)]
Sent = Annotated[Form, Depends(form)]


def own_form(who: Who, sent: Sent) -> Form:
    """The fields of a form that a page of this very session showed.

    Raises:
        HTTPException: another site, or an old page, sent it.
    """
    if not _same(sent.get("csrf", ""), who.csrf):
        raise HTTPException(403, "This form was not sent from a page of your session. Open the page again.")
    return sent


Own = Annotated[Form, Depends(own_form)]


@router.get("/login")
def ask(request: Request, next: str = "/") -> Response:
    """The form."""
    at = desk(request)
    token = request.cookies.get(at.cookie)
    if at.sessions.get(token) is not None:
        return RedirectResponse(_inside(next), 303)
    return _page(request, next, words=ENDED if token else "")


@router.post("/login")
def log_in(request: Request, sent: Sent) -> Response:
    """Start a session."""
    at, name, to = desk(request), sent.get("name", "").strip(), sent.get("next", "/")
    address = request.client.host if request.client else ""
    nonce = request.cookies.get(at.form_cookie, "")
    if not nonce or not _same(sent.get("csrf", ""), _token(at, nonce)):
        return _page(request, to, name, "This page was open too long. Try again.", 403)
    wait = at.attempts.begin(name, address)
    if wait:
        return _page(request, to, name, f"Too many attempts. Wait {wait} s, then try again.", 429, wait)
    try:
        person = at.door.check(name, sent.get("password", ""))
    except BaseException:
        at.attempts.undecided(name, address)
        raise
    if person is None:
        return _page(request, to, name, "Name and password do not belong together.", 401)
    at.attempts.succeeded(name, address)
    at.sessions.end(request.cookies.get(at.cookie))
    answer = RedirectResponse(_inside(to), 303)
    token = at.sessions.begin(person.name, person.role, sent.get("password", ""))
    _set(request, answer, at.cookie, token)
    answer.delete_cookie(at.form_cookie)
    return answer


@router.post("/logout")
def log_out(request: Request, _: Own) -> Response:
    """End a session."""
    at = desk(request)
    at.sessions.end(request.cookies.get(at.cookie))
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(at.cookie)
    return answer


def to_login(request: Request) -> Response:
    """Where nobody is logged in: to the form, and from there back to the page that was asked for."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = f"?next={quote(asked, safe='/')}" if request.method == "GET" and asked != "/" else ""
    return RedirectResponse(f"/login{back}", 303)


def _page(request: Request, to: str, name: str = "", words: str = "", status: int = 200, wait: int = 0) -> Response:
    """The form; its token belongs to a cookie of its own, since there is no session yet."""
    at = desk(request)
    nonce = request.cookies.get(at.form_cookie) or at.nonce()
    values: dict[str, Any] = {"next": _inside(to), "name": name, "words": words, "csrf": _token(at, nonce)}
    answer = at.render("login.html", None, status, **values)
    _set(request, answer, at.form_cookie, nonce)
    if wait:
        answer.headers["retry-after"] = str(wait)
    return answer


def _set(request: Request, answer: Response, name: str, value: str) -> None:
    secure = request.url.scheme == "https"
    answer.set_cookie(name, value, max_age=LONGEST, httponly=True, samesite="strict", secure=secure)


def _token(at: Desk, nonce: str) -> str:
    return hmac.new(at.key, nonce.encode(), hashlib.sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _inside(to: str) -> str:
    """A path of this page; anything else becomes the first page."""
    try:
        parts = urlsplit(to)
    except ValueError:
        return "/"
    ours = to.startswith("/") and not to.startswith("//") and not parts.scheme and not parts.netloc
    return to if ours and to.isprintable() and "\\" not in to else "/"
