"""What a person can look at: all versions, one of them, its pictures, the history."""

from collections.abc import Mapping
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Request, Response

from sadcl import files
from sadcl.errors import SadclError
from sadcl.registry import names, stored
from sadcl.review import view
from sadcl.review.compared import FORMAT, compare
from sadcl.review.desk import Desk, desk
from sadcl.review.login import Who
from sadcl.review.registry import Registered, Version
from sadcl.review.sessions import Session

RECENT = 10
"""Versions in the list, unless all are asked for."""

router = APIRouter()


@router.get("/")
def versions(request: Request, who: Who, all: bool = False) -> Response:
    """Who is champion, who challenges, and what else was registered."""
    at = desk(request)
    now = at.registry.now(who)
    shown = now.versions if all else now.versions[:RECENT]
    said = decisions(at, who)

    def reach(version: Version) -> view.Reach:
        """mAP with its interval; without one where its verdict can't be had."""
        try:
            judged = at.registry.verdict(who, version)
        except SadclError:
            return view.Reach(_number(version.tags.get(names.MAP)))
        return view.reach((judged.get("intervals") or {}).get("mAP", {}).get("model"))

    return at.stream(
        "versions.html", who, now=now, shown=shown, decided=_last(said), crowned=_crowned(said), reach=reach,
        more=len(now.versions) - len(shown),
    )  # fmt: skip


@router.get("/versions/{number}")
def version(request: Request, who: Who, number: int, sort: str = "", order: str = "") -> Response:
    """One version beside the champion."""
    at = desk(request)
    return show(at, who, at.registry.now(who), number, sort=sort, order=order)


def show(
    at: Desk,
    who: Session,
    now: Registered,
    number: int,
    status: int = 200,
    sort: str = "",
    order: str = "",
    reason: str = "",
    refused: str = "",
) -> Response:
    """The page about a version; a decision that was refused comes back here with its reason.

    Raises:
        HTTPException: there is no such version, or no such column to sort by.
    """
    found, champion = _found(now, number), now.champion
    sort, order = sort or "name", order or "asc"
    if sort not in view.SORTS or order not in view.ORDERS:
        raise HTTPException(404, "There is no such order.")
    verdict, metrics, settings = (
        _or_words(lambda: at.registry.verdict(who, found)),
        _or_words(lambda: at.registry.metrics(who, found)),
        _or_words(lambda: at.registry.settings(who, found)),
    )
    rival = None if champion is None or now.is_champion(found) else champion

    def changes() -> Any:
        return _or_words(lambda: view.changes(at.registry.settings(who, rival), _known(settings))) if rival else []

    def cost() -> Any:
        theirs = _known(_or_words(lambda: at.registry.metrics(who, rival))) if rival else {}
        return view.cost(_known(metrics), theirs)

    def compared() -> Any:
        return _or_words(lambda: comparison(at, who, found, rival))

    def photos() -> str | None:
        return at.pictures.missing(_known(metrics)["digests"]["shards"])

    said = decisions(at, who)
    return at.stream(
        "version.html", who, status, now=now, version=found, verdict=verdict, metrics=metrics, settings=settings,
        rival=rival, reigns=now.is_champion(found), figures=view.figures(*map(_known, (verdict, metrics, settings))),
        published=view.published(_known(settings)), origin=view.origin(found.tags), changes=changes, cost=cost,
        compared=compared, photos=photos, ordered=view.ordered, sorts=view.SORTS, sort=sort, order=order, reason=reason, refused=refused,
        decided=_last(said).get(found.number),
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
    now = at.registry.now(who)
    found, champion = _found(now, number), now.champion
    shown = comparison(at, who, found, champion)[kind]
    if champion is None or not 0 <= place < len(shown):
        raise HTTPException(404, "There is no such photo.")
    digest, photo = at.registry.metrics(who, found)["digests"]["shards"], shown[place]
    if picture == "photo":
        drawn = at.pictures.photo(digest, photo["image_id"])
    else:
        looks = found if picture == "version" else champion
        pin = stored.pins(looks.entity)[stored.model(looks.entity)]
        drawn = at.pictures.attention(
            digest, photo["image_id"], lambda: at.registry.weights(who, looks), pin, photo["class"]
        )
    return Response(drawn, media_type="image/jpeg")


@router.get("/history")
def history(request: Request, who: Who) -> Response:
    """All decisions, the newest first."""
    at = desk(request)
    return at.render("history.html", who, now=at.registry.now(who), decisions=decisions(at, who))


def comparison(at: Desk, who: Session, version: Version, champion: Version | None) -> dict[str, Any]:
    """What ``compare`` says, worked out once; without the champion where it was judged on other test images.

    Raises:
        SadclError: scores are gone or damaged.
    """
    metrics = at.registry.metrics(who, version)
    alike = champion is not None and _test(metrics) == _test(at.registry.metrics(who, champion))
    rival = champion if alike else None
    threshold = float(metrics.get("threshold", 0.5))
    held = [stored.pins(each.entity)[stored.SCORES] for each in (version, rival) if each is not None]

    def work_out() -> dict[str, Any]:
        theirs = None if rival is None else at.registry.scores(who, rival)
        return compare(at.registry.scores(who, version), theirs, threshold)

    return dict(at.cache.value(files.digest_of([FORMAT, threshold, *held]), work_out))


def decisions(at: Desk, who: Session) -> list[dict[str, Any]]:
    """All decisions, the newest first, each with ``number`` of the registered version that it is about."""
    return [
        {**said, "number": str(said.get("challenger", "")).rpartition("/")[2]} for said in at.registry.decisions(who)
    ]


def _last(said: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The last decision about each registered version, by its number."""
    return {one["number"]: one for one in reversed(said)}


def _crowned(said: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The last decision that made each version in production the champion, by its number."""
    return {str(one["to"]): one for one in reversed(said) if one.get("to") and one.get("action") != "reject"}


def _test(metrics: Mapping[str, Any]) -> tuple[Any, ...]:
    digests = metrics["digests"]
    return digests["test_list"], digests["labels"]


def _found(now: Registered, number: int) -> Version:
    try:
        return now.version(number)
    except LookupError:
        raise HTTPException(404, f"There is no version {number} of {now.name}.") from None


def _or_words(ask: Any) -> Any:
    """What it answers, or why it could not be had: a page shows the rest all the same."""
    try:
        return ask()
    except SadclError as error:
        return str(error)


def _known(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
