"""Routes for the acceptance criteria: what models are judged by, what has changed, and the decision about it."""

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from sadcl.errors import SadclError
from sadcl.review.context import AppContext, app_context
from sadcl.review.criteria_state import read_state
from sadcl.review.routes.decisions import reason_problem, require_reviewer
from sadcl.review.routes.login import CsrfForm, CurrentSession
from sadcl.review.sessions import Session
from sadcl.review.thumbnails import NoPhotoError
from sadcl.review.version_page import value_or_message

router = APIRouter()


@router.get("/criteria")
def criteria(request: Request, session: CurrentSession) -> Response:
    """Accepted rules, test photos and labels, and how those of the project differ."""
    return _page(app_context(request), session)


@router.post("/criteria")
def accept(request: Request, session: CurrentSession, form: CsrfForm) -> Response:
    """Accept the criteria of the project."""
    require_reviewer(session)
    context, reason = app_context(request), form.get("reason", "").strip()
    problem = reason_problem(reason)
    if problem:
        return _page(context, session, 400, reason, problem)
    try:
        session.notices += context.registry.accept_criteria(session, form.get("digest", ""), reason)
    except SadclError as error:
        return _page(context, session, 409, reason, str(error))
    return RedirectResponse("/criteria", 303)


@router.get("/criteria/photo.jpg")
def picture(request: Request, session: CurrentSession, shards: str, image_id: str) -> Response:  # noqa: ARG001
    """A test photo of the project, whose shards have a digest."""
    try:
        encoded = app_context(request).thumbnails.photo(shards, image_id)
    except NoPhotoError:
        raise HTTPException(404, "This photo does not exist.") from None
    return Response(encoded, media_type="image/jpeg")


def _page(context: AppContext, session: Session, status: int = 200, reason: str = "", error: str = "") -> Response:
    state = value_or_message(lambda: read_state(context, session))
    return context.render("criteria.html", session, status, state=state, reason=reason, error=error)
