"""Missing, changed and malformed files are reported, and never shown as valid."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sadcl import files
from sadcl.evaluation import scores
from sadcl.registry import artifacts, schema
from sadcl.registry import client as store
from sadcl.registry.audit import log
from sadcl.review import schemas, tables
from sadcl.review.app import create_app
from tests.review.conftest import Browser, StaticAuthenticator, text


def test_other_test_photos_in_the_project_are_not_shown_for_the_version_s_own(rita: Browser, promoted: Path) -> None:
    for damage in (lambda: shutil.rmtree(promoted / "data/shards"), lambda: shutil.rmtree(promoted / "data")):
        damage()
        page = create_app(promoted, authenticator=StaticAuthenticator(), check=None)
        browser = Browser(page)
        browser.log_in()
        shown = browser.get("/versions/3").text
        assert "There are no shards" in shown
        assert "photo.jpg" not in shown
        assert "This version is better" in shown


def test_a_changed_verdict_is_reported_and_not_shown(rita: Browser, promoted: Path) -> None:
    [path] = [p for p in (promoted / ".sadcl/mlartifacts").rglob("verdict.json") if '"fail"' in p.read_text()]
    shutil.rmtree(promoted / ".sadcl/review", ignore_errors=True)
    path.write_text(json.dumps({**json.loads(path.read_text()), "words": "All is well."}))
    page = text(rita.get("/versions/2").text)
    assert "The verdict in the registry was changed after the gate wrote it" in page
    assert "All is well." not in page


def test_changed_scores_are_reported_and_not_shown(rita: Browser, promoted: Path) -> None:
    shutil.rmtree(promoted / ".sadcl/review", ignore_errors=True)
    for path in (promoted / ".sadcl/mlartifacts").rglob("scores.parquet"):
        path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    page = text(rita.get("/versions/3").text)
    assert "evidence/scores.parquet has changed since the version was registered" in page
    assert "Classes" not in page


def test_what_was_brought_once_is_not_asked_for_again(rita: Browser, promoted: Path) -> None:
    first = rita.get("/versions/3").text
    (promoted / ".sadcl/mlartifacts").rename(promoted / ".sadcl/away")
    assert rita.get("/versions/3").text == first
    (promoted / ".sadcl/away").rename(promoted / ".sadcl/mlartifacts")


def test_a_damaged_copy_of_the_page_is_brought_again(rita: Browser, promoted: Path) -> None:
    first = rita.get("/versions/3").text
    for path in (promoted / ".sadcl/review/files").rglob("*.*"):
        path.write_bytes(b"damaged")
    shutil.rmtree(promoted / ".sadcl/review/values")
    assert rita.get("/versions/3").text == first


def write(root: Path, name: str, content: bytes, judged: str = "") -> Path:
    """Put a file next to version 3 as a trainer could: with the digests that belong to it, before anybody looked."""
    for copies in ("files", "shown"):  # "values" have the digest of their scores as key
        shutil.rmtree(root / ".sadcl/review" / copies, ignore_errors=True)
    with store.connect(root) as client:
        version = client.get_model_version("tiny", "3")
        path = Path(client.get_run(version.run_id).info.artifact_uri.removeprefix("file://")) / name
        path.write_bytes(content)
        pins = json.dumps({**artifacts.pins(version), name: files.digest(path)})
        client.set_model_version_tag("tiny", "3", artifacts.PINS, pins)
        if judged:
            client.set_model_version_tag("tiny", "3", schema.VERDICT_DIGEST, judged)
    return path


def shown(rita: Browser) -> str:
    """The page about version 3, which is whole."""
    assert "Version 3" in rita.get("/").text
    response = rita.get("/versions/3")
    assert response.status_code == 200
    assert response.text.rstrip().endswith("</html>")
    assert "The rest of this page could not be rendered" not in response.text
    assert response.text.count("<h2") >= 6
    assert ">Approve as champion</button>" in response.text
    return text(response.text)


NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "rules is missing"),
        ([1], "the file is not a mapping"),
        (None, "the file is not a mapping"),
        ({"rules": "none"}, "rules is invalid"),
        ({"rules": [{"words": "no result"}]}, "rules.0.result is missing"),
        ({"rules": [{"result": ["pass"], "words": "a list"}]}, "rules.0.result is invalid"),
        ({"rules": [], "intervals": {"mAP": {"model": [1.0, 2.0]}}}, "intervals.mAP.model is invalid"),
        ({"rules": [], "intervals": {"mAP": {"model": [NAN, 1.0, 2.0]}}}, "intervals.mAP.model.0 is invalid"),
        ({"rules": [], "intervals": {"mAP": {"model": ["90", 1.0, 2.0]}}}, "intervals.mAP.model.0 is invalid"),
        ({"rules": [], "intervals": {"mAP": "high"}}, "intervals.mAP is not a mapping"),
    ],
)
def test_a_verdict_that_makes_no_sense_is_reported(rita: Browser, promoted: Path, value: Any, words: str) -> None:
    write(promoted, "verdict.json", json.dumps(value).encode(), files.digest_of(value))
    assert f"verdict.json can't be shown: {words}" in shown(rita)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "The file is not JSON"),
        (b"\xff", "The file is not JSON"),
        (b"[" * 100_000, "The file is not JSON"),
        (b'{"rules": [{"result": "pass", "words": "\\ud800"}]}', "The verdict in the registry was changed"),
    ],
)
def test_a_verdict_that_can_t_be_read_is_reported(rita: Browser, promoted: Path, content: bytes, words: str) -> None:
    write(promoted, "verdict.json", content, "e" * 64)
    assert words in shown(rita)


DIGESTS = {"test_list": "1", "labels": "2", "shards": "3"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "digests is missing"),
        ({"digests": {"labels": "2", "shards": "3"}}, "digests.test_list is missing"),
        ({"digests": {**DIGESTS, "shards": 3}}, "digests.shards is invalid"),
        ({"digests": DIGESTS, "sadcl": {"mAP": NAN}}, "sadcl.mAP is invalid"),
        ({"digests": DIGESTS, "sadcl": {"ECE": "low"}}, "sadcl.ECE is invalid"),
        ({"digests": DIGESTS, "sadcl": [1]}, "sadcl is not a mapping"),
        ({"digests": DIGESTS, "threshold": NAN}, "threshold is invalid"),
        ({"digests": DIGESTS, "images": "many"}, "images is invalid"),
        ({"digests": DIGESTS, "cost": {"bytes": "few"}}, "cost.bytes is invalid"),
    ],
)
def test_figures_that_make_no_sense_are_reported(rita: Browser, promoted: Path, value: Any, words: str) -> None:
    write(promoted, "evidence/metrics.json", json.dumps(value).encode())
    assert f"evidence/metrics.json can't be shown: {words}" in shown(rita)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1, 2]", "The settings are not a mapping of sections"),
        ("a: [", "The settings are not YAML"),
        ("gate: strict", "params.yaml can't be shown: gate is not a mapping"),
        ("gate: {published: {figures: {}}}", "can't be shown: gate.published.name is missing"),
        (
            "gate: {published: {name: a, figures: {mAP: .nan}}}",
            "can't be shown: gate.published.figures.mAP is invalid",
        ),
        (
            "gate: {published: {name: a, figures: {mAP: high}}}",
            "can't be shown: gate.published.figures.mAP is invalid",
        ),
        ("a: &a {b: *a}", "The settings are too large"),
        ('gate: {published: {name: "\\ud800"}}', "Changed settings"),
        ("? [1, 2]\n: {3: .nan, true: 2026-01-01}", "The settings are not YAML"),
        ("{3: .nan, true: 2026-01-01}", "True – 2026-01-01"),
    ],
)
def test_settings_that_make_no_sense_are_reported(rita: Browser, promoted: Path, content: str, words: str) -> None:
    write(promoted, "params.yaml", content.encode())
    assert words in shown(rita)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"logits": {"other": np.zeros((20, 3), dtype=np.float32)}}, "There are no scores of sadcl"),
        ({"logits": {"sadcl": np.full((20, 3), np.nan, dtype=np.float32)}}, "sigmoid of the logits"),
        ({"ids": [f"another {i}" for i in range(20)]}, "its files are damaged (KeyError)"),
        ({"classes": (1, None, True)}, "The scores are damaged: names are not texts"),
    ],
)
def test_scores_that_make_no_sense_are_reported(
    rita: Browser, promoted: Path, damage: dict[str, Any], words: str
) -> None:
    whole, odd = next((promoted / ".sadcl/mlartifacts").rglob("scores.parquet")), promoted / "odd.parquet"
    scores.write_scores(odd, replace(scores.read_scores(whole), **damage))
    write(promoted, artifacts.SCORES, odd.read_bytes())
    assert words in shown(rita)


def test_pins_without_scores_are_reported(rita: Browser, promoted: Path) -> None:
    with store.connect(promoted) as client:
        pins = artifacts.pins(client.get_model_version("tiny", "3"))
        model_pins = {name: digest for name, digest in pins.items() if name.startswith(artifacts.MODEL)}
        client.set_model_version_tag(
            "tiny", "3", artifacts.PINS, json.dumps({**model_pins, "evidence/metrics.json": "none"})
        )
    page = shown(rita)
    assert "The version has no digest of evidence/metrics.json" in page


def test_pins_without_the_weights_close_approve(rita: Browser, promoted: Path) -> None:
    with store.connect(promoted) as client:
        client.set_model_version_tag("tiny", "3", artifacts.PINS, json.dumps({"evidence/metrics.json": "none"}))
    page = rita.get("/versions/3").text
    assert ">Approve as champion</button>" not in page
    assert "is not the digest of the weights that were registered" in page


@pytest.mark.parametrize(
    "tag",
    ["[" * 4000, "null", '{"model": {}}', '{"model": {"p95": 1e999, "peak": 1}}', '{"model": {"p95": NaN, "peak": 1}}',
     '{"model": {"p95": 1, "peak": 1}, "champion": 3}'],
)  # fmt: skip
def test_a_speed_that_makes_no_sense_is_not_shown(tag: str) -> None:
    assert [name for name, *_ in tables.cost(None, schemas.Metrics(digests=DIGESTS), tag)] == ["bytes", "parameters"]


def test_a_line_of_the_audit_that_somebody_wrote_by_hand_is_shown_as_far_as_it_goes(
    rita: Browser, promoted: Path
) -> None:
    log.append({"challenger": "models:/tiny/3", "time": 5, "action": ["?"], "reason": None}, promoted)
    page = shown(rita)
    assert "['?']" in page
    assert "['?']" in text(rita.get("/history").text)


def test_a_page_that_can_t_be_finished_says_so(rita: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(tables, "cost", broken)
    page = rita.get("/versions/3").text
    assert "The rest of this page could not be rendered." in page
    assert page.endswith("</html>")
    assert "secret" not in page
    assert "Approve" not in page


def test_what_the_gate_judged_while_somebody_looked_is_asked_for_again(rita: Browser, promoted: Path) -> None:
    path = write(promoted, "verdict.json", b"{}")
    assert "was changed after the gate wrote it" in shown(rita)
    shutil.copy(promoted / "reports/verdict.json", path)
    assert "was changed after the gate wrote it" not in shown(rita)
