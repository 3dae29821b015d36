"""A copy of the registry whose state must follow from its ledger."""

from pathlib import Path

import pytest

from sadcl.registry import identity
from sadcl.registry.audit import bundle, bundle_check, hash_chain, verify
from sadcl.registry.audit.replay import Model, Version, shortened
from tests.registry.audit.signed_copies import CRITERIA, Registry, problems
from tests.registry.audit.signed_copies import registry as registry


def test_a_state_that_does_not_follow_from_the_ledger_is_refused(registry: Registry) -> None:
    """The root key signs such a state all the same: the database was edited, and the server copied it."""
    version = registry.models["tiny"].versions["1"]
    version.tags["sadcl.verdict"], version.tags["new"] = "fail", "tag"
    version.author = "rob"
    registry.models["tiny"].versions["2"] = Version("tom", "models:/m-2", {})
    registry.models["tiny-production"].aliases = {"previous": "1"}
    registry.models["tiny-production"].versions["1"].tags["sadcl.decision"] += " "
    changed, added = (
        "is not the one that the ledger has: it was changed without the ledger.",
        "No line of the ledger sets",
    )
    assert problems(registry.text()) == [
        "The author of models:/tiny/1 is rob, but tom in the ledger.",
        f"{added} the tag new of models:/tiny/1.",
        f"The tag sadcl.verdict of models:/tiny/1 {changed}",
        "No line of the ledger creates models:/tiny/2.",
        "The alias champion of tiny-production is on no version, but on version 1 in the ledger: "
        "it was moved without the ledger.",
        "The alias previous of tiny-production is on version 1, but on no version in the ledger: "
        "it was moved without the ledger.",
        f"The tag sadcl.decision of models:/tiny-production/1 {changed}",
    ]
    del registry.models["tiny"].versions["1"]
    assert "models:/tiny/1 is missing, and no line of the ledger deletes it." in problems(registry.text())


def test_a_tag_of_a_model_that_does_not_follow_from_the_ledger_is_named(registry: Registry) -> None:
    """Whoever may write the database could change the criteria, which decide which models pass."""
    tags = registry.models["tiny-production"].tags
    tags["sadcl.criteria"] = CRITERIA.replace("ours", "easier")
    assert problems(registry.text()) == [
        "The tag sadcl.criteria of tiny-production is not the one that the ledger has: "
        "it was changed without the ledger."
    ]
    del tags["sadcl.criteria"], tags["team"]
    missing = "of tiny-production is missing, and no line of the ledger deletes it."
    assert problems(registry.text()) == [f"The tag sadcl.criteria {missing}", f"The tag team {missing}"]
    tags |= {"sadcl.criteria": CRITERIA, "team": "kites", "sadcl.more": "", "more": ""}
    added = "No line of the ledger sets the tag"
    assert problems(registry.text()) == [f"{added} more of tiny-production.", f"{added} sadcl.more of tiny-production."]
    registry.models["tiny"].tags["sadcl.criteria"] = CRITERIA
    assert f"{added} sadcl.criteria of tiny." in problems(registry.text())


def test_tags_of_a_model_follow_from_the_ledger(registry: Registry) -> None:
    tag = {"model": "tiny-production", "key": "sadcl.criteria", "from": shortened(CRITERIA)}
    registry.act("rita", "model tagged", **tag, to="others")
    registry.act("rita", "model untagged", model="tiny-production", key="team")
    registry.act("tom", "model tagged", model="tiny", key="old", value="as version 0.1 wrote it")
    registry.models["tiny-production"].tags = {"sadcl.criteria": "others"}
    registry.models["tiny"].tags = {"old": "as version 0.1 wrote it"}
    assert problems(registry.text()) == []


def test_a_version_without_author_is_no_older_one_in_a_model_that_the_ledger_creates(registry: Registry) -> None:
    """Whoever may write the database could insert one: the model's line has all tags, so it is from the ledger."""
    production = registry.models["tiny-production"]
    production.versions["2"] = Version("", "models:/tiny/1", {})
    production.aliases["spare"] = "2"
    assert problems(registry.text()) == [
        "The alias spare of tiny-production is on version 2, but on no version in the ledger: "
        "it was moved without the ledger.",
        "No line of the ledger creates models:/tiny-production/2.",
    ]


def test_the_history_says_which_versions_are_checked_in_part_only(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.models["old\n"] = Model({}, {"1": Version("", "models:/m-0", {})})
    routes = {identity.BUNDLE: registry.text()}
    monkeypatch.setattr(identity, "ask", lambda route, root: routes.get(route))
    history = verify.read_history(tmp_path)
    assert history.problems == []
    assert history.signatures[0] == (
        r"Registered before the ledger held all tags, so checked in part only: models:/old\n/1."
    )


EDITED_LINES = [
    b"{}",
    b"[]",
    b"x",
    b'{"time": 1, "what": "tag set", "who": "tom"}',
    b'{"time": "x", "what": ["tag set"], "who": "tom"}',
    b'{"time": "x", "what": "tag set", "key": "sadcl.decision", "who": "tom"}',
    b'{"time": "x", "what": "alias set", "model": "tiny-production", "alias": "champion", "who": "tom"}',
]


@pytest.mark.parametrize("line", EDITED_LINES)
def test_the_history_names_an_edited_line_of_any_form(
    registry: Registry, line: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = hash_chain.lines(registry.path)
    registry.path.write_bytes(b"".join(each + b"\n" for each in [*lines[:6], line, *lines[7:]]))
    routes = {identity.BUNDLE: registry.text()}
    monkeypatch.setattr(identity, "ask", lambda route, root: routes.get(route))
    assert any("Line 7 of the server's ledger" in problem for problem in verify.read_history(tmp_path).problems)


def test_tags_that_a_model_was_created_with_before_lines_had_them_are_unchecked(registry: Registry) -> None:
    registry.models["tiny"].tags = {"team": "kites"}
    report = bundle_check.verify(bundle.parse(registry.text().encode(), "copy.jsonl"))
    assert report.problems == []
    assert "in part only: models:/tiny." in " ".join(report.summary)


def test_a_model_that_was_deleted_in_the_database_is_named(registry: Registry) -> None:
    del registry.models["tiny-production"]
    assert problems(registry.text()) == ["The model tiny-production is missing, and no line of the ledger deletes it."]
    del registry.models["tiny"]
    assert "The model tiny is missing, and no line of the ledger deletes it." in problems(registry.text())


@pytest.mark.parametrize("number", ["1", "01", "+1", " 1"])
def test_deletions_follow_from_the_ledger(registry: Registry, number: str) -> None:
    registry.act("tom", "version deleted", model="tiny", version=number)
    registry.models["tiny"] = Model()
    registry.act("tom", "tag deleted", model="tiny-production", version="1", key="sadcl.verdict")
    del registry.models["tiny-production"].versions["1"].tags["sadcl.verdict"]
    registry.act("rita", "alias deleted", model="tiny-production", alias="champion")
    registry.models["tiny-production"].aliases.clear()
    assert problems(registry.text()) == []
