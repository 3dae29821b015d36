"""Roles at the guarded registry: who may register, promote, reject and roll back."""

import json

import pytest
from mlflow.exceptions import MlflowException

from sadcl import files
from sadcl.accounts import host
from sadcl.errors import SadclError
from sadcl.registry import schema
from sadcl.registry.audit import hash_chain, log, verify
from sadcl.registry.promote import promote, reject, rollback
from sadcl.registry.publish import publish
from sadcl.registry.status import status
from sadcl.registry.sync import sync
from tests.guard.conftest import NAME, NOBODY, PRODUCTION, REA, RITA, ROB, TOM, Team
from tests.guard.decision_requests import ALIAS, REFUSED, decision
from tests.registry.conftest import write_stage_outputs

pytestmark = pytest.mark.slow


def test_a_model_goes_into_production_and_back_by_reviewers(team: Team) -> None:
    before = team.holders()
    number = team.train()
    assert team.holders()["challenger"]
    assert team.promote(number, ROB).source == f"models:/{NAME}/{number}"
    assert team.holders() == {
        "challenger": None, "champion": f"models:/{NAME}/{number}", "previous": before["champion"],
    }  # fmt: skip
    with team.acting(REA):
        assert status()["champion"]["by"] == ROB
    with team.acting(RITA):
        assert rollback("worse after all").source == before["champion"]
        assert sync() is False
    last = log.entries()[-1]
    assert (last["action"], last["user"], last["reason"]) == ("rollback", RITA, "worse after all")


def test_a_rejected_model_challenges_no_longer(team: Team) -> None:
    number = team.train()
    with team.acting(ROB):
        with pytest.raises(SadclError, match="needs a reason"):
            reject(number, " ")
        assert reject(number, "it tags kites as cats").version == number
        with pytest.raises(SadclError, match=f"rejected by {ROB}: it tags kites as cats"):
            reject(number, "again")
    assert team.holders()["challenger"] is None
    with team.acting(RITA), pytest.raises(SadclError, match=f"rejected by {ROB}"):
        promote(number, "I like it")
    last = log.entries()[-1]
    assert (last["action"], last["user"], last["challenger"]) == ("reject", ROB, f"models:/{NAME}/{number}")


def test_an_undecided_version_is_rejected_too(team: Team) -> None:
    challenger, team.last = team.holders()["challenger"], team.last + 1
    write_stage_outputs(team.root, team.networks(team.last), "undecided", mAP=80)
    with team.acting(TOM):
        number = publish().version
    with team.acting(TOM), pytest.raises(SadclError, match=REFUSED):
        reject(number, "mine")
    with team.acting(ROB):
        assert reject(number, "it tags kites as cats").version == number
        assert verify.read_history().problems == []
    assert team.holders()["challenger"] == challenger
    team.verify(number)
    with team.acting(RITA), pytest.raises(SadclError, match=f"rejected by {ROB}"):
        promote(number, "the verifier says pass")


@pytest.mark.parametrize("account", [TOM, REA, NOBODY])
def test_who_is_no_reviewer_decides_nothing(team: Team, account: str) -> None:
    number = team.train()
    before, line_count = team.holders(), len(team.ledger())
    with team.acting(account):
        for act in (lambda: promote(number, "mine"), lambda: reject(number, "no"), lambda: rollback("back")):
            with pytest.raises(SadclError, match=REFUSED):
                act()
        client = team.client()
        champion = "1"
        for call in (
            lambda: client.set_registered_model_alias(PRODUCTION, "champion", champion),
            lambda: client.delete_registered_model_alias(PRODUCTION, "champion"),
            lambda: client.set_model_version_tag(PRODUCTION, "1", schema.DECISION, decision(team, "1", user=account)),
            lambda: client.set_model_version_tag(NAME, number, schema.DECISION, json.dumps({"user": account})),
            lambda: client.copy_model_version(f"models:/{NAME}/{number}", PRODUCTION),
        ):
            with pytest.raises(MlflowException, match=REFUSED):
                call()
    for path in (ALIAS, ALIAS.replace("/api/", "/ajax-api/")):
        answer = team.ask(account, "POST", path, json={"name": PRODUCTION, "alias": "champion", "version": "1"})
        assert answer.status_code == (401 if account == NOBODY else 403)
    assert team.holders() == before
    assert len(team.ledger()) == line_count


