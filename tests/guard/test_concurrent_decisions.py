"""Decisions at once, and decisions that a kill interrupted."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from mlflow import MlflowClient

from sadcl.project.overview import describe_registry
from sadcl.registry import schema
from sadcl.registry.audit import log, verify
from sadcl.registry.client import connect
from sadcl.registry.promote import promote, reject, rollback
from sadcl.registry.sync import sync
from tests.guard.conftest import NAME, PRODUCTION, REA, RITA, ROB, Team
from tests.guard.decision_requests import ALIAS, TAG, decision

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """An interruption like kill -9, which nothing catches."""


def killed(*_: object, **__: object) -> None:
    raise Killed


def test_of_two_reviewers_at_once_one_wins_and_the_other_is_refused_with_the_reason(team: Team) -> None:
    """The server sees the steps of both: both have looked, both write their decision, both move the alias."""
    first, second = team.train(), team.train()
    with team.acting(RITA), connect() as client:
        copies = {
            account: str(client.copy_model_version(f"models:/{NAME}/{number}", PRODUCTION).version)
            for account, number in ((RITA, first), (ROB, second))
        }
    decided = {account: decision(team, version, user=account) for account, version in copies.items()}

    def decide(account: str) -> tuple[bool, str]:
        version = copies[account]
        tag = {"name": PRODUCTION, "version": version, "key": schema.DECISION, "value": decided[account]}
        written = team.ask(account, "POST", TAG, json=tag)
        moved = team.ask(account, "POST", ALIAS, json={"name": PRODUCTION, "alias": "champion", "version": version})
        return moved.ok, written.text + moved.text

    with ThreadPoolExecutor(2) as pool:
        (first_won, first_text), (second_won, second_text) = pool.map(decide, (RITA, ROB))
    assert first_won != second_won
    assert "Somebody else made another version" in (second_text if first_won else first_text)
    with team.acting(ROB):
        sync()
        assert verify.read_history().problems == []


def test_a_rejection_and_a_promotion_at_once_do_not_both_hold(team: Team) -> None:
    number = team.train()
    with team.acting(RITA), connect() as client:
        copy = str(client.copy_model_version(f"models:/{NAME}/{number}", PRODUCTION).version)
        text = decision(team, copy, user=RITA)
        client.set_model_version_tag(PRODUCTION, copy, schema.DECISION, text)
    with team.acting(ROB):
        reject(number, "no")
    answer = team.ask(RITA, "POST", ALIAS, json={"name": PRODUCTION, "alias": "champion", "version": copy})
    assert answer.status_code == 403
    assert f"was rejected by {ROB}: no" in answer.json()["message"]


@pytest.mark.parametrize("action", ["promote", "roll back"])
@pytest.mark.parametrize("step", ["before the decision", "before the alias", "after the alias"])
def test_what_one_reviewer_left_half_done_another_finishes(
    team: Team, action: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = team.holders()
    number = team.train() if action == "promote" else None
    wanted = f"models:/{NAME}/{number}" if number else before["previous"]

    def act() -> object:
        return promote(number, "better") if number else rollback("worse after all")

    places = {
        "before the decision": (MlflowClient, "set_model_version_tag"),
        "before the alias": (MlflowClient, "set_registered_model_alias"),
        "after the alias": (log, "append"),
    }
    with monkeypatch.context() as patch, team.acting(RITA):
        patch.setattr(*places[step], killed)
        with pytest.raises(Killed):
            act()
    with team.acting(ROB):
        if step == "after the alias":
            assert sync() is True
        else:
            assert sync() is False
            act()
        assert verify.read_history().problems == []
    assert (team.holders()["champion"], team.holders()["previous"]) == (wanted, before["champion"])


@pytest.mark.parametrize("step", ["before the alias", "before the audit"])
def test_a_rejection_killed_anywhere_is_finished_by_the_next_call(
    team: Team, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = team.train()
    places = {
        "before the alias": (MlflowClient, "delete_registered_model_alias"),
        "before the audit": (log, "append"),
    }
    with monkeypatch.context() as patch, team.acting(ROB):
        patch.setattr(*places[step], killed)
        with pytest.raises(Killed):
            reject(number, "no")
    with team.acting(REA):
        assert describe_registry()[1] == "There is no challenger."
    with team.acting(ROB):
        assert sync() is True
        assert sync() is False
    assert team.holders()["challenger"] is None
    assert log.entries()[-1]["challenger"] == f"models:/{NAME}/{number}"
