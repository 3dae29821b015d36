"""The weekly deployment on a Prefect server."""

import shutil
from pathlib import Path

import pytest

import flows
from flows import deploy


@pytest.fixture
def with_flows(project: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that holds the flows too, as a clone does."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(str(flows.__file__)).parent, project / "flows", ignore=ignored)
    monkeypatch.setenv("PREFECT_API_URL", server)
    return project


def test_the_week_is_deployed_for_this_folder_and_the_second_run_is_cancelled(with_flows: Path) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import ConcurrencyLimitStrategy

    said = deploy.deploy(with_flows)
    assert said[0] == "The weekly retraining is deployed."
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("retrain/weekly")
    assert deployment.parameters == {"scheduled": True, "tune_trials": 10}
    assert [str(one.schedule.cron) for one in deployment.schedules if one.active] == ["0 3 * * 1"]  # type: ignore[union-attr]
    assert deployment.global_concurrency_limit is not None
    assert deployment.global_concurrency_limit.limit == 1
    assert deployment.concurrency_options is not None
    assert deployment.concurrency_options.collision_strategy == ConcurrencyLimitStrategy.CANCEL_NEW
    assert deployment.pull_steps == [{deploy.STEP: {"directory": str(with_flows.resolve())}}]


def test_no_path_of_this_machine_stands_in_the_template() -> None:
    text = (Path(str(flows.__file__)).parent / "prefect.yaml").read_text()
    assert "directory: PROJECT" in text
    assert "/home" not in text
