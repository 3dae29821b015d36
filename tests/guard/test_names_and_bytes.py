"""What nobody can do past our commands: new names, other sources, other pins, other bytes."""

import base64
import json
import posixpath
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from mlflow.exceptions import MlflowException

from sadcl import layout
from sadcl.accounts import users
from sadcl.errors import SadclError
from sadcl.registry import artifacts, schema
from sadcl.registry.audit import verify
from sadcl.registry.client import connect
from sadcl.registry.publish import publish
from tests.guard.conftest import ADMIN, NAME, NOBODY, PRODUCTION, REA, RITA, ROB, TOM, Team
from tests.registry.conftest import write_stage_outputs

pytestmark = pytest.mark.slow

API, AJAX = "/api/2.0", "/ajax-api/2.0"
STORED = "/mlflow-artifacts/artifacts/"
EVERYBODY = (TOM, RITA, REA)


def stored_paths(team: Team, version: str = "1") -> tuple[str, str, Path]:
    """Where the server stores a version: folder of the model, home of its run, and the root of both on the disk."""
    with team.acting(REA), connect() as client:
        model_version = client.get_model_version(NAME, version)
        model = client.get_model_version_download_uri(NAME, version).partition(":/")[2]
        run = client.get_run(model_version.run_id).info.artifact_uri.partition(":/")[2]
    return model, run, team.home / layout.TEAM / "artifacts"


def spellings(path: str) -> list[str]:
    """Ways to write a path in a request that end at the same file."""
    head, last = path[:-1], path[-1]
    folder, name = posixpath.split(path)
    once = f"%{ord(last):02x}"
    twice = quote(once, safe="")
    return [
        path, head + once, head + twice, head + quote(twice, safe=""), f"{folder}//{name}", f"{folder}/./{name}",
        f"./{path}", path.replace("/", "%2f"), path.replace("/", "%252F"), f"{folder}/x/../{name}", f"{path}/",
        quote(f"{folder}/./{name}", safe=""),
    ]  # fmt: skip


def test_no_spelling_of_a_path_reaches_a_registered_file(team: Team) -> None:
    model, run, root = stored_paths(team)
    files = [f"{model}/MLmodel", f"{run}/{artifacts.SCORES}"]
    with team.acting(TOM):
        own = team.client().create_run("1").info.artifact_uri.partition(":/")[2]
    assert team.ask(TOM, "PUT", f"{API}{STORED}{own}/note.txt", data=b"x").ok
    before = {file: (root / file).read_bytes() for file in files}
    for file in files:
        for path in spellings(file):
            for api in (API, AJAX):
                answer = team.ask(TOM, "PUT", f"{api}{STORED}{path}", data=b"other")
                assert answer.status_code in (400, 403, 404), (path, answer.status_code, answer.text)
    assert {file: (root / file).read_bytes() for file in files} == before


def test_nothing_is_added_to_or_put_above_a_registered_version(team: Team) -> None:
    model, run, root = stored_paths(team)
    before = sorted(root.rglob("*"))
    for path in (f"{model}/new.py", f"{model}/artifacts/new", model, posixpath.dirname(model), f"{run}/evidence/new"):
        assert team.ask(TOM, "PUT", f"{API}{STORED}{path}", data=b"x").status_code == 403, path
    assert sorted(root.rglob("*")) == before


def test_other_ways_to_write_are_closed_too(team: Team) -> None:
    model, run, root = stored_paths(team)
    before = sorted(root.rglob("*"))
    with team.acting(REA):
        run_id = team.client().get_model_version(NAME, "1").run_id
    for account in (ADMIN, TOM):
        for method, path, words in (
            ("DELETE", f"{API}{STORED}{model}", {}),
            ("DELETE", f"{API}{STORED}{posixpath.dirname(model)}", {}),
            ("DELETE", f"{AJAX}{STORED}{run}/evidence/scores.parquet", {}),
            ("POST", f"{API}/mlflow-artifacts/mpu/create/{model}", {"json": {"path": "x", "num_parts": 1}}),
            ("POST", f"{AJAX}/mlflow/upload-artifact",
             {"params": {"run_uuid": run_id, "path": "evidence/scores.parquet"}, "data": b"x"}),
            ("POST", f"{API}/mlflow/artifacts/presigned-upload-url", {"json": {"run_id": run_id, "path": "x"}}),
        ):  # fmt: skip
            answer = team.ask(account, method, path, **words)
            assert answer.status_code == 403, (account, method, path, answer.text)
    assert sorted(root.rglob("*")) == before


