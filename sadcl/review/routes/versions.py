"""Routes for reading: the list of versions, one version with its images, the history of decisions."""

from typing import Literal

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.background import BackgroundTask

from sadcl.registry import schema, verified
from sadcl.review import schemas, tables
from sadcl.review.context import AppContext, app_context
from sadcl.review.routes.login import Arrival, CurrentSession
from sadcl.review.sessions import Session
from sadcl.review.snapshot import RegistrySnapshot, Version, latest_by_version, promotions
from sadcl.review.version_page import VersionPage, read_file, value_or_message, value_or_none

RECENT = 10
"""Versions in the list without ``?all=true``."""

MOST_PAGES = 10_000
"""Most pages of the table of classes."""
REFRESH_SECONDS = 3
"""Seconds after which a browser loads a page again whose comparison is being computed."""

router = APIRouter()


@router.get("/")
def versions(request: Request, arrival: Arrival, session: CurrentSession, all: bool = False) -> Response:
    """Champion, challenger and the other registered versions."""
    context = app_context(request)
    snapshot, decisions = context.registry.snapshot(session, arrival), context.registry.decisions(session)
    shown = snapshot.versions if all else snapshot.versions[:RECENT]

    def map_estimate(version: Version) -> tables.Estimate:
        """mAP with its interval, or without one where the verdict can't be read."""
        record = verified.read_record(version.tags)
        if record is None and context.requires_verification:
            return tables.Estimate()
        claimed = context.registry.verdict
        verdict = value_or_none(
            value_or_message(lambda: read_file(context, session, version, schemas.Verdict, verified.VERDICT, claimed))
        )
        intervals = verdict and verdict.intervals.get("mAP")
        interval = intervals and intervals.model
        return tables.estimate(
            interval or [tables.parse_number(record.mAP if record else version.tags.get(schema.MAP))]
        )

    response = context.stream(
        "versions.html", session, snapshot=snapshot, shown=shown, more=len(snapshot.versions) - len(shown),
        map_estimate=map_estimate, verdict_of=lambda version: _verdict(context, version),
        latest_decisions=latest_by_version(decisions, snapshot.name), promotions=promotions(decisions, snapshot.name),
    )  # fmt: skip
    if snapshot.challenger is not None:
        # the comparison takes seconds: it is in the cache when the reviewer opens the challenger
        challenger = VersionPage(context, session, snapshot, int(snapshot.challenger.number))
        response.background = BackgroundTask(_prepare, challenger)
    return response


def _prepare(challenger: VersionPage) -> None:
    """Compute what the page about the challenger shows."""
    for compute in (challenger.data_part.changes, challenger.compute_comparison):
        value_or_message(compute)


@router.get("/versions/{number}")
def version(
    request: Request,
    arrival: Arrival,
    session: CurrentSession,
    number: int,
    sort: str = "name",
    order: str = "asc",
    find: str = "",
    page: int = 1,
) -> Response:
    """One version compared with the champion."""
    if sort not in tables.SORTS or order not in tables.ORDERS or not 1 <= page <= MOST_PAGES:
        raise HTTPException(404, "The table can't be sorted like this.")
    context = app_context(request)
    snapshot = context.registry.snapshot(session, arrival)
    return show(context, session, snapshot, number, classes=tables.ClassTable(sort, order, find.strip(), page))


def _verdict(context: AppContext, version: Version) -> tuple[str, str]:
    """Verdict of a version and its sentence: the verifier's, or its author's where no verifier is required."""
    record = verified.read_record(version.tags)
    if record is not None:
        return record.verdict, record.words
    if context.requires_verification:
        return "not verified yet", ""
    return version.tags.get(schema.VERDICT, "unknown"), version.tags.get(schema.WORDS, "")


def show(
    context: AppContext,
    session: Session,
    snapshot: RegistrySnapshot,
    number: int,
    status: int = 200,
    classes: tables.ClassTable = tables.ALL_CLASSES,
    reason: str = "",
    error: str = "",
) -> Response:
    """Render the page about a version; after a refused decision with the error and the reason that was typed."""
    page = VersionPage(context, session, snapshot, number)
    response = context.stream(
        "version.html", session, status, snapshot=snapshot, page=page, sorts=tables.SORTS, table=classes,
        rows_per_page=tables.ROWS, reason=reason, error=error,
    )  # fmt: skip
    # before the first section, since headers can't follow it; reloading a refused decision would lose its reason
    parts = (page.comparison, page.data_changes)
    if page.is_comparing and any(isinstance(part, str) for part in parts) and not error:
        response.headers["refresh"] = str(REFRESH_SECONDS)
    return response


# before the route of other pictures, whose pattern fits it too
@router.get("/versions/{number}/data/{kind}/{index}.jpg")
def data_picture(request: Request, session: CurrentSession, number: int, kind: str, index: int) -> Response:
    """A photo that was added, removed or relabelled, or one of a pair of look-alikes."""
    context = app_context(request)
    page = VersionPage(context, session, context.registry.last_snapshot(session), number)
    try:
        return Response(page.data_part.picture(kind, index), media_type="image/jpeg")
    except LookupError:
        raise HTTPException(404, "This photo does not exist.") from None


@router.get("/versions/{number}/{kind}/{index}/{picture}.jpg")
def picture(
    request: Request,
    session: CurrentSession,
    number: int,
    kind: Literal["better", "worse"],
    index: int,
    picture: Literal["photo", "version", "champion"],
) -> Response:
    """A photo on which version and champion differ, or an attention map over it."""
    context = app_context(request)
    jpeg = VersionPage(context, session, context.registry.last_snapshot(session), number).picture(kind, index, picture)
    return Response(jpeg, media_type="image/jpeg")


@router.get("/favicon.ico")
def icon() -> Response:
    """An empty icon, since browsers request one."""
    return Response(status_code=204)


@router.get("/history")
def history(request: Request, arrival: Arrival, session: CurrentSession) -> Response:
    """All decisions, the newest first."""
    context = app_context(request)
    snapshot, decisions = context.registry.snapshot(session, arrival), context.registry.decisions(session)
    return context.render("history.html", session, snapshot=snapshot, decisions=decisions)
