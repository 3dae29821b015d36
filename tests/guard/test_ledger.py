"""The server's ledger held against the registry and the project: what was changed behind its back is found."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sadcl import files, layout
from sadcl.accounts import host
from sadcl.cli import app
from sadcl.registry import artifacts, client, identity, schema
from sadcl.registry.audit import hash_chain, log, report, signatures, verify
from tests.guard.conftest import ADMIN, NAME, NOBODY, PRODUCTION, REA, RITA, ROB, TOM, Team

pytestmark = pytest.mark.slow


@pytest.fixture
def ledger(team: Team) -> Iterator[Path]:
    """The file, put back afterwards."""
    path = team.home / host.LEDGER
    whole = path.read_bytes()
    yield path
    path.write_bytes(whole)


def problems(team: Team) -> list[str]:
    with team.acting(REA):
        return verify.read_history().problems


def test_a_whole_ledger_has_no_problems_and_shows_each_change(team: Team) -> None:
    number = team.train()
    team.promote(number, ROB, "it sees kites")
    with team.acting(REA):
        history = verify.read_history()
    assert history.problems == []
    assert any(f"{ROB}: alias set: {PRODUCTION}, alias champion" in line for line in history.lines)
    assert any("it sees kites" in line for line in history.lines)


def test_a_tag_of_a_model_that_looks_like_a_decision_harms_nothing(team: Team) -> None:
    with team.acting(TOM):
        team.client().set_registered_model_tag(NAME, schema.DECISION, "{}")
    assert problems(team) == []


def test_an_edited_line_and_a_missing_line_are_found(team: Team, ledger: Path) -> None:
    lines = ledger.read_bytes().splitlines(keepends=True)
    edited = json.dumps({**json.loads(lines[5]), "who": "somebody"}, sort_keys=True).encode() + b"\n"
    ledger.write_bytes(b"".join([*lines[:5], edited, *lines[6:]]))
    assert "Line 7 of the server's ledger does not follow" in " ".join(problems(team))
    ledger.write_bytes(b"".join([*lines[:5], *lines[6:]]))
    assert "Line 6 of the server's ledger does not follow" in " ".join(problems(team))


def test_a_tail_that_was_cut_off_is_found(team: Team, ledger: Path) -> None:
    recorded = files.read_json("data/champion.json")["audit"]
    lines = ledger.read_bytes().splitlines(keepends=True)
    last = hash_chain.digests(hash_chain.lines(ledger)).index(recorded)
    ledger.write_bytes(b"".join(lines[:last]))
    assert any("is gone: the log was cut off" in problem for problem in problems(team))


def test_a_decision_in_the_project_that_the_server_never_noted_is_found(team: Team) -> None:
    path = team.root / layout.AUDIT_LOG
    whole = path.read_bytes()
    entry = log.entries()[-1]
    try:
        log.append({**entry, "user": ROB, "reason": "I said so", "time": log.now()})
        assert (
            f"Line {len(log.entries())} of {layout.AUDIT_LOG} is a decision that the server's ledger lacks"
            in " ".join(problems(team))
        )
    finally:
        path.write_bytes(whole)
    assert problems(team) == []


@pytest.mark.parametrize("model", [NAME, PRODUCTION])
def test_a_forged_decision_is_found(team: Team, model: str) -> None:
    with closing(sqlite3.connect(team.home / layout.TEAM / "mlflow.db")) as database:
        where = "name = ? AND version = 1 AND key = ?"
        held = database.execute(
            f"SELECT value FROM model_version_tags WHERE {where}", (model, schema.DECISION)
        ).fetchone()
        text = json.dumps(
            {"action": "promote", "model": model, "to": "1" if model == PRODUCTION else None, "user": ROB}
        )
        if held:
            database.execute(f"UPDATE model_version_tags SET value = ? WHERE {where}", (text, model, schema.DECISION))
        else:
            columns = "(name, version, key, value, workspace)"
            database.execute(
                f"INSERT INTO model_version_tags {columns} VALUES (?, 1, ?, ?, 'default')",
                (model, schema.DECISION, text),
            )
        database.commit()
        try:
            assert any(f"No log has the decision on models:/{model}/1" in p for p in problems(team))
        finally:
            database.execute(f"DELETE FROM model_version_tags WHERE {where}", (model, schema.DECISION))
            if held:
                columns = "(name, version, key, value, workspace)"
                database.execute(
                    f"INSERT INTO model_version_tags {columns} VALUES (?, 1, ?, ?, 'default')",
                    (model, schema.DECISION, held[0]),
                )
            database.commit()


def test_an_alias_moved_in_the_database_is_found(team: Team) -> None:
    with closing(sqlite3.connect(team.home / layout.TEAM / "mlflow.db")) as database:
        where = f"name = '{PRODUCTION}' AND alias = 'champion'"
        [held] = database.execute(f"SELECT version FROM registered_model_aliases WHERE {where}").fetchone()
        try:
            database.execute(f"UPDATE registered_model_aliases SET version = 1 WHERE {where}")
            database.commit()
            assert any("moved without the log" in problem for problem in problems(team))
        finally:
            database.execute(f"UPDATE registered_model_aliases SET version = {held} WHERE {where}")
            database.commit()


def audit(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["audit", *words])
    return result.exit_code, result.output


def test_every_line_is_signed_by_the_account_that_acted(team: Team) -> None:
    with team.acting(REA):
        history = verify.read_history()
    assert f"{len(team.ledger())} lines of the server's ledger are signed." in history.signatures[-1]
    assert {line["who"] for line in team.ledger()} >= {TOM, RITA, ADMIN, "the server"}
    created = [line for line in team.ledger() if line["what"] == "version made"]
    assert [line for line in created if artifacts.PINS not in line["tags"]] == []
    assert any(line["what"] == "alias set" and line["verdict_digest"] for line in team.ledger())


def test_a_copy_is_verified_without_the_server(team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, weights = tmp_path / "copy.jsonl", tmp_path / "weights"
    with team.acting(REA):
        exported = report.of_registry(export=path)
    assert exported.conclusion == [f"The copy is whole. Entries: {len(exported.history)}."]
    shutil.copytree(team.root / layout.CHAMPION_FOLDER, weights)
    monkeypatch.delenv(client.ADDRESS)
    monkeypatch.chdir(tmp_path)
    root = signatures.introduced(path.read_bytes().split(b"\n")).root
    status, output = audit("--bundle", str(path), "--key", str(root), "--files", str(weights))
    assert (status, "(champion)" in output) == (0, True), output
    secrets = [team.secret(name) for name in (ADMIN, TOM, RITA)]
    assert [secret for secret in secrets if secret in path.read_text()] == []
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b"champion" not in line))
    status, output = audit("--bundle", str(path), "--key", str(root))
    assert (status, "does not follow from line" in output) == (1, True), output


def test_a_copy_needs_a_log_in(team: Team) -> None:
    assert team.ask(NOBODY, "GET", identity.BUNDLE).status_code == 401
    assert team.ask(REA, "GET", identity.BUNDLE).status_code == 200


def test_a_pinned_key_is_held_against_the_running_server(team: Team) -> None:
    with team.acting(REA):
        assert any("not the pinned" in problem for problem in verify.read_history(pinned="0" * 64).problems)


def test_a_tag_changed_in_the_database_is_found(team: Team) -> None:
    with closing(sqlite3.connect(team.home / layout.TEAM / "mlflow.db")) as database:
        where = f"name = '{NAME}' AND version = 1 AND key = '{schema.VERDICT}'"
        database.execute(f"UPDATE model_version_tags SET value = 'fail' WHERE {where}")
        database.commit()
        try:
            assert f"The tag {schema.VERDICT} of models:/{NAME}/1 is not the one" in " ".join(problems(team))
        finally:
            database.execute(f"UPDATE model_version_tags SET value = 'pass' WHERE {where}")
            database.commit()
    assert problems(team) == []


@contextmanager
def database(team: Team) -> Iterator[sqlite3.Connection]:
    """The registry's database behind the server's back; tags of models are put back afterwards."""
    with closing(sqlite3.connect(team.home / layout.TEAM / "mlflow.db")) as connection:
        rows = connection.execute("SELECT * FROM registered_model_tags").fetchall()
        try:
            yield connection
        finally:
            connection.execute("DELETE FROM registered_model_tags")
            places = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO registered_model_tags VALUES ({places})", rows)
            connection.commit()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            "UPDATE registered_model_tags SET value = replace(value, 'absolute', 'relative') WHERE key = '{key}'",
            "The tag {key} of {model} is not the one that the ledger has",
        ),
        ("DELETE FROM registered_model_tags WHERE key = '{key}'", "The tag {key} of {model} is missing"),
        (
            "INSERT INTO registered_model_tags (name, key, value, workspace) "
            "VALUES ('{model}', 'sadcl.more', 'x', 'default')",
            "No line of the ledger sets the tag sadcl.more of {model}",
        ),
    ],
)
def test_criteria_changed_in_the_database_are_found_in_the_registry_and_in_its_copy(
    team: Team, tmp_path: Path, change: str, sentence: str
) -> None:
    names = {"key": schema.CRITERIA, "model": PRODUCTION}
    with database(team) as connection:
        assert connection.execute(change.format(**names)).rowcount == 1
        connection.commit()
        [problem] = problems(team)
        assert problem.startswith(sentence.format(**names))
        with team.acting(REA):
            assert report.of_registry(export=tmp_path / "copy.jsonl").problems == [problem]
    assert problems(team) == []


def test_tags_that_a_model_was_created_with_and_others_follow_from_the_ledger(team: Team) -> None:
    with team.acting(ADMIN):
        client = team.client()
        client.create_registered_model("more-production", {"team": "kites", "long": "x" * 3000})
        client.set_registered_model_tag("more-production", "empty", "")
        client.delete_registered_model_tag("more-production", "team")
    assert problems(team) == []
    with database(team) as connection:
        connection.execute("DELETE FROM registered_model_tags WHERE key = 'long'")
        connection.commit()
        assert problems(team) == ["The tag long of more-production is missing, and no line of the ledger deletes it."]


def test_a_line_written_past_the_server_is_found(team: Team, ledger: Path) -> None:
    hash_chain.append(ledger, {"time": "2026", "who": TOM, "what": "account made", "username": "eve"})
    assert f"Line {len(team.ledger())} of the server's ledger has no signature" in " ".join(problems(team))