def test_who_may_not_write_is_refused_before_the_path_matters(team: Team) -> None:
    model, run, _ = stored_paths(team)
    for path in (f"{model}/MLmodel", f"{run}/new.txt"):
        assert team.ask(REA, "PUT", f"{API}{STORED}{path}", data=b"x").status_code == 403
        assert team.ask(NOBODY, "PUT", f"{API}{STORED}{path}", data=b"x").status_code == 401
        assert team.ask(NOBODY, "DELETE", f"{API}{STORED}{path}").status_code == 401


def test_only_the_author_of_a_version_writes_about_it(team: Team) -> None:
    number = team.train()
    model, home, root = stored_paths(team, number)
    before = {path: path.read_bytes() for path in (root / home).rglob("*") if path.is_file()}
    with team.acting(REA):
        run = team.client().get_model_version(NAME, number).run_id
    logged = next(part for part in model.split("/") if part.startswith("m-"))
    logged_model = f"{API}/mlflow/logged-models/{logged}"
    version, run_tag = {"name": NAME, "version": number}, {"run_id": run, "key": "k", "value": "v"}
    with team.holding(ROB, "trainer"):
        with team.acting(ROB):
            own = team.client().create_run("1").info.run_id
        measured = {"key": "mAP", "value": 99.0, "timestamp": 1, "model_id": logged}
        for method, path, words in (
            ("PUT", f"{API}{STORED}{home}/verdict.json", {"data": b"{}"}),
            ("PUT", f"{API}{STORED}{home}/new.txt", {"data": b"x"}),
            ("POST", f"{AJAX}/mlflow/upload-artifact",
             {"params": {"run_uuid": run, "path": "params.yaml"}, "data": b"x"}),
            ("POST", f"{API}/mlflow/model-versions/set-tag",
             {"json": {**version, "key": schema.VERDICT_DIGEST, "value": "0" * 64}}),
            ("PATCH", f"{API}/mlflow/model-versions/update", {"json": {**version, "description": "fine"}}),
            ("POST", f"{API}/mlflow/runs/set-tag", {"json": run_tag}),
            ("POST", f"{API}/mlflow/runs/log-parameter", {"json": run_tag}),
            ("POST", f"{API}/mlflow/runs/log-metric", {"json": {**run_tag, "value": 1.0, "timestamp": 1}}),
            ("POST", f"{API}/mlflow/runs/log-batch",
             {"json": {"run_id": run, "tags": [{"key": "k", "value": "v"}]}}),
            ("POST", f"{API}/mlflow/runs/update", {"json": {"run_id": run, "run_name": "mine"}}),
            ("POST", f"{API}/mlflow/runs/log-metric", {"json": {"run_id": own, **measured}}),
            ("POST", f"{API}/mlflow/runs/log-batch", {"json": {"run_id": own, "metrics": [measured]}}),
            ("PATCH", f"{logged_model}/tags", {"json": {"tags": [{"key": "k", "value": "v"}]}}),
            ("PATCH", logged_model, {"json": {"status": "LOGGED_MODEL_UPLOAD_FAILED"}}),
            ("POST", f"{logged_model}/params", {"json": {"params": [{"key": "k", "value": "v"}]}}),
        ):  # fmt: skip
            answer = team.ask(ROB, method, path, **words)
            assert answer.status_code == 403, (method, path, answer.text)
            assert "author" in answer.text, (method, path, answer.text)
        sent = {"name": NAME, "source": f"mlflow-artifacts:/{model}"}
        for behind in ({"run_id": run}, {"run_id": own, "model_id": logged}, {"model_id": logged}, {}):
            answer = team.ask(ROB, "POST", f"{API}/mlflow/model-versions/create", json={**sent, **behind})
            assert answer.status_code == 403, behind
            assert "from your own run" in answer.json()["message"]
        write_stage_outputs(team.root, team.networks(team.last), "fail")
        with team.acting(ROB), pytest.raises(SadclError, match=f"Ask {TOM} to run"):
            publish()
    assert {path: path.read_bytes() for path in (root / home).rglob("*") if path.is_file()} == before
    assert team.ask(TOM, "POST", f"{API}/mlflow/runs/set-tag", json=run_tag).ok


