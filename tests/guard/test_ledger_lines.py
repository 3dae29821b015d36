"""Each change around a registered version has its line in the ledger, and a training that logs its curves has none."""

from typing import Any

import pytest

from sadcl.accounts import host
from sadcl.registry.audit import verify
from sadcl.registry.client import connect
from tests.guard.conftest import ADMIN, NAME, REA, TOM, Team

pytestmark = pytest.mark.slow

API = "/api/2.0/mlflow"
STORED = "/api/2.0/mlflow-artifacts/artifacts/"


def lines_of(team: Team, account: str, method: str, path: str, **words: Any) -> list[dict[str, Any]]:
    """Lines that an accepted request adds to the ledger."""
    before = len(team.ledger())
    answer = team.ask(account, method, path, **words)
    assert answer.ok, (method, path, answer.text)
    return team.ledger()[before:]


@pytest.fixture(scope="module")
def registered_run(team: Team) -> tuple[str, str, str]:
    """Run, home of its files and logged model of a version that the trainer registered."""
    with team.in_project():
        number = team.train()
        with team.acting(REA), connect() as client:
            run = client.get_run(client.get_model_version(NAME, number).run_id)
            model = client.get_model_version_download_uri(NAME, number).partition(":/")[2]
    logged = next(part for part in model.split("/") if part.startswith("m-"))
    return run.info.run_id, run.info.artifact_uri.partition(":/")[2], logged


def test_what_is_written_into_a_registered_run_has_a_line(team: Team, registered_run: tuple[str, str, str]) -> None:
    run, _, logged = registered_run
    run_key, point = {"run_id": run}, {"key": "mAP", "value": 99.5, "timestamp": 1}
    batch = {"metrics": [point], "params": [{"key": "p", "value": "1"}], "tags": [{"key": "t", "value": "v"}]}
    tag, parameter = {"key": "k", "value": "v"}, {"key": "q", "value": "2"}
    for method, path, sent, expected in (
        ("POST", "runs/set-tag", {**run_key, **tag}, {"what": "run tagged", **tag}),
        ("POST", "runs/delete-tag", {**run_key, "key": "k"}, {"what": "run untagged", "key": "k"}),
        ("POST", "runs/log-metric", {**run_key, **point}, {"what": "run's metric set", "key": "mAP", "value": "99.5"}),
        ("POST", "runs/log-parameter", {**run_key, **parameter}, {"what": "run's parameter set", **parameter}),
        ("POST", "runs/log-batch", {**run_key, **batch},
         {"what": "run's figures set", "metrics": "mAP", "params": "p", "tags": "t"}),
        ("POST", "runs/update", {**run_key, "run_name": "new"}, {"what": "run updated", "run_name": "new"}),
        ("PATCH", f"logged-models/{logged}/tags", {"tags": [tag]}, {"what": "logged model tagged", "keys": "k"}),
    ):  # fmt: skip
        [line] = lines_of(team, TOM, method, f"{API}/{path}", json=sent)
        assert {"who": TOM, "run": run, **expected}.items() <= line.items(), path


def test_files_next_to_a_version_have_a_line_each(team: Team, registered_run: tuple[str, str, str]) -> None:
    run, home, _ = registered_run
    for method, path, words, expected in (
        ("PUT", f"{STORED}{home}/note%2etxt", {"data": b"x"}, ("file written", f"{home}/note.txt")),
        ("POST", "/ajax-api/2.0/mlflow/upload-artifact", {"params": {"run_uuid": run, "path": "b.txt"}, "data": b"x"},
         ("file written", f"{home}/b.txt")),
    ):  # fmt: skip
        [line] = lines_of(team, TOM, method, path, **words)
        assert (line["who"], line["what"], line["path"]) == (TOM, *expected)
    before = len(team.ledger())
    assert team.ask(ADMIN, "PUT", f"{STORED}{home}/note.txt", data=b"y").status_code == 403
    assert team.ask(REA, "PUT", f"{STORED}{home}/note.txt", data=b"y").status_code == 403
    assert len(team.ledger()) == before


def test_an_upload_that_failed_is_marked(team: Team, registered_run: tuple[str, str, str]) -> None:
    _, home, _ = registered_run
    before = len(team.ledger())
    assert team.ask(TOM, "PUT", f"{STORED}{home}/evidence.txt/x", data=b"x").ok
    assert not team.ask(TOM, "PUT", f"{STORED}{home}/evidence.txt", data=b"x").ok  # a folder has this name
    assert [line["what"] for line in team.ledger()[before:]] == ["file written", "file written", "not done"]


def test_deletions_by_the_administrator_have_a_line(team: Team, registered_run: tuple[str, str, str]) -> None:
    run, _, logged = registered_run
    for path, sent, expected in (
        ("runs/delete", {"run_id": run}, {"what": "run deleted", "run": run}),
        ("runs/restore", {"run_id": run}, {"what": "run restored", "run": run}),
        ("experiments/set-experiment-tag", {"experiment_id": "1", "key": "k", "value": "v"},
         {"what": "experiment tagged", "experiment": "1", "key": "k", "value": "v"}),
        ("experiments/delete-experiment-tag", {"experiment_id": "1", "key": "k"},
         {"what": "experiment untagged", "experiment": "1", "key": "k"}),
        ("registered-models/set-tag", {"name": NAME, "key": "k", "value": "v"},
         {"what": "model tagged", "model": NAME, "key": "k", "to": "v"}),
        ("experiments/delete", {"experiment_id": "1"}, {"what": "experiment deleted", "experiment": "1"}),
        ("experiments/restore", {"experiment_id": "1"}, {"what": "experiment restored", "experiment": "1"}),
    ):  # fmt: skip
        [line] = lines_of(team, ADMIN, "POST", f"{API}/{path}", json=sent)
        assert {"who": ADMIN, **expected}.items() <= line.items(), path
    with team.acting(REA):
        assert verify.read_history().problems == []
    [line] = lines_of(team, ADMIN, "DELETE", f"{API}/logged-models/{logged}")
    assert {"what": "logged model deleted", "run": run, "logged model": logged}.items() <= line.items()


def test_a_training_that_logs_its_curves_has_no_line(team: Team) -> None:
    before = len(team.ledger())
    with team.acting(TOM):
        client = team.client()
        run = client.create_run("1").info
        for step in range(3):
            client.log_metric(run.run_id, "loss", 1 / (1 + step), step=step)
        client.log_param(run.run_id, "lr", 1)
        client.set_tag(run.run_id, "k", "v")
        client.log_text(run.run_id, "x", "note.txt")
        client.set_terminated(run.run_id)
        client.delete_run(run.run_id)
    assert team.ledger()[before:] == []


def test_a_ledger_that_vanished_is_not_begun_anew_silently(team: Team) -> None:
    path = team.home / host.LEDGER
    whole = path.read_bytes()
    try:
        path.unlink()
        tag = {"name": NAME, "key": "k", "value": "v"}
        assert team.ask(TOM, "POST", f"{API}/registered-models/set-tag", json=tag).ok
        changes = [line["what"] for line in team.ledger() if not line["what"].endswith("key introduced")]
        assert changes == ["ledger begun", "model tagged"]
        with team.acting(REA):
            problems = verify.read_history().problems
        assert any("when the registry had models: earlier lines are missing" in problem for problem in problems)
    finally:
        path.write_bytes(whole)
