"""Decisions through the guarded server: each by whom it belongs to, and by nobody else."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from sadcl import files
from sadcl.accounts import host, users
from sadcl.accounts.users import Account
from sadcl.errors import SadclError
from sadcl.project.overview import describe_registry
from sadcl.registry import identity, lookup, schema
from sadcl.registry.audit import hash_chain, log, verify
from sadcl.registry.client import connect
from sadcl.registry.decision import decision_text
from sadcl.registry.promote import promote, reject, rollback
from sadcl.registry.publish import publish
from sadcl.registry.status import status
from sadcl.registry.sync import sync
from tests.guard.conftest import ADMIN, NAME, NOBODY, PRODUCTION, REA, RITA, ROB, TOM, Team, password
from tests.registry.conftest import leave

pytestmark = pytest.mark.slow

REFUSED = r"refused|Your account may not|does not know you|403|401|PERMISSION_DENIED"
ALIAS = "/api/2.0/mlflow/registered-models/alias"
TAG = "/api/2.0/mlflow/model-versions/set-tag"


def decision(crew: Team, version: str, **facts: Any) -> str:
    """What `sadcl promote` writes on a version in production."""
    with crew.acting(REA), connect() as client:
        reigns = lookup.version_with_alias(client, PRODUCTION, schema.CHAMPION)
        verdict = client.get_model_version(PRODUCTION, version).tags[schema.VERDICT_DIGEST]
    decided = {"action": "promote", "model": PRODUCTION, "from": str(reigns.version), "to": version, "reason": "why"}
    return decision_text({**decided, "verdict": verdict, "time": log.now(), **facts})


def test_the_server_knows_each_person(crew: Team) -> None:
    for name, role in ((TOM, "trainer"), (RITA, "reviewer"), (REA, "reader")):
        assert users.check_login(name, password(name)) == Account(name, role)
    assert users.check_login(NOBODY, password(NOBODY)) is None
    assert users.check_login(RITA, password(ROB)) is None
    with crew.acting(TOM):
        assert identity.decider() == TOM


def test_accounts_are_the_administrators(crew: Team) -> None:
    assert {person.name for person in users.list_accounts(crew.home)} == {
        ADMIN,
        host.WORKER,
        host.VERIFIER,
        TOM,
        RITA,
        ROB,
        REA,
    }
    for words, role, secret in (("no role 'boss'", "boss", "x" * 12), ("at least 12", "reader", "short")):
        with pytest.raises(SadclError, match=words):
            users.add_account("ann", role, secret, crew.home)
    with pytest.raises(SadclError, match="an account rita already"):
        users.add_account(RITA, "reader", "x" * 12, crew.home)
    for name in (TOM, RITA, REA):
        with crew.acting(name), pytest.raises(SadclError, match=REFUSED):
            users.add_account("ann", "reviewer", "x" * 12)
    with crew.acting(NOBODY), pytest.raises(SadclError, match="does not know you"):
        users.list_accounts()
    text = json.dumps(crew.ledger())
    assert f'"username": "{RITA}"' in text
    assert not any(crew.secret(name) in text for name in (ADMIN, TOM, RITA, ROB, REA))


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


def test_a_decision_is_ones_own_and_about_what_is_the_case(reigning: Team) -> None:
    with reigning.acting(REA), connect() as client:
        reigns = str(lookup.version_with_alias(client, PRODUCTION, schema.CHAMPION).version)
    previous = "1" if reigns != "1" else "2"
    for facts, words in (
        ({"user": ROB}, "in your own name"),
        ({"user": RITA, "reason": " "}, "needs a reason"),
        ({"user": RITA, "to": "77"}, "does not make"),
        ({"user": RITA, "from": "77"}, "Somebody else made another version"),
        ({"user": RITA, "action": "found"}, "does not make"),
        ({"user": RITA}, "champion has changed since the gate judged"),
    ):
        text = decision(reigning, previous, **facts)
        sent = {"name": PRODUCTION, "version": previous, "key": schema.DECISION, "value": text}
        answer = reigning.ask(RITA, "POST", TAG, json=sent)
        assert answer.status_code == 403, facts
        assert words in answer.json()["message"]
    sent = {
        "name": PRODUCTION,
        "version": previous,
        "key": schema.DECISION,
        "value": decision(reigning, previous, user=ROB, action="rollback"),
    }
    assert reigning.ask(ROB, "POST", TAG, json=sent).ok
    answer = reigning.ask(RITA, "POST", ALIAS, json={"name": PRODUCTION, "alias": "champion", "version": previous})
    assert answer.status_code == 403
    assert "in your own name" in answer.json()["message"]


@pytest.mark.parametrize("odd", [{"reason": "\ud800"}, {"time": 5}, {"time": "soon"}, {"more": "x"}, {"from": ["1"]}])
def test_a_decision_says_what_decisions_say_and_nothing_else(reigning: Team, odd: dict[str, Any]) -> None:
    number = reigning.train()
    with reigning.acting(RITA), connect() as client:
        copy = str(client.copy_model_version(f"models:/{NAME}/{number}", PRODUCTION).version)
    text = json.dumps({**json.loads(decision(reigning, copy, user=RITA)), **odd}, sort_keys=True)
    sent = {"name": PRODUCTION, "version": copy, "key": schema.DECISION, "value": text}
    answer = reigning.ask(RITA, "POST", TAG, json=sent)
    assert answer.status_code == 403, answer.text
    assert "does not have the form" in answer.json()["message"]


def test_nobody_promotes_on_a_verdict_that_was_not_looked_at(reigning: Team) -> None:
    number = reigning.train()
    with reigning.acting(RITA):
        with pytest.raises(SadclError, match="verdict has changed since you looked"):
            promote(number, "fine", verdict_digest="0" * 64)
        with connect() as client:
            copy = str(client.copy_model_version(f"models:/{NAME}/{number}", PRODUCTION).version)
    sent = {"name": PRODUCTION, "version": copy, "key": schema.DECISION}
    answer = reigning.ask(RITA, "POST", TAG, json={**sent, "value": decision(reigning, copy, user=RITA, verdict=None)})
    assert answer.status_code == 403
    assert "verdict has changed since" in answer.json()["message"]


def test_of_two_reviewers_at_once_one_wins_and_the_other_is_told(reigning: Team) -> None:
    """Each as the server sees it: both have looked, both write their decision, both move the alias."""
    first, second = reigning.train(), reigning.train()
    with reigning.acting(RITA), connect() as client:
        copies = {
            account: str(client.copy_model_version(f"models:/{NAME}/{number}", PRODUCTION).version)
            for account, number in ((RITA, first), (ROB, second))
        }
    decided = {account: decision(reigning, version, user=account) for account, version in copies.items()}

    def decide(account: str) -> tuple[bool, str]:
        version = copies[account]
        tag = {"name": PRODUCTION, "version": version, "key": schema.DECISION, "value": decided[account]}
        written = reigning.ask(account, "POST", TAG, json=tag)
        moved = reigning.ask(account, "POST", ALIAS, json={"name": PRODUCTION, "alias": "champion", "version": version})
        return moved.ok, written.text + moved.text

    with ThreadPoolExecutor(2) as pool:
        (first_won, first_text), (second_won, second_text) = pool.map(decide, (RITA, ROB))
    assert first_won != second_won
    assert "Somebody else made another version" in (second_text if first_won else first_text)
    with reigning.acting(ROB):
        sync()
        assert verify.read_history().problems == []


def test_a_rejection_and_a_promotion_at_once_do_not_both_hold(reigning: Team) -> None:
    number = reigning.train()
    with reigning.acting(RITA), connect() as client:
        copy = str(client.copy_model_version(f"models:/{NAME}/{number}", PRODUCTION).version)
        text = decision(reigning, copy, user=RITA)
        client.set_model_version_tag(PRODUCTION, copy, schema.DECISION, text)
    with reigning.acting(ROB):
        reject(number, "no")
    answer = reigning.ask(RITA, "POST", ALIAS, json={"name": PRODUCTION, "alias": "champion", "version": copy})
    assert answer.status_code == 403
    assert f"was rejected by {ROB}: no" in answer.json()["message"]


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def killed(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.parametrize("action", ["promote", "roll back"])
@pytest.mark.parametrize("step", ["before the decision", "before the alias", "after the alias"])
def test_what_one_reviewer_left_half_done_another_finishes(
    reigning: Team, action: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = reigning.holders()
    number = reigning.train() if action == "promote" else None
    wanted = f"models:/{NAME}/{number}" if number else before["previous"]

    def act() -> object:
        return promote(number, "better") if number else rollback("worse after all")

    places = {
        "before the decision": (MlflowClient, "set_model_version_tag"),
        "before the alias": (MlflowClient, "set_registered_model_alias"),
        "after the alias": (log, "append"),
    }
    with monkeypatch.context() as patch, reigning.acting(RITA):
        patch.setattr(*places[step], killed)
        with pytest.raises(Killed):
            act()
    with reigning.acting(ROB):
        if step == "after the alias":
            assert sync() is True
        else:
            assert sync() is False
            act()
        assert verify.read_history().problems == []
    assert (reigning.holders()["champion"], reigning.holders()["previous"]) == (wanted, before["champion"])


@pytest.mark.parametrize("step", ["before the alias", "before the audit"])
def test_a_rejection_killed_anywhere_is_finished_by_the_next_call(
    reigning: Team, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = reigning.train()
    places = {
        "before the alias": (MlflowClient, "delete_registered_model_alias"),
        "before the audit": (log, "append"),
    }
    with monkeypatch.context() as patch, reigning.acting(ROB):
        patch.setattr(*places[step], killed)
        with pytest.raises(Killed):
            reject(number, "no")
    with reigning.acting(REA):
        assert describe_registry()[1] == "There is no challenger."
    with reigning.acting(ROB):
        assert sync() is True
        assert sync() is False
    assert reigning.holders()["challenger"] is None
    assert log.entries()[-1]["challenger"] == f"models:/{NAME}/{number}"


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


def test_a_deleted_account_logs_in_no_longer(crew: Team) -> None:
    users.add_account("ann", "reviewer", "x" * 12, crew.home)
    with crew.acting(TOM), pytest.raises(SadclError, match=REFUSED):
        users.delete_account("ann")
    users.delete_account("ann", crew.home)
    assert users.check_login("ann", "x" * 12) is None
    assert [line["who"] for line in crew.ledger() if line["what"] == "account deleted"][-1:] == [ADMIN]
    for name, words in (("ann", "no account ann"), (ADMIN, "is the administrator's")):
        with pytest.raises(SadclError, match=words):
            users.delete_account(name, crew.home)


def test_an_account_that_up_did_not_create_gets_no_role(crew: Team) -> None:
    """Without a role, as another person's account has it who came before the verifier."""
    from mlflow.server.auth.client import AuthServiceClient

    accounts = AuthServiceClient(crew.address)
    with crew.acting(ADMIN):
        role = next(role.id for role in accounts.list_roles("default") if role.name == host.VERIFIER)
        accounts.unassign_role(host.VERIFIER, role)
        accounts.update_user_password(host.VERIFIER, "of somebody else")
    try:
        with pytest.raises(SadclError, match=r"account verifier was not created by `sadcl up`.*another name"):
            host.set_up(crew.address, crew.home)
        with crew.acting(ADMIN):
            assert accounts.list_user_roles(host.VERIFIER) == []
    finally:
        with crew.acting(ADMIN):
            accounts.update_user_password(host.VERIFIER, crew.secret(host.VERIFIER))
        host.set_up(crew.address, crew.home)
    with crew.acting(ADMIN):
        assert [entity.name for entity in accounts.list_user_roles(host.VERIFIER)] == [host.VERIFIER]


def test_a_person_with_the_verifier_s_name_does_not_get_its_role(crew: Team) -> None:
    from mlflow.server.auth.client import AuthServiceClient

    accounts = AuthServiceClient(crew.address)
    with crew.acting(ADMIN):
        roles = {role.name: role.id for role in accounts.list_roles("default")}
        accounts.unassign_role(host.VERIFIER, roles[host.VERIFIER])
        accounts.assign_role(host.VERIFIER, roles["reader"])
    try:
        with pytest.raises(SadclError, match=r"account verifier has another role.*another name"):
            host.set_up(crew.address, crew.home)
    finally:
        with crew.acting(ADMIN):
            accounts.unassign_role(host.VERIFIER, roles["reader"])
        host.set_up(crew.address, crew.home)
