"""Verification of registered versions: an honest one agrees, and a claim that is not so is named and refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sadcl.errors import SadclError
from sadcl.evaluation import scores
from sadcl.evaluation.gate import recheck
from sadcl.registry import client, schema
from sadcl.registry.promote import Promotion, promote
from sadcl.registry.publish import publish
from sadcl.review.after_decision import sync_in_process
from sadcl.review.app import create_app
from sadcl.verification import acceptance, promotion
from sadcl.verification.verify import verify_number
from tests.review.conftest import Browser, StaticAuthenticator, text
from tests.verification.conftest import settings, train, write_photos
from tests.verification.forgeries import forge_scores

WORSE = 7
"""Seed of a model that is worse than the champion."""


def rules(at_least: float) -> None:
    """Set the bound of the first rule in the project's settings."""
    raw = settings()
    raw["gate"]["rules"][0]["at_least"] = at_least
    Path("params.yaml").write_text(yaml.safe_dump(raw))


def approve(number: int, reason: str, first: bool = False) -> Promotion:
    """Promote as the command does it."""
    promotion.prepare(number, reason, first)
    return promote(number, reason, first=first, check=promotion.require_verified)


def accept_project() -> None:
    """Accept the criteria of the project unless they are the accepted ones."""
    if not acceptance.compare_project()[1]:
        acceptance.accept_project("the rules of the team")


def champion() -> str:
    record = json.loads(Path("data/champion.json").read_text())
    return str(record and record["version"])


def test_an_honest_version_agrees_and_is_promoted(reign: Path) -> None:
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


def claim_to_pass(number: str = "2") -> None:
    """Write the tag of a passed verdict."""
    with client.connect() as connection:
        connection.set_model_version_tag("tiny", number, schema.VERDICT, "pass")


def one_tag() -> None:
    """H1: the gate refused the model, and one tag says that it passed."""
    rules(101.0)
    train(2)
    publish()
    claim_to_pass()


def logits_of_no_network() -> None:
    """H2: scores that no network gave, and everything that follows from them."""
    train(2, forge_scores)
    publish()
    rules(90.0)


def labels_bent_to_the_model() -> None:
    """H2: test labels that are the model's own predictions."""
    train(2)
    predicted = scores.read_scores("reports/scores.parquet").logits["sadcl"].argmax(axis=1).tolist()
    write_photos(Path(), lambda i: [int(predicted[i])] if i < len(predicted) else [i % 3])
    train(2)
    publish()
    write_photos(Path())
    rules(90.0)


def bounds_lowered() -> None:
    """H2: judged by rules of the author's own."""
    train(2)
    publish()
    rules(90.0)


def chosen_photos() -> None:
    """H2: judged on chosen photos, a few of the test set."""
    write_photos(Path(), test=9)
    train(2)
    publish()
    write_photos(Path())
    rules(90.0)


def champion_lowered() -> None:
    """H2: the champion's scores are the opposite of the labels."""
    raw = settings()
    raw["gate"]["rules"][1]["margin"] = 0.0
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    train(WORSE, lambda: forge_scores("reports/champion_scores.parquet", "champion", -1.0))
    publish()


ATTACKS: dict[str, tuple[Callable[[], None], set[str]]] = {
    "one tag": (one_tag, {"verdict"}),
    "logits of no network": (logits_of_no_network, {"verdict", "mAP"}),
    "labels bent to the model": (labels_bent_to_the_model, {"verdict", "mAP"}),
    "bounds lowered": (bounds_lowered, {"verdict"}),
    "test set cut": (chosen_photos, {"verdict", "mAP", "test photos"}),
    "champion lowered": (champion_lowered, {"verdict"}),
}
"""How a trainer deceives, and the claims that turn out to be false."""


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_claim_that_is_not_so_is_named_and_never_becomes_champion(reign: Path, attack: str) -> None:
    deceive, false = ATTACKS[attack]
    deceive()
    accept_project()
    with client.connect() as connection:
        assert connection.get_model_version("tiny", "2").tags[schema.VERDICT] == "pass"
    verification = verify_number(2)
    assert not verification.passed
    assert {difference.name for difference in verification.differences} == false
    with pytest.raises(SadclError, match=r"The verified verdict is fail.*verdict: claimed pass, verified fail"):
        approve(2, "deceived")
    assert champion() == "1"


def test_missing_test_photos_close_the_promotion(reign: Path) -> None:
    train(2)
    publish()
    (reign / "data/shards/test/index.json").unlink()
    with pytest.raises(SadclError, match=r"test photos are not here.*dvc pull"):
        approve(2, "blind")


def test_a_claim_with_control_characters_is_printed_without_them(reign: Path) -> None:
    train(2)
    publish()
    with client.connect() as connection:
        connection.set_model_version_tag("tiny", "2", schema.MAP, "99\n\x1b[2JAll is well \u202e")
    [line] = [line for line in verify_number(2).lines() if "mAP: claimed" in line]
    assert "claimed 99\\n\\x1b[2JAll is well \\u202e, verified " in line


def test_approval_on_the_page_verifies_too(reign: Path) -> None:
    bounds_lowered()
    page = create_app(reign, authenticator=StaticAuthenticator(), after_decision=sync_in_process)
    browser = Browser(page)
    browser.log_in("rita")
    assert "not verified yet" in text(browser.get("/versions/2").text)
    response = browser.send("/versions/2", "/versions/2", action="approve", reason="it says that it passed")
    assert response.status_code == 409
    assert "This version is not verified yet" in text(response.text)
    assert champion() == "1"
