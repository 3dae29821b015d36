"""What a person can look at: all versions, one of them, its pictures, the history."""

from typing import Literal

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.background import BackgroundTask

from sadcl.registry import schema
from sadcl.review import said, tables
from sadcl.review.context import AppContext, desk
from sadcl.review.routes.login import Who
from sadcl.review.sessions import Session
from sadcl.review.snapshot import RegistrySnapshot, Version
from sadcl.review.version_page import VersionPage, known, or_words

RECENT = 10
"""Versions in the list, unless all are asked for."""

router = APIRouter()


@router.get("/")
def versions(request: Request, who: Who, all: bool = False) -> Response:
    """Who is champion, who challenges, and what else was registered."""
    at = desk(request)
    now, decided = at.registry.now(who), said.decisions(at, who)
    shown = now.versions if all else now.versions[:RECENT]

    def reach(version: Version) -> tables.Estimate:
        """mAP with its interval; without one where its verdict can't be had."""
        verdict = known(or_words(lambda: at.registry.verdict(who, version)))
        judged = verdict and verdict.intervals.get("mAP")
        interval = judged and judged.model
        return tables.reach(interval) if interval else tables.Estimate(tables.number(version.tags.get(schema.MAP)))

    answer = at.stream(
        "versions.html", who, now=now, shown=shown, more=len(now.versions) - len(shown), reach=reach,
        decided=said.last(decided), crowned=said.crowned(decided),
    )  # fmt: skip
    if now.challenger is not None:
        beside = VersionPage(at, who, now, int(now.challenger.number))
        answer.background = BackgroundTask(or_words, beside.comparison)  # seconds, which nobody waits for later
    return answer


@router.get("/versions/{number}")
def version(request: Request, who: Who, number: int, sort: str = "name", order: str = "asc") -> Response:
    """One version beside the champion."""
    if sort not in tables.SORTS or order not in tables.ORDERS:
        raise HTTPException(404, "There is no such order.")
    at = desk(request)
    return show(at, who, at.registry.now(who), number, sort=sort, order=order)


def show(
    at: AppContext,
    who: Session,
    now: RegistrySnapshot,
    number: int,
    status: int = 200,
    sort: str = "name",
    order: str = "asc",
    reason: str = "",
    refused: str = "",
) -> Response:
    """The page about a version; a decision that was refused comes back here with its reason."""
    return at.stream(
        "version.html", who, status, now=now, it=VersionPage(at, who, now, number), sorts=tables.SORTS,
        ordered=tables.ordered, sort=sort, order=order, reason=reason, refused=refused,
    )  # fmt: skip


@router.get("/versions/{number}/{kind}/{place}/{picture}.jpg")
def picture(
    request: Request,
    who: Who,
    number: int,
    kind: Literal["better", "worse"],
    place: int,
    picture: Literal["photo", "version", "champion"],
) -> Response:
    """A photo on which a version and the champion lie apart, or where one of them looked on it."""
    at = desk(request)
    drawn = VersionPage(at, who, at.registry.seen(who), number).picture(kind, place, picture)
    return Response(drawn, media_type="image/jpeg")


@router.get("/favicon.ico")
def icon() -> Response:
    """None; browsers ask for it all the same."""
    return Response(status_code=204)


@router.get("/history")
def history(request: Request, who: Who) -> Response:
    """All decisions, the newest first."""
    at = desk(request)
    return at.render("history.html", who, now=at.registry.now(who), decisions=said.decisions(at, who))
