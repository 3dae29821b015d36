"""The verifier's queue on a registry in a file: what stays waiting, what does not, and its runs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sadcl.errors import SadclError
from sadcl.registry import client, schema
from sadcl.registry.publish import publish
from sadcl.registry.verified import VerifiedRecord, read_record
from sadcl.verification import acceptance, inputs, queue, scoring
from tests.verification import conftest
from tests.verification.conftest import train, write_photos


@pytest.fixture
def registry(promoted: Path) -> MlflowClient:
    """The registry with the experiment of a verifier; version 1 is champion, and waits."""
    with client.connect() as connection:
        connection.create_experiment(schema.verification("tiny"))
        return connection


def record_of(registry: MlflowClient, number: str) -> VerifiedRecord | None:
    return read_record(registry.get_model_version("tiny", number).tags)


def runs(registry: MlflowClient) -> list[str]:
    """States of the verifier's runs, oldest first."""
    experiment = registry.get_experiment_by_name(schema.verification("tiny"))
    assert experiment is not None
    return [run.info.status for run in registry.search_runs([experiment.experiment_id], order_by=["start_time"])]


def waiting(registry: MlflowClient) -> list[str]:
    digest = inputs.load_inputs().criteria.digest
    return [str(version.version) for version in queue.waiting(registry, "tiny", digest)]


def test_what_may_pass_leaves_no_record(
    registry: MlflowClient, run_instead: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_instead("bytearray(1 << 60)")
    with pytest.raises(SadclError, match=r"version 1 was not verified: .* lacked memory .* The next run tries again"):
        queue.verify_waiting()
    assert record_of(registry, "1") is None
    assert waiting(registry) == ["1"]
    monkeypatch.setattr(scoring, "WORKER", "sadcl.verification.score_worker")
    [line] = queue.verify_waiting()
    assert line.startswith("Version 1: pass")
    assert (waiting(registry), runs(registry)) == ([], ["FINISHED"])


def test_a_champion_with_other_classes_is_refused_and_keeps_nothing_waiting(
    registry: MlflowClient, promoted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conftest, "CLASSES", (*conftest.CLASSES, "owl"))
    write_photos(promoted, labels=lambda i: [i % 4])
    train(2)
    publish()
    acceptance.accept_project("owls too")
    lines = queue.verify_waiting()
    assert [line.partition(".")[0] for line in lines] == ["Version 2: refused", "Version 1: error"]
    assert waiting(registry) == []
    record = record_of(registry, "2")
    assert record is not None
    assert record.champion == registry.get_model_version("tiny-production", "1").tags[schema.WEIGHTS]
    assert not record.passed


def test_no_run_stays_running(registry: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    experiment = registry.get_experiment_by_name(schema.verification("tiny"))
    assert experiment is not None
    registry.create_run(experiment.experiment_id)  # as a killed verification leaves it
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", fail)
        with pytest.raises(KeyboardInterrupt):
            queue.verify_waiting()
    assert runs(registry) == ["KILLED", "FAILED"]
    queue.verify_waiting()
    assert runs(registry) == ["KILLED", "FAILED", "FINISHED"]
