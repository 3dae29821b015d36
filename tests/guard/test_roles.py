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
from tests.registry.conftest import leave

pytestmark = pytest.mark.slow


def test_a_model_goes_into_production_and_back_by_reviewers(reigning: Team) -> None:
    before = reigning.holders()
    number = reigning.train()
    assert reigning.holders()["challenger"]
    assert reigning.crown(number, ROB).source == f"models:/{NAME}/{number}"
    assert reigning.holders() == {
        "challenger": None, "champion": f"models:/{NAME}/{number}", "previous": before["champion"],
    }  # fmt: skip
    with reigning.acting(REA):
        assert status()["champion"]["by"] == ROB
    with reigning.acting(RITA):
        assert rollback("worse after all").source == before["champion"]
        assert sync() is False
    last = log.entries()[-1]
    assert (last["action"], last["user"], last["reason"]) == ("rollback", RITA, "worse after all")


def test_a_rejected_model_challenges_no_longer(reigning: Team) -> None:
    number = reigning.train()
    with reigning.acting(ROB):
        with pytest.raises(SadclError, match="needs a reason"):
            reject(number, " ")
        assert reject(number, "it tags kites as cats").version == number
        with pytest.raises(SadclError, match=f"rejected by {ROB}: it tags kites as cats"):
            reject(number, "again")
    assert reigning.holders()["challenger"] is None
    with reigning.acting(RITA), pytest.raises(SadclError, match=f"rejected by {ROB}"):
        promote(number, "I like it")
    last = log.entries()[-1]
    assert (last["action"], last["user"], last["challenger"]) == ("reject", ROB, f"models:/{NAME}/{number}")


def test_an_undecided_version_is_rejected_too(reigning: Team) -> None:
    challenger, reigning.last = reigning.holders()["challenger"], reigning.last + 1
    leave(reigning.root, reigning.networks(reigning.last), "undecided", mAP=80)
    with reigning.acting(TOM):
        number = publish().version
    with reigning.acting(TOM), pytest.raises(SadclError, match=REFUSED):
        reject(number, "mine")
    with reigning.acting(ROB):
        assert reject(number, "it tags kites as cats").version == number
        assert verify.read_history().problems == []
    assert reigning.holders()["challenger"] == challenger
    reigning.verify(number)
    with reigning.acting(RITA), pytest.raises(SadclError, match=f"rejected by {ROB}"):
        promote(number, "the verifier says pass")


@pytest.mark.parametrize("account", [TOM, REA, NOBODY])
def test_who_is_no_reviewer_decides_nothing(reigning: Team, account: str) -> None:
    number = reigning.train()
    before, noted = reigning.holders(), len(reigning.ledger())
    with reigning.acting(account):
        for act in (lambda: promote(number, "mine"), lambda: reject(number, "no"), lambda: rollback("back")):
            with pytest.raises(SadclError, match=REFUSED):
                act()
        client = reigning.client()
        champion = "1"
        for call in (
            lambda: client.set_registered_model_alias(PRODUCTION, "champion", champion),
            lambda: client.delete_registered_model_alias(PRODUCTION, "champion"),
            lambda: client.set_model_version_tag(
                PRODUCTION, "1", schema.DECISION, decision(reigning, "1", user=account)
            ),
            lambda: client.set_model_version_tag(NAME, number, schema.DECISION, json.dumps({"user": account})),
            lambda: client.copy_model_version(f"models:/{NAME}/{number}", PRODUCTION),
        ):
            with pytest.raises(MlflowException, match=REFUSED):
                call()
    for path in (ALIAS, ALIAS.replace("/api/", "/ajax-api/")):
        answer = reigning.ask(account, "POST", path, json={"name": PRODUCTION, "alias": "champion", "version": "1"})
        assert answer.status_code == (401 if account == NOBODY else 403)
    assert reigning.holders() == before
    assert len(reigning.ledger()) == noted