def test_a_reader_registers_nothing(new_team: Team) -> None:
    write_stage_outputs(new_team.root, new_team.networks(50))
    for account in (REA, RITA, NOBODY):
        with new_team.acting(account), pytest.raises(SadclError, match=REFUSED):
            publish()


def test_the_author_of_a_model_does_not_decide_on_it(team: Team) -> None:
    number = team.train()
    refused = pytest.raises(SadclError, match=r"tom made .* another person has to decide")
    with team.holding(TOM, "reviewer"), team.acting(TOM), refused:
        promote(number, "mine is best")
    assert team.promote(number, RITA).source == f"models:/{NAME}/{number}"


def test_the_author_of_the_run_behind_a_model_does_not_decide_on_it(team: Team) -> None:
    with team.holding(ROB, "trainer"):
        with team.acting(ROB):
            run = team.client().create_run("1").info
        sent = {"name": NAME, "source": f"{run.artifact_uri}/model", "run_id": run.run_id}
        response = team.ask(TOM, "POST", "/api/2.0/mlflow/model-versions/create", json=sent)
        assert "from your own run" in response.json()["message"]
        answer = team.ask(ROB, "POST", "/api/2.0/mlflow/model-versions/create", json=sent)
    assert answer.ok, answer.text
    with team.acting(RITA):
        number = answer.json()["model_version"]["version"]
        copy = team.client().copy_model_version(f"models:/{NAME}/{number}", PRODUCTION)
    sent = {"name": PRODUCTION, "alias": "champion", "version": str(copy.version)}
    assert f"{ROB} made" in team.ask(ROB, "POST", ALIAS, json=sent).json()["message"]
    assert "has no decision" in team.ask(RITA, "POST", ALIAS, json=sent).json()["message"]


def test_a_client_cannot_name_another_author(team: Team) -> None:
    with team.acting(TOM):
        run = team.client().create_run("1", tags={"mlflow.user": RITA})
        assert team.client().get_run(run.info.run_id).info.user_id == TOM
    source = f"{run.info.artifact_uri}/model"
    sent = {"name": NAME, "source": source, "run_id": run.info.run_id, "user_id": RITA}
    version = team.ask(TOM, "POST", "/api/2.0/mlflow/model-versions/create", json=sent).json()["model_version"]
    with team.acting(REA):
        assert team.client().get_model_version(NAME, version["version"]).user_id == TOM


@pytest.mark.parametrize(
    ("account", "model", "alias"),
    [
        (RITA, PRODUCTION, "Champion"), (RITA, PRODUCTION, "ｃhampion"), (RITA, PRODUCTION, "champıon"),
        (RITA, PRODUCTION, "champi0n"), (TOM, NAME, "champion"), (TOM, NAME, "сhallenger"),
    ],
)  # fmt: skip
def test_no_alias_looks_like_another(team: Team, account: str, model: str, alias: str) -> None:
    answer = team.ask(account, "POST", ALIAS, json={"name": model, "alias": alias, "version": "1"})
    assert answer.status_code == 403, answer.text
    assert "alias" in answer.json()["message"]


def test_the_ledger_shows_account_and_action_of_each_change(team: Team) -> None:
    number = team.train()
    team.promote(number, ROB)
    lines = team.ledger()
    moved = next(line for line in reversed(lines) if line.get("alias") == "champion")
    assert (moved["who"], moved["what"], moved["model"]) == (ROB, "alias set", PRODUCTION)
    assert moved["from"] != moved["to"]
    assert (moved["verdict"], moved["data"]) == ("pass", "1" * 64)
    registration = next(line for line in reversed(lines) if line["what"] == "version made" and line["model"] == NAME)
    assert (registration["who"], registration["version"]) == (TOM, number)
    with team.acting(REA):
        history = verify.read_history()
    assert history.problems == []
    assert files.read_json("data/champion.json")["audit"] in hash_chain.digests(
        hash_chain.lines(team.home / host.LEDGER)
    )
