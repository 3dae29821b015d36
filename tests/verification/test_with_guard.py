"""A team with a verifier: claims go in at the trainer's end, and the page shows what the verifier computed."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
import yaml

from sadcl import files
from sadcl.accounts import host, users
from sadcl.errors import SadclError
from sadcl.registry import artifacts
from sadcl.registry.client import ADDRESS, connect, logged_in_as
from sadcl.registry.promote import promote
from sadcl.registry.publish import publish
from sadcl.registry.verified import VerifiedRecord, read_record
from sadcl.review.after_decision import sync_in_process
from sadcl.review.app import create_app
from sadcl.services import free_port
from sadcl.services.supervisor import wait
from sadcl.verification import promotion, queue
from tests.attacks.forgeries import forge_scores
from tests.review.conftest import Browser, text
from tests.verification.conftest import settings, train, write_photos

pytestmark = pytest.mark.slow

TOM, RITA = "tom", "rita"


def password(name: str) -> str:
    return f"the password of {name}"


@pytest.fixture
def team(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with a guarded server, a trainer and a reviewer; nothing is registered."""
    shutil.rmtree(project / ".sadcl/verified", ignore_errors=True)
    port = free_port()
    command, variables = host.server(port, project)
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen(
            command, env={**os.environ, **variables}, start_new_session=True, stdout=log, stderr=log
        )
    try:
        wait(server, "registry", port, f"{tmp_path / 'log'} says why")
        monkeypatch.setenv(ADDRESS, f"http://127.0.0.1:{port}")
        host.set_up(f"http://127.0.0.1:{port}", project)
        for name, role in ((TOM, "trainer"), (RITA, "reviewer")):
            users.add_account(name, role, password(name), project)
        yield project
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        shutil.rmtree(project / ".sadcl/team", ignore_errors=True)


def register(seed: int, **forgery: object) -> None:
    """Train and register a model as the trainer."""
    train(seed, **forgery)  # type: ignore[arg-type]
    with logged_in_as(TOM, password(TOM)):
        publish()


def verify_waiting() -> list[str]:
    """Do the verifier's work once."""
    with logged_in_as(*host.account_login(host.VERIFIER).values()):
        return queue.verify_waiting()


def reviewer(team: Path) -> Browser:
    """Browser of a reviewer who has logged in."""
    browser = Browser(create_app(team, after_decision=sync_in_process))
    assert browser.log_in(RITA, password(RITA)).status_code == 200
    return browser


def record_of(number: int) -> VerifiedRecord:
    """Record of a version that the verifier wrote."""
    with logged_in_as(RITA, password(RITA)), connect() as client:
        record = read_record(client.get_model_version("tiny", str(number)).tags)
    assert record is not None
    return record


def promote_first(rita: Browser) -> None:
    """Register, verify and approve the first version, and accept its criteria."""
    register(1)
    verify_waiting()
    rita.send("/criteria", "/criteria", reason="the rules of the team")
    rita.send("/versions/1", "/versions/1", action="approve", reason="the first", first="yes")


def test_a_first_version_is_verified_and_approved_by_accepted_criteria(team: Path) -> None:
    register(1)
    rita = reviewer(team)
    unverified = text(rita.get("/versions/1").text)
    assert "not verified yet" in unverified
    assert "Its author claims: pass" in unverified
    [line] = verify_waiting()
    assert line.startswith("Version 1: pass")
    assert verify_waiting() == []
    assert set(record_of(1).files) == {"verdict.json", "metrics.json", "scores.parquet"}

    response = rita.send("/versions/1", "/versions/1", action="approve", reason="the first", first="yes")
    assert "Nobody has accepted the rules" in text(response.text)
    assert "Give a reason" in text(rita.send("/criteria", "/criteria", reason="\u3164").text)
    form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', rita.get("/criteria").text))
    response = rita.send("/criteria", "/criteria", reason="the rules of the team")
    assert "Accepted by rita" in text(response.text)
    late = rita.client.post("/criteria", data={**form, "reason": "read before"})
    assert (late.status_code, 'role="alert"' in late.text) == (409, True)
    response = rita.send("/versions/1", "/versions/1", action="approve", reason="the first", first="yes")
    assert "is champion now" in text(response.text)


def test_scores_that_no_network_gave_are_shown_as_claims(team: Path) -> None:
    rita = reviewer(team)
    promote_first(rita)
    register(2, forge=forge_scores)
    [line] = verify_waiting()
    assert "mAP: claimed 100.00, verified 4" in line
    forged = rita.get("/versions/2").text
    assert "Claims that differ" in forged
    assert f"mAP</th><td><b>{record_of(2).mAP}</b>" in forged


def test_other_rules_judge_nothing_before_a_reviewer_has_accepted_them(team: Path) -> None:
    rita = reviewer(team)
    promote_first(rita)
    raw = settings()
    raw["gate"]["rules"][0]["at_least"] = 101.0
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    register(2)
    with pytest.raises(
        SadclError, match=r"not the accepted ones: Rule removed: .*at least 0\.0.* Rule added: .*101\.0"
    ):
        verify_waiting()
    changed = text(rita.get("/criteria").text)
    assert "Rule added: kind absolute, metric mAP, at least 101.0" in changed
    response = rita.send("/criteria", "/criteria", reason="we want more")
    assert "we want more" in text(response.text)
    assert any(line.startswith("Version 2: fail") for line in verify_waiting())
    with logged_in_as(RITA, password(RITA)):
        promotion.prepare(2, "no matter")
        with pytest.raises(SadclError, match="The gate's verdict is fail"):
            promote(2, "no matter", check=promotion.require_verified)


def test_changed_test_photos_are_shown_one_by_one_before_anybody_accepts_them(team: Path) -> None:
    rita = reviewer(team)
    promote_first(rita)
    write_photos(team, labels=lambda i: [(i + (i == 4)) % 3], test=29)
    try:
        page = rita.get("/criteria").text
        assert "Test photos that are gone: 1 29 kite" in text(page)
        assert "Test photos with other labels: 1 04 dog → kite" in text(page)
        [address, *_] = re.findall(r'src="(/criteria/photo[^"]+)"', page)
        assert rita.get(unescape(address)).content[:2] == b"\xff\xd8"
        assert rita.get("/criteria/photo.jpg?shards=other&image_id=04").status_code != 200
        assert rita.get(re.sub("image_id=.*", "image_id=none", unescape(address))).status_code == 404
    finally:
        write_photos(team)


def test_a_version_that_can_t_be_verified_keeps_no_other_waiting(team: Path) -> None:
    register(1)
    register(2)
    with logged_in_as(TOM, password(TOM)), connect() as client:
        served = artifacts.model(client.get_model_version("tiny", "2"))
        run = client.create_run(client.get_experiment_by_name("tiny").experiment_id).info
        client.log_text(run.run_id, "no weights", "model/artifacts/weights.safetensors")
        pins = {served: files.digest_of_text("no weights")}
        for odd in ({}, {"model/MLmodel": "0" * 64}, pins):
            tags = {artifacts.PINS: json.dumps(odd)}
            client.create_model_version("tiny", f"{run.artifact_uri}/model", run.run_id, tags=tags)
    lines = verify_waiting()
    assert [line.partition(".")[0] for line in lines] == ["Version 2: pass", "Version 5: error", "Version 1: pass"]
    assert verify_waiting() == []
    assert not list((team / ".sadcl/verified").rglob("*.safetensors"))