def test_a_page_of_another_address_sends_nothing(new_team: Team) -> None:
    sent = {"name": NAME, "alias": "mine", "version": "77"}
    path = f"{API}/mlflow/registered-models/alias"
    for origin, status in (("http://localhost:1", 403), ("null", 403), (new_team.address, 404)):
        answer = new_team.ask(TOM, "POST", path, json=sent, headers={"Origin": origin})
        assert answer.status_code == status, (origin, answer.text)


@pytest.mark.parametrize("host", ["10.evil.example", "192.168.evil.example", "evil.example", "127.0.0.1.evil.example"])
def test_a_foreign_name_of_this_host_is_refused(new_team: Team, host: str) -> None:
    port = new_team.address.rpartition(":")[2]
    for name in (host, f"{host}:{port}"):
        for path in (f"{API}/mlflow/users/current", f"{API}{STORED}x", "/"):
            assert new_team.ask(REA, "GET", path, headers={"Host": name}).status_code == 403
    for name in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "localhost:6000"):
        assert new_team.ask(REA, "GET", f"{API}/mlflow/users/current", headers={"Host": name}).ok, name


def test_many_first_requests_of_one_log_in_at_once_pass(new_team: Team) -> None:
    from mlflow.server.auth.client import AuthServiceClient

    with new_team.acting(ADMIN):
        users.add_account("new", "reader", new_team.secret("new"), new_team.home)
    with ThreadPoolExecutor(12) as pool:
        answers = pool.map(lambda _: new_team.ask("new", "GET", f"{API}/mlflow/users/current").status_code, range(12))
    assert set(answers) == {200}
    with new_team.acting(ADMIN):
        AuthServiceClient(new_team.address).delete_user("new")


def test_a_password_is_not_guessed_at_leisure_and_nobody_is_shut_out(new_team: Team) -> None:
    def ask(password: str) -> int:
        where = f"{new_team.address}{API}/mlflow/users/current"
        return requests.get(where, auth=(REA, password), timeout=30).status_code

    assert ask(new_team.secret(REA)) == 200
    assert [ask("an old password") for _ in range(10)] == [401] * 10
    guesses = []
    for number in range(10):
        wrong = f"guess {number}"
        guesses.append(ask(wrong))
        for path, headers in (("/health", {}), ("/version", {}), ("/", {"Host": "elsewhere"})):
            requests.get(f"{new_team.address}{path}", auth=(REA, wrong), headers=headers, timeout=30)
    assert guesses[0] == 401
    assert guesses[-1] == 429
    login = base64.b64encode(f"{REA}:{new_team.secret(REA)}".encode()).decode()
    for header in (f"Bearer {login}", f"Basic {login} {login}", "Basic ?", "x"):
        answer = requests.get(f"{new_team.address}{API}{STORED}x", headers={"Authorization": header}, timeout=30)
        assert answer.status_code == 401, header
    another = base64.b64encode(f"{REA}:another guess".encode()).decode()
    tab = requests.get(f"{new_team.address}{API}{STORED}x", headers={"Authorization": f"Basic\t{another}"}, timeout=30)
    assert tab.status_code == 429
    assert ask(new_team.secret(REA)) == 200


def test_a_new_verdict_of_a_registered_model_still_arrives(team: Team) -> None:
    number = team.train()
    write_stage_outputs(team.root, team.networks(team.last), "fail")
    with team.acting(TOM):
        again = publish()
    assert (again.version, again.new, again.alias) == (number, False, None)
    assert team.holders()["challenger"] is None


SPELLINGS = ("{}", "0{}", "+{}", " {}")
"""Ways to write a number that MLflow reads as the same."""


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_champion_is_not_deleted(team: Team, spelling: str) -> None:
    with team.acting(REA):
        version = team.client().get_model_version_by_alias(PRODUCTION, schema.CHAMPION).version
    sent = {"name": PRODUCTION, "version": spelling.format(version)}
    answer = team.ask(ADMIN, "DELETE", f"{API}/mlflow/model-versions/delete", json=sent)
    assert answer.status_code == 403
    assert "can't be deleted" in answer.json()["message"]
    assert team.holders()["champion"]


