"""Verification of a registered version: its weights are scored and judged here, whatever its author says of them.

Protected are the test photos with their labels, the gate's rules and the champion: the first two as they stand in this
project, the champion as the registry has it. Nothing but the weights file comes from the version.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import layout, params
from sadcl.errors import SadclError
from sadcl.evaluation import inference, scores
from sadcl.evaluation.gate.champion import Champion
from sadcl.evaluation.gate.recheck import describe_rules
from sadcl.evaluation.gate.verdict import CHAMPION, MODEL, verdict
from sadcl.progress import printable
from sadcl.registry import artifacts, client, lookup, release, schema
from sadcl.verification import scoring

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

PASS = "pass"


@dataclass(frozen=True)
class Difference:
    """A claim of a version's author that differs from the verified value.

    Attributes:
        name: what the claim is about.
        claimed: as the tags of the version say.
        verified: as computed here.
    """

    name: str
    claimed: str
    verified: str

    def __str__(self) -> str:
        return f"{self.name}: claimed {printable(self.claimed[:200])}, verified {self.verified}"


@dataclass(frozen=True)
class Verification:
    """Result of the verification of a version.

    Attributes:
        address: of the version, ``models:/NAME/NUMBER``.
        verdict: the value of verdict.json, computed here.
        metrics: the value of metrics.json, computed here.
        differences: claims that are not so; empty for an honest version on the present data and rules.
    """

    address: str
    verdict: dict[str, Any]
    metrics: dict[str, Any]
    differences: list[Difference]

    @property
    def passed(self) -> bool:
        return bool(self.verdict["verdict"] == PASS)

    def lines(self) -> list[str]:
        """Describe the verdict, its rules, and each claim that differs."""
        count, end = self.metrics["images"], "The claims of its author agree with this."
        claims = [f"  {difference}" for difference in self.differences]
        return [
            f"{self.address}, scored here on {count:,} test photos and judged by the rules of {params.FILE}:",
            self.verdict["words"], *describe_rules(self.verdict),
            *(["Claims that differ:", *claims] if claims else [end]),
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
        raise SadclError("Nothing is registered yet", where=root, fix="Run `sadcl register` first")
    name = params.load("register", path=root / params.FILE).register_.name
    with client.connect(root) as connection:
        candidate = lookup.get_version(connection, name, number)
        champion = lookup.version_with_alias(connection, schema.production(name), schema.CHAMPION)
        return verify(connection, candidate, champion, root)


def verify(
    connection: "MlflowClient", candidate: "ModelVersion", champion: "ModelVersion | None", root: Path = Path(".")
) -> Verification:
    """Score and judge a version, and compare the result with what its tags claim.

    Args:
        connection: to the registry.
        candidate: the registered version.
        champion: the version in production that it has to beat; None where there is none.
        root: the project, whose test photos and rules count.

    Raises:
        SadclError: weights are not those that were registered or can't be scored, or the test photos are not here.
    """
    settings, test = params.load("gate", "evaluate", path=root / params.FILE), root / layout.TEST_SHARDS
    if not (test / "index.json").is_file():
        raise SadclError(
            "The test photos are not here, so the version can't be verified", where=test,
            fix="Run `dvc pull`, or `dvc repro prepare`",
        )  # fmt: skip
    evaluate = settings.evaluate

    def score(version: "ModelVersion", name: str) -> scores.Scores:
        with _weights(connection, version) as file:
            return scoring.score(file, test, name, evaluate.batch, evaluate.corruptions, root=root)

    own = score(candidate, MODEL)
    metrics = inference.summary(own, evaluate.threshold, "served")
    rival, record = scores.empty_scores(), None
    if champion is not None:
        rival, record = score(champion, CHAMPION), _record(champion)
    judged = verdict(settings.gate, evaluate.threshold, own, metrics, rival, record)
    address = lookup.model_uri(candidate)
    return Verification(address, judged, metrics, list(_differences(candidate, judged, metrics)))


@contextmanager
def _weights(connection: "MlflowClient", version: "ModelVersion") -> Iterator[Path]:
    """Download the served file of a version, compared with its pin."""
    with tempfile.TemporaryDirectory() as folder:
        yield artifacts.fetch(connection, version, artifacts.model(version), Path(folder))


def _record(champion: "ModelVersion") -> Champion:
    record = artifacts.champion_record(champion)
    return Champion(record["name"], record["version"], record["weights"])


def _differences(
    candidate: "ModelVersion", judged: Mapping[str, Any], metrics: Mapping[str, Any]
) -> Iterator[Difference]:
    """Compare the tags of a version with what they should say."""
    expected = {
        schema.VERDICT: ("verdict", judged["verdict"]),
        schema.MAP: ("mAP", release.percent(metrics[MODEL]["mAP"])),
        schema.WEIGHTS: ("weights", judged["model"]),
        schema.TEST: ("test photos", judged["test"]),
        schema.JUDGED_AGAINST: ("compared with the champion", judged["champion"] or ""),
    }
    if judged["champion"] == judged["model"]:  # the champion itself: it was compared with the one before it
        del expected[schema.JUDGED_AGAINST]
    for tag, (name, verified) in expected.items():
        claimed = candidate.tags.get(tag)
        if claimed != verified:
            yield Difference(name, _short(claimed), _short(verified))


def _short(value: str | None) -> str:
    """A value as people compare it: of a digest, the first 12 digits."""
    if not value:
        return "none"
    return value[:12] if len(value) == 64 and set(value) <= set("0123456789abcdef") else value
