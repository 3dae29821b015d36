"""What is shown about a registry in the project: whole, or what is wrong with it."""

import json
from pathlib import Path

import pytest

from sadcl import files, layout
from sadcl.errors import SadclError
from sadcl.project.overview import describe_registry
from sadcl.registry import schema
from sadcl.registry.audit import log, verify
from sadcl.registry.client import connect
from sadcl.registry.promote import promote, reject, rollback
from sadcl.registry.publish import publish
from sadcl.registry.sync import sync


def test_every_decision_is_shown_and_nothing_is_wrong(promoted: Path) -> None:
    promote(2, "better")
    rollback("worse after all")
    history = verify.read_history()
    assert history.problems == []
    assert [line.partition(": ")[2] for line in history.lines] == [
        "promote models:/tiny/1 as tiny-production version 1: the first",
        "promote models:/tiny/2 as tiny-production version 2: better",
        "rollback models:/tiny/1 as tiny-production version 1: worse after all",
    ]


def test_a_project_without_decisions_has_no_history(project: Path) -> None:
    history = verify.read_history()
    assert (history.lines, history.problems) == ([], [])
    assert history.signatures == ["data/audit.jsonl is not signed: this registry has no server that knows accounts."]


def test_an_edited_line_a_missing_line_and_a_cut_tail_are_found(promoted: Path) -> None:
    promote(2, "better")
    rollback("worse after all")
    lines = layout.AUDIT_LOG.read_bytes().splitlines(keepends=True)
    edited = json.dumps({**json.loads(lines[1]), "user": "Ben"}, sort_keys=True).encode() + b"\n"
    for left, words in (
        ([lines[0], edited, lines[2]], "Line 3 of data/audit.jsonl does not follow"),
        ([lines[0], lines[2]], "Line 2 of data/audit.jsonl does not follow"),
        (lines[:2], "the log was cut off"),
    ):
        layout.AUDIT_LOG.write_bytes(b"".join(left))
        assert words in " ".join(verify.read_history().problems)


def test_repairing_the_files_does_not_hide_a_cut_tail(promoted: Path) -> None:
    promote(2, "better")
    rollback("worse after all")
    layout.AUDIT_LOG.write_bytes(layout.AUDIT_LOG.read_bytes().splitlines(keepends=True)[0])
    sync()
    assert "the log was cut off" in " ".join(verify.read_history().problems)


def test_a_forged_decision_is_found(promoted: Path) -> None:
    with connect() as client:
        decided = json.loads(client.get_model_version("tiny-production", "1").tags[schema.DECISION])
        text = json.dumps({**decided, "user": "Ben", "reason": "I never said that"})
        client.set_model_version_tag("tiny-production", "1", schema.DECISION, text)
    [problem] = verify.read_history().problems
    assert problem.startswith("No log has the decision on models:/tiny-production/1")


def test_an_alias_moved_past_the_audit_is_found_until_sync_notes_it(promoted: Path) -> None:
    promote(2, "better")
    with connect() as client:
        client.set_registered_model_alias("tiny-production", "champion", "1")
    assert "moved without the log" in " ".join(verify.read_history().problems)
    sync()
    assert verify.read_history().problems == []


def test_a_rejection_takes_the_challenge_away_until_another_verdict(promoted: Path) -> None:
    with pytest.raises(SadclError, match="needs a reason"):
        reject(2, " ")
    assert reject(2, "it tags kites as cats").words == "Version 2 of tiny is rejected. Commit data/audit.jsonl."
    assert describe_registry()[1] == "There is no challenger."
    for act in (lambda: reject(2, "again"), lambda: promote(2, "I like it")):
        with pytest.raises(SadclError, match=r"rejected by Ann <ann@example\.org>: it tags kites as cats"):
            act()
    with pytest.raises(SadclError, match="is the champion already"):
        reject(1, "why not")
    last = log.entries()[-1]
    assert (last["action"], last["challenger"], last["user"]) == ("reject", "models:/tiny/2", "Ann <ann@example.org>")
    assert verify.read_history().problems == []
    assert sync() is False
    publish()
    assert describe_registry()[1] == "There is no challenger."
    files.write_json(
        "reports/verdict.json", {**files.read_json("reports/verdict.json"), "words": "It was judged anew."}
    )
    publish()
    assert promote(2, "now it is better").source == "models:/tiny/2"
    assert verify.read_history().problems == []


def test_words_of_others_are_escaped(promoted: Path) -> None:
    promote(2, "fine\nWhole: 12 lines \u202eenil")
    lines = verify.read_history().lines
    assert len(lines) == 2
    assert lines[-1].endswith(r"fine\nWhole: 12 lines \u202eenil")


def test_a_record_of_another_champion_and_other_files_are_found(promoted: Path) -> None:
    promote(2, "better")
    assert verify.read_history().problems == []
    record, weights = layout.CHAMPION.read_text(), layout.CHAMPION_FOLDER / "weights.safetensors"
    files.write_json(layout.CHAMPION, {**json.loads(record), "version": "1"})
    [problem] = verify.read_history().problems
    assert problem == (
        "data/champion.json names tiny-production version 1, and is not the record of the champion, "
        "models:/tiny-production/2; `sadcl sync` restores it."
    )
    layout.CHAMPION.write_text(record)
    content = weights.read_bytes()
    weights.unlink()  # as in a clone before `dvc pull`
    assert verify.read_history().problems == []
    weights.write_bytes(content[:-1] + b"?")
    assert verify.read_history().problems == [
        "data/champion/weights.safetensors is not the champion's file; `sadcl sync` restores it."
    ]
    sync()
    assert verify.read_history().problems == []


def test_a_champion_without_its_line_in_the_log_is_found(promoted: Path) -> None:
    layout.AUDIT_LOG.unlink()
    assert any("lacks the decision that made models:/tiny-production/1" in p for p in verify.read_history().problems)
