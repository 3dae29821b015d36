"""Data of the page about one version, loaded part by part while the page renders."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from fastapi import HTTPException

from sadcl import files
from sadcl.errors import SadclError
from sadcl.evaluation.gate.legend import legend
from sadcl.registry import artifacts, decision, eligibility, schema, verified
from sadcl.registry.criteria import read_acceptance
from sadcl.review import schemas, tables
from sadcl.review.background import InProgressError
from sadcl.review.compare_worker import MAX_IMMEDIATE, compare_files
from sadcl.review.context import AppContext
from sadcl.review.data_part import DataPart
from sadcl.review.sessions import Session
from sadcl.review.side_by_side import FORMAT
from sadcl.review.snapshot import Decision, RegistrySnapshot, Version, latest_by_version
from sadcl.review.thumbnails import NoPhotoError

T = TypeVar("T")
NOT_VERIFIED = "The verifier has not scored this version yet, so there are no figures to show"


class VersionPage:
    """Content of the page about one version.

    Args:
        context: of the application.
        session: of the person who reads the page.
        snapshot: state of the registry.
        number: of the version.

    Attributes:
        version: the version.
        champion: the champion to compare with; None without one, and where this version is the champion.
        is_current_champion: it is the champion.
        judged_now: the gate compared it with the current champion.
        record: what the verifier computed; None where it has not verified this version.
        requires_verification: claims of its author are not shown as figures.
        is_verified: the figures of this page are the verifier's; else they are its author's claims.
        false_claims: claims of its author that differ from what was verified.
        is_comparing: the comparison is being computed in the background.
        can_reject: it is neither the champion nor rejected, whatever its verdict.
        objections: reasons why it can't be approved now, the most urgent first; empty where it can.

    Raises:
        HTTPException: there is no such version.
    """

    def __init__(self, context: AppContext, session: Session, snapshot: RegistrySnapshot, number: int) -> None:
        self._context, self._session = context, session
        try:
            self.version = snapshot.version(number)
        except LookupError:
            raise HTTPException(404, f"{snapshot.name} has no version {number}.") from None
        self.is_comparing = False
        self.is_current_champion = snapshot.is_champion(self.version)
        self.champion = None if self.is_current_champion else snapshot.champion
        digest, rejection = self.version.tags.get(schema.VERDICT_DIGEST), decision.rejection(self.version.entity)
        champion_tags = None if snapshot.champion is None else snapshot.champion.tags
        self.objections = eligibility.objections(self.version.tags, champion_tags, rejection, digest)
        refusals = eligibility.objections(self.version.tags, champion_tags, rejection, digest, schema.REJECT)
        self.can_reject = not refusals
        self.record = verified.read_record(self.version.tags)
        self.requires_verification = context.requires_verification
        self.is_verified = self.record is not None and bool(self.record.files)
        self.false_claims = [] if self.record is None else verified.differences(self.version.tags, self.record)
        if context.requires_verification:
            acceptance = read_acceptance(snapshot.accepted)
            accepted = None if acceptance is None else acceptance.criteria.digest
            self.objections += eligibility.verification_objections(self.version.tags, champion_tags, accepted)
        self.judged_now = (
            all(objection.rule != eligibility.OUTDATED for objection in self.objections)
            if self.record is None
            else self.record.champion == eligibility.champion_weights(champion_tags)
        )

    @cached_property
    def last_decision(self) -> Decision | None:
        """The latest decision about the version."""
        decisions = self._context.registry.decisions(self._session)
        return latest_by_version(decisions, self.version.model).get(self.version.number)

    @cached_property
    def verdict(self) -> schemas.Verdict | str:
        """The gate's verdict, or why it can't be shown."""
        return value_or_message(lambda: self._read(schemas.Verdict, verified.VERDICT, self._context.registry.verdict))

    @cached_property
    def metrics(self) -> schemas.Metrics | str:
        """The version's metrics, or why they can't be shown."""
        return value_or_message(lambda: self._read(schemas.Metrics, verified.METRICS, self._context.registry.metrics))

    @cached_property
    def settings(self) -> dict[str, Any] | str:
        """The version's params.yaml, or why it can't be shown."""
        return value_or_message(lambda: self._context.registry.settings(self._session, self.version))

    @cached_property
    def rules_legend(self) -> str:
        """Meaning of the metrics that the rules name."""
        return "" if isinstance(self.verdict, str) else legend(" ".join(rule.words for rule in self.verdict.rules))

    @cached_property
    def metric_rows(self) -> list[tables.MetricRow]:
        """Metrics of version, champion and publication."""
        verdict, metrics = value_or_none(self.verdict), value_or_none(self.metrics)
        return tables.metric_rows(verdict, metrics, value_or_none(self.settings) or {})

    @cached_property
    def published(self) -> Mapping[str, Any]:
        """Name and metrics of the publication in params.yaml; empty without one."""
        return tables.published(value_or_none(self.settings) or {})

    @cached_property
    def lineage(self) -> Sequence[tables.LineageRow]:
        """Labels and values of code, data and settings behind the version, and the champion's where they differ."""
        return tables.lineage_rows(self.version.tags, {} if self.champion is None else self.champion.tags)

    @cached_property
    def setting_changes(self) -> list[tables.SettingChange] | str:
        """Settings that differ from the champion's, or why they can't be shown."""
        champion = self.champion
        if champion is None:
            return "This is the champion." if self.is_current_champion else "There is no champion to compare with."
        before = value_or_message(lambda: self._context.registry.settings(self._session, champion))
        after = self.settings
        if isinstance(after, str):
            return after
        if isinstance(before, str):
            return before
        return value_or_message(lambda: tables.setting_changes(before, after))

    @cached_property
    def cost(self) -> list[tables.CostRow]:
        """Size and latency of version and champion."""
        champion, metrics = self.champion, None
        if champion is not None:
            metrics = value_or_none(value_or_message(lambda: self._context.registry.metrics(self._session, champion)))
        return tables.cost(value_or_none(self.metrics), metrics, self.version.tags.get(schema.SPEED, ""))

    @cached_property
    def comparison(self) -> dict[str, Any] | str:
        """Classes, curves and photos of both models, or why they can't be shown."""
        return value_or_message(self.compute_comparison)

    @cached_property
    def data_part(self) -> DataPart:
        """Photos, labels and validation behind the version."""
        return DataPart(
            self._context, self._session, self.version, self.champion,
            lambda key, photos, compute: self._cached(key, photos, compute),
        )  # fmt: skip

    @cached_property
    def data_changes(self) -> dict[str, Any] | str:
        """Photos and labels compared with the champion's and the project's, or why they can't be shown."""
        return value_or_message(self.data_part.changes)

    @cached_property
    def validation(self) -> schemas.Validation | str:
        """Validation of the data, as its author registered it, or why it can't be shown."""
        return value_or_message(self.data_part.validation)

    @cached_property
    def photos_problem(self) -> str | None:
        """A sentence why the photos can't be shown, or None."""
        return self._context.thumbnails.problem(self._shards())

    def compute_comparison(self) -> dict[str, Any]:
        """Compare scores of version and champion; the result comes from the cache after the first call.

        The champion is left out where it was judged on other test images.

        Raises:
            InProgressError: many images are being compared in the background.
            SadclError: scores are missing or damaged.
        """
        if self.record is not None and self.is_verified:
            return self._compare_verified(self.record)
        if self._context.requires_verification:
            raise SadclError(NOT_VERIFIED)
        registry, session, champion = self._context.registry, self._session, self.champion
        metrics = registry.metrics(session, self.version)
        if champion is not None and _test_digests(metrics) != _test_digests(registry.metrics(session, champion)):
            champion = None
        threshold = metrics.threshold
        compared = [version for version in (self.version, champion) if version is not None]
        score_digests = [artifacts.pins(version.entity).get(artifacts.SCORES) for version in compared]

        def compute() -> dict[str, Any]:
            champion_scores = None if champion is None else registry.scores(session, champion)
            return compare_files(registry.scores(session, self.version), champion_scores, threshold)

        return self._cached(files.digest_of([FORMAT, threshold, *score_digests]), metrics.images or 0, compute)

    def _compare_verified(self, record: verified.VerifiedRecord) -> dict[str, Any]:
        """Compare the scores of both models that the verifier computed on the same photos."""
        registry, session = self._context.registry, self._session
        metrics = self._read(schemas.Metrics, verified.METRICS, registry.metrics)
        names = [name for name in (verified.SCORES, verified.CHAMPION_SCORES) if name in record.files]
        digests = [record.files[name] for name in names]

        def compute() -> dict[str, Any]:
            paths = [registry.verified_file(session, record, name) for name in names]
            return compare_files(paths[0], paths[1] if paths[1:] else None, metrics.threshold)

        return self._cached(files.digest_of([FORMAT, metrics.threshold, *digests]), metrics.images or 0, compute)

    def _cached(self, key: str, images: int, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A comparison from the cache; of many images it is computed in the background.

        Raises:
            InProgressError: it is being computed.
        """
        if images <= MAX_IMMEDIATE:
            return dict(self._context.cache.value(key, compute))
        try:
            name = self._session.name
            return dict(self._context.background.get(key, name, compute, f"comparison of {images:,} photos"))
        except InProgressError:
            self.is_comparing = True
            raise

    def _read(
        self, schema_: type[schemas.SchemaT], name: str, claimed: Callable[[Session, Version], schemas.SchemaT]
    ) -> schemas.SchemaT:
        return read_file(self._context, self._session, self.version, schema_, name, claimed)

    def picture(self, kind: str, index: int, picture: str) -> bytes:
        """A photo, or the attention map of one of the models over it, as JPEG.

        Args:
            kind: ``better`` or ``worse``.
            index: among the photos of that kind.
            picture: ``photo``, ``version`` or ``champion``.

        Raises:
            HTTPException: there is no such photo.
            SadclError: the image can't be drawn.
        """
        photos = self.compute_comparison()[kind]
        if not 0 <= index < len(photos) or self.champion is None:
            raise HTTPException(404, "This photo does not exist.")
        photo, thumbnails = photos[index], self._context.thumbnails
        shown_version: Version = self.version if picture == "version" else self.champion
        try:
            if picture == "photo":
                return thumbnails.photo(self._shards(), photo["image_id"])
            return thumbnails.attention(
                self._shards(),
                photo["image_id"],
                lambda: self._context.registry.weights(self._session, shown_version),
                artifacts.pins(shown_version.entity)[artifacts.model(shown_version.entity)],
                photo["class"],
            )
        except NoPhotoError:
            raise HTTPException(404, "This photo does not exist.") from None

    def _shards(self) -> str:
        metrics = value_or_none(self.metrics)
        return "" if metrics is None else metrics.digests.shards


def _test_digests(metrics: schemas.Metrics) -> tuple[str, str]:
    return metrics.digests.test_list, metrics.digests.labels


def read_file(
    context: AppContext,
    session: Session,
    version: Version,
    schema_: type[schemas.SchemaT],
    name: str,
    claimed: Callable[[Session, Version], schemas.SchemaT],
) -> schemas.SchemaT:
    """Content of a JSON file of the verifier; the author's only where no verifier is required.

    Args:
        context: of the application.
        session: of the person who reads the page.
        version: that the file is about.
        schema_: of the file.
        name: of the file.
        claimed: reads the author's file.

    Raises:
        SadclError: the version is not verified, or the file can't be shown.
    """
    record = verified.read_record(version.tags)
    if record is not None and record.files:
        return context.registry.verified_value(session, record, name, schema_)
    if context.requires_verification:
        raise SadclError(NOT_VERIFIED if record is None else record.words)
    return claimed(session, version)


def value_or_message(read: Callable[[], T]) -> T | str:
    """The result of ``read``, or a sentence about its error, so that one damaged part does not hide the others.

    It catches every exception: trainers write the files of a version, and can damage them in unforeseen ways.
    """
    try:
        return read()
    except SadclError as error:
        return str(error)
    except Exception as error:
        logging.getLogger(__name__).exception("A part of a page could not be rendered")
        return f"This part can't be shown: its files are damaged ({type(error).__name__})."


def value_or_none(part: T | str) -> T | None:
    """The value, or None in place of a sentence about an error."""
    return None if isinstance(part, str) else part
