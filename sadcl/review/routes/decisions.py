"""What a reviewer decides: approve or reject a version, or go back to the champion before."""

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from sadcl.errors import SadclError
from sadcl.review.context import AppContext, desk
from sadcl.review.routes.login import Own, Who
from sadcl.review.routes.versions import show
from sadcl.review.sessions import Session
from sadcl.review.snapshot import RegistrySnapshot

LONGEST = 2000
"""Characters of a reason."""

router = APIRouter()


@router.post("/versions/{number}")
def decide(request: Request, who: Who, number: int, sent: Own) -> Response:
    """Approve or reject."""
    _may_decide(who)
    at, reason, action = desk(request), sent.get("reason", "").strip(), sent.get("action")
    seen = sent.get("verdict", "")
    if action not in ("approve", "reject"):
        raise HTTPException(400, "The form says neither approve nor reject.")
    against = _unreasoned(reason)
    if against:
        return show(at, who, at.registry.now(who), number, 400, reason=reason, refused=against)
    try:
        if action == "approve":
            who.notices += at.registry.approve(who, number, seen, reason, first=sent.get("first") == "yes")
        else:
            who.notices += at.registry.reject(who, number, seen, reason)
    except SadclError as error:
        return show(at, who, at.registry.now(who), number, 409, reason=reason, refused=str(error))
    return RedirectResponse(f"/versions/{number}", 303)


@router.get("/rollback")
def ask(request: Request, who: Who) -> Response:
    """The second page before a rollback: what it would do, and why."""
    _may_decide(who)
    at = desk(request)
    return _confirm(at, who, at.registry.now(who))


@router.post("/rollback")
def roll_back(request: Request, who: Who, sent: Own) -> Response:
    """Make the champion before the champion again."""
    _may_decide(who)
    at, reason = desk(request), sent.get("reason", "").strip()
    against = _unreasoned(reason)
    if against:
        return _confirm(at, who, at.registry.now(who), 400, reason, against)
    try:
        who.notices += at.registry.roll_back(who, sent.get("champion", ""), reason)
    except SadclError as error:
        return _confirm(at, who, at.registry.now(who), 409, reason, str(error))
    return RedirectResponse("/history", 303)


def _confirm(
    at: AppContext, who: Session, now: RegistrySnapshot, status: int = 200, reason: str = "", refused: str = ""
) -> Response:
    return at.render("rollback.html", who, status, now=now, reason=reason, refused=refused)


def _may_decide(who: Session) -> None:
    if not who.decides:
        raise HTTPException(403, f"{who.name} is a {who.role} here; a reviewer decides.")


def _unreasoned(reason: str) -> str:
    if not reason:
        return "A decision needs a reason."
    return f"A reason has at most {LONGEST:,} characters." if len(reason) > LONGEST else ""