def test_a_model_in_production_is_not_deleted(team: Team) -> None:
    answer = team.ask(ADMIN, "DELETE", f"{API}/mlflow/registered-models/delete", json={"name": PRODUCTION})
    assert answer.status_code == 403
    assert "can't be deleted" in answer.json()["message"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_ledger_has_the_number_of_a_version_however_it_is_written(team: Team, spelling: str) -> None:
    number = team.train()
    version, tag = {"name": NAME, "version": spelling.format(number)}, {"key": "k", "value": "v"}
    before = len(team.ledger())
    for account, method, path, sent in (
        (TOM, "POST", "set-tag", tag),
        (ADMIN, "DELETE", "delete-tag", {"key": "k"}),
        (TOM, "PATCH", "update", {"description": "fine"}),
        (TOM, "POST", "transition-stage", {"stage": "Archived"}),
        (ADMIN, "DELETE", "delete", {}),
    ):
        answer = team.ask(account, method, f"{API}/mlflow/model-versions/{path}", json={**version, **sent})
        assert answer.ok, (path, answer.text)
    assert [(line["what"], line["version"]) for line in team.ledger()[before:]] == [
        (action, number) for action in ("tag set", "tag deleted", "version described", "stage set", "version deleted")
    ]
    with team.acting(REA):
        assert verify.read_history().problems == []


def test_the_alias_of_the_champion_is_not_deleted(team: Team) -> None:
    for account in (RITA, ADMIN):
        sent = {"name": PRODUCTION, "alias": schema.CHAMPION}
        answer = team.ask(account, "DELETE", f"{API}/mlflow/registered-models/alias", json=sent)
        assert answer.status_code == 403
    assert team.holders()["champion"]


@pytest.mark.parametrize("source", ["s3://bucket/model", "file:///srv/model", "http://10.0.0.1/model"])
def test_a_version_s_files_are_on_the_server(team: Team, source: str) -> None:
    with team.acting(TOM):
        run = team.client().create_run("1").info.run_id
    sent = {"name": NAME, "source": source, "run_id": run}
    answer = team.ask(TOM, "POST", f"{API}/mlflow/model-versions/create", json=sent)
    assert answer.status_code in (400, 403), answer.text


@pytest.mark.parametrize("digest", ["../../data/champion", "/srv/victim", "none", "0" * 63, "0" * 64 + "\n"])
def test_a_pin_is_a_digest(team: Team, digest: str) -> None:
    with team.acting(TOM):
        run = team.client().create_run("1").info
    pins = json.dumps({artifacts.WEIGHTS: digest})
    sent = {"name": NAME, "source": f"{run.artifact_uri}/model", "run_id": run.run_id}
    sent["tags"] = [{"key": artifacts.PINS, "value": pins}]
    answer = team.ask(TOM, "POST", f"{API}/mlflow/model-versions/create", json=sent)
    assert answer.status_code == 403
    assert "holds the SHA-256 of each file" in answer.json()["message"]


def test_only_the_administrator_makes_names(new_team: Team) -> None:
    for account in EVERYBODY:
        for api in (API, AJAX):
            for path, sent in (
                ("registered-models/create", {"name": "another"}),
                (
                    "registered-models/create",
                    {"name": "a prompt", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]},
                ),
                ("experiments/create", {"name": "another"}),
            ):
                answer = new_team.ask(account, "POST", f"{api}/mlflow/{path}", json=sent)
                assert answer.status_code == 403, (account, path, answer.text)
        assert new_team.ask(account, "POST", "/ajax-api/3.0/mlflow/demo/generate", json={}).status_code == 403
        with new_team.acting(account), pytest.raises(MlflowException, match="Only the administrator"):
            new_team.client().create_registered_model("another")
    answer = new_team.ask(TOM, "POST", f"{API}/mlflow/registered-models/create", json={"name": NAME})
    assert answer.json()["error_code"] == "RESOURCE_ALREADY_EXISTS"
    with new_team.acting(ADMIN):
        assert {model.name for model in new_team.client().search_registered_models()} == {NAME, PRODUCTION}


