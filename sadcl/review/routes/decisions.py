"""Routes for decisions: approve or reject a version, or roll back to the previous champion."""

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from sadcl.errors import SadclError
from sadcl.registry import decision
from sadcl.review.context import AppContext, app_context
from sadcl.review.routes.login import CsrfForm, CurrentSession
from sadcl.review.routes.versions import show
from sadcl.review.sessions import Session
from sadcl.review.snapshot import RegistrySnapshot

MAX_REASON = 2000
"""Most characters of a reason."""

router = APIRouter()


@router.post("/versions/{number}")
def decide(request: Request, session: CurrentSession, number: int, form: CsrfForm) -> Response:
    """Approve or reject a version."""
    require_reviewer(session)
    context, reason, action = app_context(request), form.get("reason", "").strip(), form.get("action")
    verdict_digest = form.get("verdict", "")  # of the verdict that the reviewer read; the registry compares it
    if action not in ("approve", "reject"):
        raise HTTPException(400, "Choose Approve or Reject.")
    problem = reason_problem(reason)
    if problem:
        return show(context, session, context.registry.snapshot(session), number, 400, reason=reason, error=problem)
    try:
        if action == "approve":
            first = form.get("first") == "yes"
            session.notices += context.registry.approve(session, number, verdict_digest, reason, first)
        else:
            session.notices += context.registry.reject(session, number, verdict_digest, reason)
    except SadclError as error:
        return show(context, session, context.registry.snapshot(session), number, 409, reason=reason, error=str(error))
    return RedirectResponse(f"/versions/{number}", 303)


@router.get("/rollback")
def confirm_rollback(request: Request, session: CurrentSession) -> Response:
    """The page that asks for a reason before a rollback."""
    require_reviewer(session)
    context = app_context(request)
    return _rollback_page(context, session, context.registry.snapshot(session))


@router.post("/rollback")
def roll_back(request: Request, session: CurrentSession, form: CsrfForm) -> Response:
    """Make the previous champion the champion again."""
    require_reviewer(session)
    context, reason = app_context(request), form.get("reason", "").strip()
    problem = reason_problem(reason)
    if problem:
        return _rollback_page(context, session, context.registry.snapshot(session), 400, reason, problem)
    try:
        session.notices += context.registry.roll_back(session, form.get("champion", ""), reason)
    except SadclError as error:
        return _rollback_page(context, session, context.registry.snapshot(session), 409, reason, str(error))
    return RedirectResponse("/history", 303)


def _rollback_page(
    context: AppContext,
    session: Session,
    snapshot: RegistrySnapshot,
    status: int = 200,
    reason: str = "",
    error: str = "",
) -> Response:
    return context.render("rollback.html", session, status, snapshot=snapshot, reason=reason, error=error)


def require_reviewer(session: Session) -> None:
    """Raise unless the role of a session may decide.

    Raises:
        HTTPException: it may only read.
    """
    if not session.can_decide:
        raise HTTPException(403, f"Your role is {session.role}. Only reviewers decide.")


def reason_problem(reason: str) -> str:
    """A sentence about what is wrong with a reason; empty where nothing is."""
    if not decision.is_reason(reason):
        return "Give a reason for your decision."
    return f"Shorten the reason to at most {MAX_REASON:,} characters." if len(reason) > MAX_REASON else ""