def test_a_reader_registers_nothing(crew: Team) -> None:
    leave(crew.root, crew.networks(50))
    for account in (REA, RITA, NOBODY):
        with crew.acting(account), pytest.raises(SadclError, match=REFUSED):
            publish()


def test_who_made_a_model_does_not_decide_on_it(reigning: Team) -> None:
    number = reigning.train()
    refused = pytest.raises(SadclError, match=r"tom made .* another person has to decide")
    with reigning.holding(TOM, "reviewer"), reigning.acting(TOM), refused:
        promote(number, "mine is best")
    assert reigning.crown(number, RITA).source == f"models:/{NAME}/{number}"


def test_who_made_the_run_behind_a_model_does_not_decide_on_it(reigning: Team) -> None:
    with reigning.holding(ROB, "trainer"):
        with reigning.acting(ROB):
            run = reigning.client().create_run("1").info
        sent = {"name": NAME, "source": f"{run.artifact_uri}/model", "run_id": run.run_id}
        response = reigning.ask(TOM, "POST", "/api/2.0/mlflow/model-versions/create", json=sent)
        assert "from your own run" in response.json()["message"]
        answer = reigning.ask(ROB, "POST", "/api/2.0/mlflow/model-versions/create", json=sent)
    assert answer.ok, answer.text
    with reigning.acting(RITA):
        number = answer.json()["model_version"]["version"]
        copy = reigning.client().copy_model_version(f"models:/{NAME}/{number}", PRODUCTION)
    sent = {"name": PRODUCTION, "alias": "champion", "version": str(copy.version)}
    assert f"{ROB} made" in reigning.ask(ROB, "POST", ALIAS, json=sent).json()["message"]
    assert "has no decision" in reigning.ask(RITA, "POST", ALIAS, json=sent).json()["message"]


def test_what_clients_say_of_the_maker_is_not_believed(reigning: Team) -> None:
    with reigning.acting(TOM):
        run = reigning.client().create_run("1", tags={"mlflow.user": RITA})
        assert reigning.client().get_run(run.info.run_id).info.user_id == TOM
    source = f"{run.info.artifact_uri}/model"
    sent = {"name": NAME, "source": source, "run_id": run.info.run_id, "user_id": RITA}
    version = reigning.ask(TOM, "POST", "/api/2.0/mlflow/model-versions/create", json=sent).json()["model_version"]
    with reigning.acting(REA):
        assert reigning.client().get_model_version(NAME, version["version"]).user_id == TOM


@pytest.mark.parametrize(
    ("account", "model", "alias"),
    [
        (RITA, PRODUCTION, "Champion"), (RITA, PRODUCTION, "ｃhampion"), (RITA, PRODUCTION, "champıon"),
        (RITA, PRODUCTION, "champi0n"), (TOM, NAME, "champion"), (TOM, NAME, "сhallenger"),
    ],
)  # fmt: skip
def test_no_alias_looks_like_another(reigning: Team, account: str, model: str, alias: str) -> None:
    answer = reigning.ask(account, "POST", ALIAS, json={"name": model, "alias": alias, "version": "1"})
    assert answer.status_code == 403, answer.text
    assert "alias" in answer.json()["message"]


def test_the_ledger_tells_who_when_and_what(reigning: Team) -> None:
    number = reigning.train()
    reigning.crown(number, ROB)
    lines = reigning.ledger()
    moved = next(line for line in reversed(lines) if line.get("alias") == "champion")
    assert (moved["who"], moved["what"], moved["model"]) == (ROB, "alias set", PRODUCTION)
    assert moved["from"] != moved["to"]
    assert (moved["verdict"], moved["data"]) == ("pass", "1" * 64)
    registration = next(line for line in reversed(lines) if line["what"] == "version made" and line["model"] == NAME)
    assert (registration["who"], registration["version"]) == (TOM, number)
    with reigning.acting(REA):
        history = verify.read_history()
    assert history.problems == []
    assert files.read_json("data/champion.json")["audit"] in hash_chain.digests(
        hash_chain.lines(reigning.home / host.LEDGER)
    )
