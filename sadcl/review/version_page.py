"""One version beside the champion: each part is asked for when the page comes to it, or says why it is not there."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from fastapi import HTTPException

from sadcl import files
from sadcl.errors import SadclError
from sadcl.registry import artifacts, decision, eligibility, schema
from sadcl.review import said, schemas, tables
from sadcl.review.context import AppContext
from sadcl.review.sessions import Session
from sadcl.review.side_by_side import FORMAT, compare
from sadcl.review.snapshot import RegistrySnapshot, Version

T = TypeVar("T")


class VersionPage:
    """What a page about a version shows, as one person may see it.

    Args:
        at: whom to ask.
        who: asks.
        now: what the registry holds.
        number: of the version.

    Attributes:
        version: itself.
        rival: the champion, where that is another; None without one.
        reigns, challenges, passed: it is the champion, has the alias, passed the gate.
        judged_now: the gate compared it with today's champion.
        objections: reasons why it can't be approved now, the most urgent first; empty where it can.

    Raises:
        HTTPException: there is no such version.
    """

    def __init__(self, at: AppContext, who: Session, now: RegistrySnapshot, number: int) -> None:
        self._at, self._who = at, who
        try:
            self.version = now.version(number)
        except LookupError:
            raise HTTPException(404, f"There is no version {number} of {now.name}.") from None
        self.reigns = now.is_champion(self.version)
        self.rival = None if self.reigns else now.champion
        self.challenges = self.version == now.challenger
        self.passed = self.version.tags.get(schema.VERDICT) == "pass"
        digest, rejection = self.version.tags.get(schema.VERDICT_DIGEST), decision.rejection(self.version.entity)
        champion_tags = None if now.champion is None else now.champion.tags
        self.objections = eligibility.objections(self.version.tags, champion_tags, rejection, digest)
        self.judged_now = all(objection.rule != eligibility.OUTDATED for objection in self.objections)

    @cached_property
    def decided(self) -> said.Decision | None:
        """The last decision about it."""
        return said.last(said.decisions(self._at, self._who)).get(self.version.number)

    @cached_property
    def verdict(self) -> schemas.Verdict | str:
        """Of the gate."""
        return or_words(lambda: self._at.registry.verdict(self._who, self.version))

    @cached_property
    def metrics(self) -> schemas.Metrics | str:
        """Its own figures."""
        return or_words(lambda: self._at.registry.metrics(self._who, self.version))

    @cached_property
    def settings(self) -> dict[str, Any] | str:
        """Its params.yaml."""
        return or_words(lambda: self._at.registry.settings(self._who, self.version))

    @cached_property
    def figures(self) -> list[tables.Figure]:
        """Figures beside the champion's and the published ones."""
        return tables.figures(known(self.verdict), known(self.metrics), known(self.settings) or {})

    @cached_property
    def published(self) -> Mapping[str, Any]:
        """Name and figures of a publication; empty where none is named."""
        return tables.published(known(self.settings) or {})

    @cached_property
    def origin(self) -> Sequence[tuple[str, str]]:
        """What it came from."""
        return tables.origin(self.version.tags)

    @cached_property
    def changes(self) -> list[tables.SettingChange] | str:
        """Settings that are not the champion's."""
        rival = self.rival
        if rival is None:
            return "This is the champion." if self.reigns else "There is no champion to compare with."
        ours, theirs = self.settings, or_words(lambda: self._at.registry.settings(self._who, rival))
        if isinstance(ours, str) or isinstance(theirs, str):
            return ours if isinstance(ours, str) else str(theirs)
        return or_words(lambda: tables.changes(theirs, ours))

    @cached_property
    def cost(self) -> list[tuple[str, int | None, int | None]]:
        """What it costs, and what the champion does."""
        rival = self.rival
        theirs = None if rival is None else known(or_words(lambda: self._at.registry.metrics(self._who, rival)))
        return tables.cost(known(self.metrics), theirs, self.version.tags.get(schema.SPEED, ""))

    @cached_property
    def compared(self) -> dict[str, Any] | str:
        """Classes, curves and photos."""
        return or_words(self.comparison)

    @cached_property
    def lacking(self) -> str | None:
        """Why the photos can't be shown; None where they can."""
        return self._at.pictures.missing(self._shards())

    def comparison(self) -> dict[str, Any]:
        """What ``compare`` says, worked out once; without the champion where it was judged on other test images.

        Raises:
            SadclError: scores are gone or damaged.
        """
        registry, who, metrics = self._at.registry, self._who, self._at.registry.metrics(self._who, self.version)
        rival = self.rival
        if rival is not None and _test(metrics) != _test(registry.metrics(who, rival)):
            rival = None
        threshold = metrics.threshold
        held = [artifacts.pins(each.entity).get(artifacts.SCORES) for each in (self.version, rival) if each is not None]

        def work_out() -> dict[str, Any]:
            theirs = None if rival is None else registry.scores(who, rival)
            return compare(registry.scores(who, self.version), theirs, threshold)

        return dict(self._at.cache.value(files.digest_of([FORMAT, threshold, *held]), work_out))

    def picture(self, kind: str, place: int, picture: str) -> bytes:
        """A photo as JPEG, or where a model looked on it.

        Args:
            kind: ``better`` or ``worse``.
            place: among the photos of that kind.
            picture: ``photo``, ``version`` or ``champion``.

        Raises:
            HTTPException: there is no such photo.
            SadclError: it can't be shown.
        """
        shown = self.comparison()[kind]
        if not 0 <= place < len(shown) or self.rival is None:
            raise HTTPException(404, "There is no such photo.")
        photo, pictures = shown[place], self._at.pictures
        if picture == "photo":
            return pictures.photo(self._shards(), photo["image_id"])
        looks: Version = self.version if picture == "version" else self.rival
        return pictures.attention(
            self._shards(),
            photo["image_id"],
            lambda: self._at.registry.weights(self._who, looks),
            artifacts.pins(looks.entity)[artifacts.model(looks.entity)],
            photo["class"],
        )

    def _shards(self) -> str:
        metrics = known(self.metrics)
        return "" if metrics is None else metrics.digests.shards


def _test(metrics: schemas.Metrics) -> tuple[str, str]:
    return metrics.digests.test_list, metrics.digests.labels


def or_words(ask: Callable[[], T]) -> T | str:
    """What it answers, or why it could not be had: a page shows the rest all the same.

    Files of a version are somebody else's, and there are more ways to damage them than anybody foresees.
    """
    try:
        return ask()
    except SadclError as error:
        return str(error)
    except Exception as error:
        logging.getLogger(__name__).exception("A part of a page could not be made")
        return f"This can't be shown: the files that it is made from are damaged ({type(error).__name__})."


def known(part: T | str) -> T | None:
    """The part, where it could be had."""
    return None if isinstance(part, str) else part
