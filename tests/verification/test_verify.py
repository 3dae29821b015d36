"""Verification of registered versions: an honest one agrees, and a claim that is not so is named and refused."""

import json
from pathlib import Path

import pytest

from sadcl.errors import SadclError
from sadcl.evaluation.gate import recheck
from sadcl.registry import client, schema
from sadcl.registry.publish import publish
from sadcl.review.after_decision import sync_in_process
from sadcl.review.app import create_app
from sadcl.verification import acceptance
from sadcl.verification.verify import verify_number
from tests.attacks.scenario import approve, champion, lower_bounds, set_bound
from tests.review.conftest import Browser, StaticAuthenticator, text
from tests.verification.conftest import train


def test_an_honest_version_agrees_and_is_promoted(promoted: Path) -> None:
    train(2)
    publish()
    verification = verify_number(2)
    assert verification.passed
    assert verification.differences == []
    judged = json.loads(Path("reports/verdict.json").read_text())
    for part in ("verdict", "words", "rules", "model", "test", "champion", "intervals"):
        assert verification.verdict[part] == judged[part]
    assert verification.lines()[-1] == "The claims of its author agree with this."
    assert "byte for byte" in recheck.recheck()
    assert approve(2, "better").version == "2"
    assert champion() == "2"
    with pytest.raises(SadclError, match=r"The champion has changed since this verdict.*dvc repro"):
        recheck.recheck()
    assert verify_number(2).differences == []


def test_the_first_version_is_verified_too(project: Path) -> None:
    train(3)
    publish()
    assert approve(1, "the first", first=True).version == "1"


def test_missing_test_photos_close_the_promotion(promoted: Path) -> None:
    train(2)
    publish()
    (promoted / "data/shards/test/index.json").unlink()
    with pytest.raises(SadclError, match=r"test photos are not here.*dvc pull"):
        approve(2, "blind")


def test_a_claim_with_control_characters_is_printed_without_them(promoted: Path) -> None:
    train(2)
    publish()
    with client.connect() as connection:
        connection.set_model_version_tag("tiny", "2", schema.MAP, "99\n\x1b[2JAll is well \u202e")
    [line] = [line for line in verify_number(2).lines() if "mAP: claimed" in line]
    assert "claimed 99\\n\\x1b[2JAll is well \\u202e, verified " in line


def test_approval_on_the_page_verifies_too(promoted: Path) -> None:
    lower_bounds()
    page = create_app(promoted, authenticator=StaticAuthenticator(), after_decision=sync_in_process)
    browser = Browser(page)
    browser.log_in("rita")
    assert "not verified yet" in text(browser.get("/versions/2").text)
    response = browser.send("/versions/2", "/versions/2", action="approve", reason="it says that it passed")
    assert response.status_code == 409
    assert "This version is not verified yet" in text(response.text)
    assert champion() == "1"


def test_a_registry_from_before_the_criteria_asks_for_them_once(promoted: Path) -> None:
    train(2)
    publish()
    with client.connect() as connection:
        connection.delete_registered_model_tag("tiny-production", schema.CRITERIA)
    with pytest.raises(SadclError, match=r"Nobody has accepted the rules.*sadcl criteria --accept"):
        approve(2, "better")
    assert acceptance.compare_project() == (
        ["No criteria are accepted yet. `sadcl criteria --accept` accepts those of this project."], False,
    )  # fmt: skip
    assert acceptance.accept_project("as before") == acceptance.ACCEPTED
    with pytest.raises(SadclError, match="accepted already"):
        acceptance.accept_project("again")
    with pytest.raises(SadclError, match="needs a reason"):
        acceptance.accept_project(" ")
    assert approve(2, "better").version == "2"


def test_criteria_that_changed_while_somebody_read_them_are_not_accepted(promoted: Path) -> None:
    lower_bounds()
    with pytest.raises(SadclError, match="changed since you looked at them"):
        acceptance.accept_project("what I read", expected="0" * 64)


def test_the_first_version_that_does_not_pass_accepts_no_criteria(project: Path) -> None:
    set_bound(101.0)
    train(3)
    publish()
    with pytest.raises(SadclError, match="The gate's verdict is fail"):
        approve(1, "the first", first=True)
    assert not acceptance.compare_project()[1]