@pytest.mark.parametrize("account", [TOM, RITA, ADMIN])
def test_names_in_production_are_never_renamed(new_team: Team, account: str) -> None:
    for name, new in ((PRODUCTION, "old"), (NAME, "x-production"), (NAME, "x-Production"), (NAME, "x-production ")):
        with new_team.acting(account), pytest.raises(MlflowException, match=r"can't be renamed|Permission denied"):
            new_team.client().rename_registered_model(name, new)
    if account == TOM:
        with new_team.acting(TOM):
            for rename in (
                lambda: new_team.client().rename_registered_model(NAME, "another"),
                lambda: new_team.client().rename_experiment("1", "another"),
            ):
                with pytest.raises(MlflowException, match="Only the administrator"):
                    rename()


def test_production_takes_numbered_versions_only_and_as_they_are(team: Team) -> None:
    with team.acting(REA):
        version = team.client().get_model_version(NAME, "1")
    model, _, root = stored_paths(team)
    tag = [{"key": artifacts.PINS, "value": "{}"}]
    for sent in (
        {"source": version.source, "run_id": version.run_id},
        {"source": f"models:/{NAME}@challenger", "run_id": version.run_id},
        {"source": f"models:/{PRODUCTION}/1", "run_id": version.run_id},
        {"source": f"models:/{NAME}/77", "run_id": version.run_id},
        {"source": f"models:/{NAME}/01", "run_id": version.run_id},
        {"source": f"mlflow-artifacts:/{model}", "run_id": version.run_id},
        {"source": str(root / model)},
        {"source": f"models:/{NAME}/1", "run_id": version.run_id, "tags": tag},
        {"source": f"models:/{NAME}/1", "run_id": "0" * 32},
    ):
        answer = team.ask(RITA, "POST", f"{API}/mlflow/model-versions/create", json={"name": PRODUCTION, **sent})
        assert answer.status_code == 403, (sent, answer.text)


def test_what_a_version_is_is_never_written_again(team: Team) -> None:
    for account, name in ((TOM, NAME), (RITA, PRODUCTION), (ADMIN, NAME)):
        with team.acting(account):
            for key in (artifacts.PINS, schema.WEIGHTS, schema.TEST, schema.IDENTITY):
                with pytest.raises(MlflowException, match="never written again"):
                    team.client().set_model_version_tag(name, "1", key, "{}")
    with team.acting(ADMIN), pytest.raises(MlflowException, match="can't be deleted"):
        team.client().delete_model_version_tag(NAME, "1", artifacts.PINS)


def test_a_trainer_registers_no_decision(team: Team) -> None:
    sent = {"name": NAME, "source": f"models:/{NAME}/1", "tags": [{"key": schema.DECISION, "value": json.dumps({})}]}
    answer = team.ask(TOM, "POST", f"{API}/mlflow/model-versions/create", json=sent)
    assert answer.status_code == 403
    assert "written by a reviewer" in answer.json()["message"]


def test_a_trainer_drops_what_was_not_registered_and_only_that(team: Team) -> None:
    with team.acting(TOM):
        client = team.client()
        client.delete_run(client.create_run("1").info.run_id)
        registered = client.get_model_version(NAME, "1").run_id
        with pytest.raises(MlflowException, match=r"403|Permission denied"):
            client.delete_run(registered)
    with team.acting(REA):
        assert team.client().get_run(registered).info.lifecycle_stage == "active"


@pytest.mark.parametrize("account", [REA, TOM, RITA])
def test_mlflow_s_assistant_which_runs_commands_is_closed(new_team: Team, account: str) -> None:
    for api in (API, AJAX):
        path = api.replace("2.0", "3.0")
        for method, end in (("PUT", "config"), ("GET", "config"), ("POST", "message")):
            assert new_team.ask(account, method, f"{path}/mlflow/assistant/{end}", json={}).status_code == 403, end


def test_a_version_s_files_have_one_address(team: Team) -> None:
    """Another spelling would escape the guard of its bytes; a whole run as source would close the run to its owner."""
    with team.acting(TOM):
        run = team.client().create_run("1").info
    folder = f"{run.artifact_uri}/mod%65l"
    for source in (f"runs:/{run.run_id}/model", folder, run.artifact_uri, f"{run.artifact_uri}/"):
        sent = {"name": NAME, "source": source, "run_id": run.run_id}
        answer = team.ask(TOM, "POST", f"{API}/mlflow/model-versions/create", json=sent)
        assert answer.status_code == 403, source
