"""The weekly deployment on a Prefect server."""

import tomllib
from pathlib import Path

import pytest

from flows import deploy
from sadcl.project import schedule
from tests.paths import REPOSITORY


def test_deployment_in_a_project_without_a_copy_of_the_flows(
    project: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment has a schedule, parameters and a folder; a limit that an earlier version set goes."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentUpdate

    monkeypatch.setenv("PREFECT_API_URL", server)
    assert not (project / "flows").exists()
    lines = deploy.deploy(project)
    assert lines[0] == "The weekly retraining is deployed."
    assert all(line.endswith(".") for line in lines), "each line is a sentence"
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("retrain/weekly")
        client.update_deployment(deployment.id, DeploymentUpdate(concurrency_limit=1))
        assert client.read_deployment_by_name("retrain/weekly").global_concurrency_limit is not None
        deploy.deploy(project)
        deployment = client.read_deployment_by_name("retrain/weekly")
    assert deployment.parameters == {"scheduled": True, "tune_trials": 10}
    assert [str(s.schedule.cron) for s in deployment.schedules if s.active] == ["0 3 * * 1"]  # type: ignore[union-attr]
    assert deployment.global_concurrency_limit is None
    assert deployment.pull_steps == [{deploy.STEP: {"directory": str(project.resolve())}}]
    due = schedule.read(project).due
    assert due is not None
    assert (due.weekday(), due.hour, due.minute) == (0, 3, 0)


def test_deploying_again_keeps_what_people_have_changed(
    project: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect lets no schedule without a slug replace one with a slug; such a schedule stays too."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentScheduleUpdate, DeploymentUpdate
    from prefect.client.schemas.schedules import CronSchedule

    monkeypatch.setenv("PREFECT_API_URL", server)
    deploy.deploy(project)
    cron, parameters = CronSchedule(cron="0 5 * * *"), {"scheduled": True, "tune_trials": 3}
    with get_client(sync_client=True) as client:
        before = client.read_deployment_by_name("retrain/weekly")
        try:
            for slug in (None, "daily"):
                daily = DeploymentScheduleUpdate(schedule=cron, active=False, slug=slug)
                changes = DeploymentUpdate(schedules=[daily], parameters=parameters, paused=True)
                client.update_deployment(before.id, changes)
                assert "Its schedule and parameters stay as they were." in deploy.deploy(project)
                after = client.read_deployment_by_name("retrain/weekly")
                assert [(item.schedule, item.active, item.slug) for item in after.schedules] == [(cron, False, slug)]
                assert (after.parameters, after.paused) == (parameters, True)
        finally:
            client.delete_deployment(before.id)


def test_entrypoint_is_the_flow_of_the_installed_package(project: Path) -> None:
    from prefect.flows import load_flow_from_entrypoint

    [deployment] = deploy.render(project)["deployments"]
    assert load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False).name == "retrain"


def test_template_has_no_path_of_a_machine_and_is_in_the_wheel() -> None:
    text = deploy.TEMPLATE.read_text()
    assert "directory: PROJECT" in text
    assert "/home" not in text
    package_data = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert any(deploy.TEMPLATE.match(pattern) for pattern in package_data["flows"])
