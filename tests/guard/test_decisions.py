"""Text and grounds of a decision that the guarded registry takes."""

import json
from typing import Any

import pytest

from sadcl.errors import SadclError
from sadcl.registry import lookup, schema
from sadcl.registry.client import connect
from sadcl.registry.promote import promote
from tests.guard.conftest import NAME, PRODUCTION, REA, RITA, ROB, Team
from tests.guard.decision_requests import ALIAS, TAG, decision

pytestmark = pytest.mark.slow


def test_a_decision_is_ones_own_and_about_what_is_the_case(team: Team) -> None:
    with team.acting(REA), connect() as client:
        champion = str(lookup.version_with_alias(client, PRODUCTION, schema.CHAMPION).version)
    previous = "1" if champion != "1" else "2"
    for facts, words in (
        ({"user": ROB}, "in your own name"),
        ({"user": RITA, "reason": " "}, "needs a reason"),
        ({"user": RITA, "to": "77"}, "does not make"),
        ({"user": RITA, "from": "77"}, "Somebody else made another version"),
        ({"user": RITA, "action": "found"}, "does not make"),
        ({"user": RITA}, "champion has changed since the gate judged"),
    ):
        text = decision(team, previous, **facts)
        sent = {"name": PRODUCTION, "version": previous, "key": schema.DECISION, "value": text}
        answer = team.ask(RITA, "POST", TAG, json=sent)
        assert answer.status_code == 403, facts
        assert words in answer.json()["message"]
    sent = {
        "name": PRODUCTION,
        "version": previous,
        "key": schema.DECISION,
        "value": decision(team, previous, user=ROB, action="rollback"),
    }
    assert team.ask(ROB, "POST", TAG, json=sent).ok
    answer = team.ask(RITA, "POST", ALIAS, json={"name": PRODUCTION, "alias": "champion", "version": previous})
    assert answer.status_code == 403
    assert "in your own name" in answer.json()["message"]


@pytest.mark.parametrize("odd", [{"reason": "\ud800"}, {"time": 5}, {"time": "soon"}, {"more": "x"}, {"from": ["1"]}])
def test_a_decision_says_what_decisions_say_and_nothing_else(team: Team, odd: dict[str, Any]) -> None:
    number = team.train()
    with team.acting(RITA), connect() as client:
        copy = str(client.copy_model_version(f"models:/{NAME}/{number}", PRODUCTION).version)
    text = json.dumps({**json.loads(decision(team, copy, user=RITA)), **odd}, sort_keys=True)
    sent = {"name": PRODUCTION, "version": copy, "key": schema.DECISION, "value": text}
    answer = team.ask(RITA, "POST", TAG, json=sent)
    assert answer.status_code == 403, answer.text
    assert "does not have the form" in answer.json()["message"]


def test_nobody_promotes_on_a_verdict_that_was_not_looked_at(team: Team) -> None:
    number = team.train()
    with team.acting(RITA):
        with pytest.raises(SadclError, match="verdict has changed since you looked"):
            promote(number, "fine", verdict_digest="0" * 64)
        with connect() as client:
            copy = str(client.copy_model_version(f"models:/{NAME}/{number}", PRODUCTION).version)
    sent = {"name": PRODUCTION, "version": copy, "key": schema.DECISION}
    answer = team.ask(RITA, "POST", TAG, json={**sent, "value": decision(team, copy, user=RITA, verdict=None)})
    assert answer.status_code == 403
    assert "verdict has changed since" in answer.json()["message"]
