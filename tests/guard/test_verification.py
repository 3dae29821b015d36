"""Promotions need the verifier's record, and criteria that a reviewer accepted; nobody else can write either."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from mlflow.exceptions import MlflowException

from sadcl.accounts import host
from sadcl.errors import SadclError
from sadcl.registry import criteria, schema
from sadcl.registry.audit import log
from sadcl.registry.client import connect
from sadcl.registry.promote import promote
from sadcl.registry.publish import publish
from sadcl.verification.promotion import require_verified
from tests.guard.conftest import ADMIN, CRITERIA, NAME, PRODUCTION, REA, RITA, TOM, Team
from tests.registry.conftest import write_stage_outputs

pytestmark = pytest.mark.slow

REFUSED = r"403|PERMISSION_DENIED|[Oo]nly the verifier"


def register(team: Team, verdict: str = "pass") -> str:
    """Register another model that nobody has verified; its number."""
    team.last += 1
    write_stage_outputs(team.root, team.networks(team.last), verdict, mAP=80)
    with team.acting(TOM):
        return publish().version


def test_a_claim_alone_makes_no_champion(team: Team) -> None:
    number = register(team, "fail")
    with team.acting(TOM):
        team.client().set_model_version_tag(NAME, number, schema.VERDICT, "pass")
    before = team.holders()["champion"]
    with team.acting(RITA):
        for check in (None, require_verified):
            with pytest.raises(SadclError, match="not verified yet"):
                promote(number, "its author says that it passed", check=check)
    assert team.holders()["champion"] == before
    team.verify(number)
    assert team.promote(number, RITA).source == f"models:/{NAME}/{number}"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verdict": "fail", "words": "It failed: mAP."}, r"verified verdict is fail\. It failed: mAP"),
        ({"verdict": "error", "words": "The model can't be scored."}, "verified verdict is error"),
        ({"criteria": "0" * 64}, "acceptance criteria have changed"),
        ({"champion": "0" * 64}, "champion has changed since this version was verified"),
    ],
)
def test_a_record_counts_for_its_verdict_criteria_and_champion(team: Team, changes: dict[str, str], words: str) -> None:
    number = register(team)
    team.verify(number, **changes)
    with team.acting(RITA):
        for check in (None, require_verified):
            with pytest.raises(SadclError, match=words):
                promote(number, "better", check=check)


@pytest.mark.parametrize("account", [TOM, RITA, REA, ADMIN, host.WORKER])
def test_the_verifier_alone_writes_records(team: Team, account: str) -> None:
    number = register(team)
    text = team.record(number).text()
    with team.acting(account):
        client = team.client()
        with pytest.raises(MlflowException, match=REFUSED):
            client.set_model_version_tag(NAME, number, schema.VERIFIED, text)
    team.verify(number, verdict="fail")
    with team.acting(account):
        with pytest.raises(MlflowException, match=REFUSED):
            client.set_model_version_tag(NAME, number, schema.VERIFIED, text)
        with pytest.raises(MlflowException, match=r"403|PERMISSION_DENIED|can't be deleted"):
            client.delete_model_version_tag(NAME, number, schema.VERIFIED)


def test_no_registration_brings_its_own_record(team: Team) -> None:
    number = register(team)
    text = team.record(number).text()
    with team.acting(TOM):
        client = team.client()
        run = client.create_run("1").info
        with pytest.raises(MlflowException, match="written by a reviewer or the verifier"):
            client.create_model_version(NAME, f"{run.artifact_uri}/model", run.run_id, tags={schema.VERIFIED: text})


def test_a_record_is_about_the_registered_weights(team: Team) -> None:
    number = register(team)
    record = team.record(number)
    for text, words in (
        (replace(record, weights="0" * 64).text(), "other weights"),
        ('{"verdict": "pass"}', "does not have the form"),
        (record.text() + " ", "does not have the form"),
    ):
        with team.acting(host.VERIFIER), pytest.raises(MlflowException, match=words):
            team.client().set_model_version_tag(NAME, number, schema.VERIFIED, text)


def test_the_verifier_decides_and_registers_nothing(team: Team) -> None:
    number = team.train()
    with team.acting(host.VERIFIER):
        client = team.client()
        calls: list[Callable[[], object]] = [
            lambda: client.set_model_version_tag(NAME, number, schema.VERDICT, "pass"),
            lambda: client.set_registered_model_alias(NAME, schema.CHALLENGER, number),
            lambda: client.copy_model_version(f"models:/{NAME}/{number}", PRODUCTION),
            lambda: client.set_registered_model_tag(PRODUCTION, schema.CRITERIA, "x"),
            lambda: client.create_run("1"),
        ]
        for call in calls:
            with pytest.raises(MlflowException, match=r"403|PERMISSION_DENIED|not allow"):
                call()


def accept(team: Team, account: str, accepted: criteria.Criteria, user: str | None = None, reason: str = "why") -> None:
    """Accept criteria as an account, in its own name or another."""
    with team.acting(account):
        criteria.accept(team.client(), NAME, accepted, user or account, reason, log.now())


def test_reviewers_alone_accept_criteria_in_their_own_name(team: Team) -> None:
    other = replace(CRITERIA, threshold=0.4)
    for account in (TOM, REA, host.VERIFIER):
        with pytest.raises(MlflowException, match=r"403|PERMISSION_DENIED"):
            accept(team, account, other)
    with pytest.raises(MlflowException, match="in your own name"):
        accept(team, RITA, other, user="rob")
    with team.acting(RITA):
        client = team.client()
        for value, words in (("{}", "does not have the form"), ("x" * 4000, "does not have the form")):
            with pytest.raises(MlflowException, match=words):
                client.set_registered_model_tag(PRODUCTION, schema.CRITERIA, value)
        with pytest.raises(MlflowException, match=r"can't be deleted|403"):
            client.delete_registered_model_tag(PRODUCTION, schema.CRITERIA)
    with team.acting(TOM), pytest.raises(MlflowException, match="where only reviewers write"):
        team.client().set_registered_model_tag(NAME, schema.CRITERIA, "{}")
    with team.acting(REA), connect() as client:
        accepted = criteria.accepted(client, NAME)
    assert accepted is not None
    assert accepted.criteria == CRITERIA


def test_accepted_criteria_make_earlier_records_count_no_longer(team: Team) -> None:
    number = team.train()
    try:
        accept(team, RITA, replace(CRITERIA, photos=3), reason="one more photo")
        with team.acting(RITA), pytest.raises(SadclError, match="acceptance criteria have changed"):
            promote(number, "better")
        line = next(line for line in reversed(team.ledger()) if line.get("key") == schema.CRITERIA)
        assert (line["who"], line["key"], line["reason"]) == (RITA, schema.CRITERIA, "one more photo")
    finally:
        accept(team, RITA, CRITERIA, reason="back")
    assert team.promote(number, RITA).source == f"models:/{NAME}/{number}"
