"""Routes for the acceptance criteria: what models are judged by, what has changed, and the decision about it."""

from typing import Literal

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from sadcl.errors import SadclError
from sadcl.review import criteria_photos
from sadcl.review.context import AppContext, app_context
from sadcl.review.criteria_state import read_state
from sadcl.review.routes.decisions import reason_problem, require_reviewer
from sadcl.review.routes.login import CsrfForm, CurrentSession
from sadcl.review.sessions import Session
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


@router.get("/criteria/{kind}/{index}.jpg")
def picture(request: Request, session: CurrentSession, kind: Literal["added", "relabelled"], index: int) -> Response:
    """A test photo that was added or relabelled."""
    context = app_context(request)
    state = read_state(context, session)
    photos = (state.photos or {}).get(kind, [])
    if not 0 <= index < min(len(photos), criteria_photos.MOST_EXAMPLES):
        raise HTTPException(404, "This photo does not exist.")
    jpeg = context.thumbnails.photo(state.project.shards, photos[index]["image_id"])
    return Response(jpeg, media_type="image/jpeg")


def _page(context: AppContext, session: Session, status: int = 200, reason: str = "", error: str = "") -> Response:
    state = value_or_message(lambda: read_state(context, session))
    most = criteria_photos.MOST_EXAMPLES
    return context.render("criteria.html", session, status, state=state, most=most, reason=reason, error=error)
