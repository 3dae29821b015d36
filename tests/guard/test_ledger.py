"""The server's ledger held against the registry and the project: what was changed behind its back is found."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sadcl import files, layout
from sadcl.accounts import host
from sadcl.registry import schema
from sadcl.registry.audit import hash_chain, log, verify
from tests.guard.conftest import NAME, PRODUCTION, REA, ROB, TOM, Team

pytestmark = pytest.mark.slow


@pytest.fixture
def ledger(reigning: Team) -> Iterator[Path]:
    """The file, put back afterwards."""
    path = reigning.home / host.LEDGER
    whole = path.read_bytes()
    yield path
    path.write_bytes(whole)


def problems(crew: Team) -> list[str]:
    with crew.acting(REA):
        return verify.read_history().problems


def test_a_whole_ledger_has_no_problems_and_tells_each_change(reigning: Team) -> None:
    number = reigning.train()
    reigning.crown(number, ROB, "it sees kites")
    with reigning.acting(REA):
        history = verify.read_history()
    assert history.problems == []
    assert any(f"{ROB}: alias set: {PRODUCTION}, alias champion" in line for line in history.lines)
    assert any("it sees kites" in line for line in history.lines)


def test_a_tag_of_a_model_that_looks_like_a_decision_harms_nothing(reigning: Team) -> None:
    with reigning.acting(TOM):
        reigning.client().set_registered_model_tag(NAME, schema.DECISION, "{}")
    assert problems(reigning) == []


def test_an_edited_line_and_a_missing_line_are_found(reigning: Team, ledger: Path) -> None:
    lines = ledger.read_bytes().splitlines(keepends=True)
    edited = json.dumps({**json.loads(lines[5]), "who": "somebody"}, sort_keys=True).encode() + b"\n"
    ledger.write_bytes(b"".join([*lines[:5], edited, *lines[6:]]))
    assert "Line 7 of the server's ledger does not follow" in " ".join(problems(reigning))
    ledger.write_bytes(b"".join([*lines[:5], *lines[6:]]))
    assert "Line 6 of the server's ledger does not follow" in " ".join(problems(reigning))


def test_a_tail_that_was_cut_off_is_found(reigning: Team, ledger: Path) -> None:
    noted = files.read_json("data/champion.json")["audit"]
    lines = ledger.read_bytes().splitlines(keepends=True)
    last = hash_chain.digests(hash_chain.lines(ledger)).index(noted)
    ledger.write_bytes(b"".join(lines[:last]))
    assert any("is gone: the log was cut off" in problem for problem in problems(reigning))


def test_a_decision_in_the_project_that_the_server_never_noted_is_found(reigning: Team) -> None:
    path = reigning.root / layout.AUDIT_LOG
    whole = path.read_bytes()
    entry = log.entries()[-1]
    try:
        log.append({**entry, "user": ROB, "reason": "I said so", "time": log.now()})
        assert (
            f"Line {len(log.entries())} of {layout.AUDIT_LOG} is a decision that the server's ledger lacks"
            in " ".join(problems(reigning))
        )
    finally:
        path.write_bytes(whole)
    assert problems(reigning) == []


@pytest.mark.parametrize("model", [NAME, PRODUCTION])
def test_a_forged_decision_is_found(reigning: Team, model: str) -> None:
    with closing(sqlite3.connect(reigning.home / layout.TEAM / "mlflow.db")) as database:
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
            assert any(f"No log has the decision on models:/{model}/1" in p for p in problems(reigning))
        finally:
            database.execute(f"DELETE FROM model_version_tags WHERE {where}", (model, schema.DECISION))
            if held:
                columns = "(name, version, key, value, workspace)"
                database.execute(
                    f"INSERT INTO model_version_tags {columns} VALUES (?, 1, ?, ?, 'default')",
                    (model, schema.DECISION, held[0]),
                )
            database.commit()


def test_an_alias_moved_in_the_database_is_found(reigning: Team) -> None:
    with closing(sqlite3.connect(reigning.home / layout.TEAM / "mlflow.db")) as database:
        where = f"name = '{PRODUCTION}' AND alias = 'champion'"
        [held] = database.execute(f"SELECT version FROM registered_model_aliases WHERE {where}").fetchone()
        try:
            database.execute(f"UPDATE registered_model_aliases SET version = 1 WHERE {where}")
            database.commit()
            assert any("moved without the log" in problem for problem in problems(reigning))
        finally:
            database.execute(f"UPDATE registered_model_aliases SET version = {held} WHERE {where}")
            database.commit()
