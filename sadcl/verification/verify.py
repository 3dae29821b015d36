"""Verification of a registered version: its weights are scored and judged here, whatever its author says of them.

Protected are the test photos with their labels, the gate's rules and the champion: the first two as they stand in this
project, the champion as the registry has it. Nothing but the weights file comes from the version. Only ``fetch`` talks
to the registry; ``judge`` works without a log-in.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import params
from sadcl.errors import SadclError
from sadcl.evaluation import inference
from sadcl.evaluation.gate.champion import Champion
from sadcl.evaluation.gate.recheck import describe_rules
from sadcl.evaluation.gate.verdict import CHAMPION, MODEL, verdict
from sadcl.evaluation.scores import Scores, empty_scores
from sadcl.registry import artifacts, client, criteria, lookup, model_code, release, schema, verified
from sadcl.registry.audit import log
from sadcl.registry.verified import Difference, VerifiedRecord
from sadcl.verification import inputs, scoring
from sadcl.verification.confined_call import Report
from sadcl.verification.inputs import Inputs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


class CandidateError(SadclError):
    """A fault of the version itself, which no second attempt mends."""

    @classmethod
    def of(cls, error: SadclError) -> "CandidateError":
        """Convert an error to a fault of the version, with its message."""
        return cls(error.what, where=error.where, fix=error.fix)


@dataclass(frozen=True)
class Candidates:
    """A version and the champion that it has to beat, ready to be scored without the registry.

    Attributes:
        version: the registered version.
        model: its weights.
        champion: the version in production; None without one.
        rival: the champion's weights; None without one.
    """

    version: "ModelVersion"
    model: scoring.Model
    champion: "ModelVersion | None"
    rival: scoring.Model | None


@dataclass(frozen=True)
class Verification:
    """Result of the verification of a version.

    Attributes:
        address: of the version, ``models:/NAME/NUMBER``.
        verdict: the value of verdict.json, computed here.
        metrics: the value of metrics.json, computed here.
        scores, rival: of the version and of the champion, computed here.
        record: what the registry keeps of it.
        differences: claims that are not so; empty for an honest version on the present data and rules.
        changes: how the criteria of this project differ from the accepted ones; empty where they agree.
    """

    address: str
    verdict: dict[str, Any]
    metrics: dict[str, Any]
    scores: Scores
    rival: Scores
    record: VerifiedRecord
    differences: list[Difference]
    changes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return self.record.passed

    def lines(self) -> list[str]:
        """Describe the verdict, its rules, and each claim that differs."""
        count, end = self.metrics["images"], "The claims of its author agree with this."
        claims = [f"  {difference}" for difference in self.differences]
        changes = [f"  {change}" for change in self.changes]
        return [
            f"{self.address}, scored here on {count:,} test photos and judged by the rules of {params.FILE}:",
            self.verdict["words"], *describe_rules(self.verdict),
            *(["Claims that differ:", *claims] if claims else [end]),
            *(["This project's criteria are not the accepted ones:", *changes] if changes else []),
        ]  # fmt: skip


def verify_number(number: str | int, root: Path = Path(".")) -> Verification:
    """Verify a registered version of the project's model.

    Args:
        number: of the version.
        root: the project, whose test photos and rules count.

    Raises:
        SadclError: there is no such version, its weights are not those that were registered or can't be scored, or the
            test photos are not here.
    """
    if not client.registry_exists(root):
        raise SadclError("Nothing is registered yet", where=root.resolve(), fix="Run `sadcl register` first")
    name = params.load("register", path=root / params.FILE).register_.name
    with client.connect(root) as connection:
        candidate = lookup.get_version(connection, name, number)
        protected = inputs.load_inputs(root)
        champion = lookup.version_with_alias(connection, schema.production(name), schema.CHAMPION)
        accepted = criteria.accepted(connection, name)
        with tempfile.TemporaryDirectory() as folder:
            verification = judge(fetch(connection, candidate, champion, Path(folder)), protected)
    return (
        verification
        if accepted is None
        else replace(verification, changes=criteria.changes(accepted.criteria, protected.criteria))
    )


def fetch(
    connection: "MlflowClient",
    candidate: "ModelVersion",
    champion: "ModelVersion | None",
    folder: Path,
) -> Candidates:
    """Download a version with all its files and the champion's weights, compared with their pins.

    Args:
        connection: to the registry.
        candidate: the version to verify.
        champion: the version in production; None where there is none.
        folder: for the downloads.

    Raises:
        CandidateError: a file of the version is not the one that was registered, or its code is not the installed one.
        SadclError: the registry can't be reached, or the champion's weights differ.
    """
    try:
        model_code.require_installed(candidate)
        path = artifacts.check_all(connection, candidate, folder / "candidate")
    except (artifacts.DifferentFileError, model_code.ForeignCodeError) as error:
        raise CandidateError.of(error) from None
    if not path.is_file():
        raise CandidateError("The version has no file with weights", where=lookup.model_uri(candidate))
    rival = None
    if champion is not None:
        rival = _model(champion, artifacts.fetch(connection, champion, artifacts.model(champion), folder / "champion"))
    return Candidates(candidate, _model(candidate, path), champion, rival)


def judge(pair: Candidates, protected: Inputs, report: Report | None = None) -> Verification:
    """Score and judge a version, and compare the result with what its tags claim.

    A champion that can't be scored, such as one with other classes, is not compared: the gate refuses.

    Args:
        pair: the version and the champion.
        protected: settings and test photos.
        report: receives lines about the progress.

    Raises:
        CandidateError: the version's weights can't be scored.
        SadclError: a process exceeded a limit, or lacked memory or room on the disk.
    """
    evaluate = protected.evaluate

    def score(model: scoring.Model, name: str) -> Scores:
        return scoring.score(
            model, protected.test, name, evaluate.batch, evaluate.corruptions, root=protected.root, report=report
        )

    try:
        own = score(pair.model, MODEL)
    except scoring.UnscorableError as error:
        raise CandidateError.of(error) from None
    metrics = inference.summary(own, evaluate.threshold, "served")
    rival, champion = empty_scores(), None
    if pair.champion is not None and pair.rival is not None:
        champion = _champion(pair.champion)
        try:
            rival = score(pair.rival, CHAMPION)
        except scoring.UnscorableError as error:  # as the stage ``rescore`` does
            reason = f"{champion} is champion, but can't be scored: {error}"
            rival = empty_scores(reason, protected.test.classes)
    judged = verdict(protected.gate, evaluate.threshold, own, metrics, rival, champion)
    record = _record(judged, metrics, protected)
    differences = verified.differences(pair.version.tags, record)
    return Verification(lookup.model_uri(pair.version), judged, metrics, own, rival, record, differences)


def _model(version: "ModelVersion", path: Path) -> scoring.Model:
    """The served file of a version, which was compared with its pin."""
    return scoring.Model(artifacts.pins(version)[artifacts.model(version)], path.suffix, path)


def _record(judged: Mapping[str, Any], metrics: Mapping[str, Any], protected: Inputs) -> VerifiedRecord:
    return VerifiedRecord(
        verdict=str(judged["verdict"]), words=str(judged["words"]), mAP=release.percent(metrics[MODEL]["mAP"]),
        weights=str(judged["model"]), test=str(judged["test"]), criteria=protected.criteria.digest,
        champion=str(judged["champion"] or ""), run="", files={}, time=log.now(),
    )  # fmt: skip


def _champion(champion: "ModelVersion") -> Champion:
    record = artifacts.champion_record(champion)
    return Champion(record["name"], record["version"], record["weights"])
