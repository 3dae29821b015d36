"""A copied registry checked without its server: a whole copy passes, and every change to it is refused."""

import json
import os
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sadcl import files
from sadcl.cli import app
from sadcl.errors import SadclError
from sadcl.registry import identity
from sadcl.registry.audit import bundle, bundle_check, hash_chain, signatures, verify
from sadcl.registry.audit.replay import Model, Version, shortened
from sadcl.registry.audit.report import of_registry
from sadcl.registry.audit.signatures import ROOT_INTRODUCED, SERVER
from sadcl.signing import dsse, keys
from sadcl.signing.keys import PrivateKey

TIME = "2026-01-02T03:04:05+00:00"
PINS = json.dumps({"model/artifacts/weights.safetensors": "a" * 64})
CRITERIA = json.dumps({"criteria": {"rules": ["x" * 3000]}, "reason": "ours"})
DECISION = json.dumps({"action": "promote", "reason": "weil's besser ist: ß" + "!" * 3000})


@dataclass
class Registry:
    """A ledger with its keys, and the state that the registry shows."""

    path: Path
    root: PrivateKey = field(default_factory=keys.generate)
    accounts: dict[str, PrivateKey] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)

    def write(self, account: str, key: PrivateKey | None, /, **entry: Any) -> None:
        sign = None if key is None else signatures.signer(key)
        hash_chain.append(self.path, {"time": TIME, "who": account, **entry}, sign)

    def introduce(self, *accounts: str) -> None:
        self.write(SERVER, self.root, what=ROOT_INTRODUCED, public_key=self.root.public.text)
        for account in accounts:
            self.accounts[account] = keys.generate()
            self.write(
                SERVER, self.root, what="key introduced", account=account, public_key=self.accounts[account].public.text
            )

    def act(self, account: str, what: str, /, **entry: Any) -> None:
        self.write(account, self.accounts[account], what=what, **entry)

    def text(self, root: PrivateKey | None = None) -> str:
        return bundle.compose(hash_chain.lines(self.path), self.models, root or self.root, TIME)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Tom's version was promoted by Rita; the line before that was about a change that failed."""
    registry = Registry(tmp_path / "ledger.jsonl")
    registry.introduce("tom", "rita")
    registry.act("rita", "model made", model="tiny-production", tags={"team": "kites"})
    criteria = {"model": "tiny-production", "key": "sadcl.criteria", "reason": "ours"}
    registry.act("rita", "model tagged", **criteria, **{"from": None, "to": shortened(CRITERIA)})
    tags = {"sadcl.files": PINS, "sadcl.verdict": "pass"}
    short = {key: shortened(value) for key, value in tags.items()}
    registry.act("tom", "version made", model="tiny", version="1", source="models:/m-1", tags=short)
    registry.act("tom", "alias set", model="tiny", alias="challenger", **{"from": None, "to": "1"})
    copy = {"model": "tiny-production", "version": "1"}
    registry.act("rita", "version made", **copy, source="models:/tiny/1", tags=short)
    registry.act("rita", "tag set", **copy, key="sadcl.verdict", **{"from": "pass", "to": "fail"})
    failed = hash_chain.digests(hash_chain.lines(registry.path)[-1:])[0]
    registry.act("rita", "not done", line=failed)
    registry.act("rita", "tag set", **copy, key="sadcl.decision", **{"from": None, "to": shortened(DECISION)})
    registry.act("rita", "alias set", model="tiny-production", alias="champion", **{"from": None, "to": "1"})
    production = Version("rita", "models:/tiny/1", {**tags, "sadcl.decision": DECISION})
    registry.models["tiny"] = Model({"challenger": "1"}, {"1": Version("tom", "models:/m-1", tags)})
    model_tags = {"team": "kites", "sadcl.criteria": CRITERIA}
    registry.models["tiny-production"] = Model({"champion": "1"}, {"1": production}, model_tags)
    return registry


def problems(text: str | bytes, pinned: str | None = None) -> list[str]:
    content = text if isinstance(text, bytes) else text.encode()
    try:
        return bundle_check.verify(bundle.parse(content, "copy.jsonl"), pinned).problems
    except SadclError as error:
        return [str(error)]


def edited(text: str, number: int, change: Callable[[str], str]) -> str:
    lines = text.split("\n")
    lines[number - 1] = change(lines[number - 1])
    return "\n".join(lines)


def test_a_whole_copy_passes_and_says_what_it_checks(registry: Registry) -> None:
    fingerprint = registry.root.public.fingerprint
    report = bundle_check.verify(bundle.parse(registry.text().encode(), "copy.jsonl"), fingerprint)
    assert report.problems == []
    assert any("alias set: tiny-production, alias champion" in line for line in report.history)
    assert not any("to fail" in line for line in report.history)
    summary = " ".join(report.summary)
    assert f"Root key: {fingerprint}, which you pinned." in summary
    assert "(12 are signed and right)" in summary
    assert "Not checked: files" in summary
    assert "anybody can make a root key" in " ".join(
        bundle_check.verify(bundle.parse(registry.text().encode(), "copy.jsonl")).summary
    )


def test_it_holds_no_private_key(registry: Registry) -> None:
    secrets = [key.to_pem().split("\n")[1] for key in (registry.root, *registry.accounts.values())]
    assert [secret for secret in secrets if secret in registry.text() or secret[-40:] in registry.text()] == []


def test_a_change_of_any_character_is_refused(registry: Registry) -> None:
    text = registry.text().encode()
    generator = random.Random(1)
    # in a line of each kind every character, elsewhere some
    ends = [match.end() for match in re.finditer(b"\n", text)]
    dense = {*range(ends[4], ends[5]), *range(ends[-5], ends[-3])}
    positions = sorted(dense | set(generator.sample(range(len(text)), 200)))
    for position in positions:
        other = bytes([text[position] ^ (1 << generator.randrange(7))])
        changed = text[:position] + other + text[position + 1 :]
        found = problems(changed)
        assert found, (position, text[position : position + 1], other)
        assert re.search(r"[Ll]ines? \d|The last line|has no line of", " ".join(found)), found


def test_every_cut_is_refused(registry: Registry) -> None:
    text = registry.text().encode()
    assert [length for length in range(0, len(text), 29) if not problems(text[:length])] == []
    assert problems(text[:-1]) == ["The last line of copy.jsonl is cut off. Copy the file again, or export it again."]


def test_a_line_that_is_missing_moved_or_repeated_is_named(registry: Registry) -> None:
    lines = registry.text().split("\n")
    for number in range(2, len(lines)):
        for other in (
            [*lines[: number - 1], *lines[number:]],
            [*lines[: number - 1], lines[number - 1], *lines[number - 1 :]],
            [*lines[: number - 1], lines[number], lines[number - 1], *lines[number + 1 :]],
        ):
            found = problems("\n".join(other))
            assert found, number
            assert re.search(r"[Ll]ines? \d|has no line of|The last line", " ".join(found)), found


def test_a_ledger_that_was_cut_off_names_the_missing_lines(registry: Registry) -> None:
    lines = registry.text().split("\n")
    found = problems("\n".join([*lines[:11], *lines[13:]]))
    signed = "Of copy.jsonl, the root key signed 12 lines of the ledger, and 10 are there"
    assert f"{signed}: lines 12 to 13 were cut off." in found


def test_another_root_key_is_refused_where_one_is_pinned(registry: Registry) -> None:
    pinned = registry.root.public.fingerprint
    other = Registry(registry.path.with_name("other.jsonl"), models={})
    other.introduce()
    assert problems(other.text()) == []
    assert f"not the pinned {pinned}" in problems(other.text(), pinned)[0]
    assert "signed with another root key than the ledger" in problems(registry.text(other.root))[0]


def test_a_line_in_another_name_and_one_of_an_unknown_key_are_refused(registry: Registry) -> None:
    registry.write("tom", registry.accounts["rita"], what="account deleted", username="rea")
    assert problems(registry.text()) == [
        "Line 14 of copy.jsonl names tom, but is not signed with the present key of that account."
    ]
    registry.write("rea", unknown := keys.generate(), what="account deleted", username="tom")
    assert problems(registry.text())[1] == (
        f"Line 15 of copy.jsonl is signed with an unknown key, {unknown.public.fingerprint}."
    )
    registry.write(SERVER, registry.accounts["tom"], what="key introduced", account="rea", public_key="")
    assert "names the server, but is not signed" in problems(registry.text())[2]


def test_an_account_can_introduce_neither_a_key_nor_a_root(registry: Registry) -> None:
    public = keys.generate().public.text
    registry.act("tom", "key introduced", account="rita", public_key=public)
    registry.act("tom", "root key introduced", public_key=public)
    registry.write(SERVER, registry.root, what="root key introduced", public_key=public)
    assert problems(registry.text()) == [
        "Line 14 of copy.jsonl introduces a key that the root key does not vouch for.",
        "Line 15 of copy.jsonl introduces another root key.",
        "Line 16 of copy.jsonl introduces another root key.",
    ]


def test_a_newer_key_of_an_account_replaces_the_older(registry: Registry) -> None:
    older, newer = registry.accounts["tom"], keys.generate()
    registry.write(SERVER, registry.root, what="key introduced", account="tom", public_key=newer.public.text)
    registry.write("tom", newer, what="account deleted", username="rea")
    assert problems(registry.text()) == []
    registry.write("tom", older, what="account deleted", username="rea")
    assert "Line 16 of copy.jsonl names tom" in problems(registry.text())[0]


def test_lines_from_before_signatures_are_unsigned_and_not_forged(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "ledger.jsonl")
    registry.write("tom", None, what="version made", model="tiny", version="2", source="models:/m-2")
    registry.write("tom", None, what="tag set", model="tiny", version="2", key="sadcl.verdict", to="pass")
    registry.introduce("tom")
    versions = {
        "1": Version("", "models:/m-1", {}),
        "2": Version("tom", "models:/m-2", {"sadcl.verdict": "pass", "a": "b"}),
    }
    registry.models["tiny"] = Model({"challenger": "1"}, versions)
    report = bundle_check.verify(bundle.parse(registry.text().encode(), "copy.jsonl"))
    assert report.problems == []
    assert "The first 2 lines are unsigned" in " ".join(report.summary)
    assert "in part only: models:/tiny/1, models:/tiny/2." in " ".join(report.summary)
    assert (
        "does not follow from line 2"
        in problems(edited(registry.text(), 2, lambda line: line.replace("tom", "rob")))[0]
    )
    registry.write("tom", None, what="account deleted", username="rea")
    assert problems(registry.text()) == ["Line 6 of copy.jsonl has no signature, though lines before it have one."]


def test_a_state_that_does_not_follow_from_the_ledger_is_refused(registry: Registry) -> None:
    """Signed by the root key all the same: the database was edited, and the server copied it."""
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
    """As somebody leaves it who may write the database: the criteria decide which models pass."""
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
    """As somebody inserts it who may write the database: the model's line has all tags, so it is from the ledger."""
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


def test_deletions_follow_from_the_ledger(registry: Registry) -> None:
    registry.act("tom", "version deleted", model="tiny", version="01")
    registry.models["tiny"] = Model()
    registry.act("tom", "tag deleted", model="tiny-production", version="1", key="sadcl.verdict")
    del registry.models["tiny-production"].versions["1"].tags["sadcl.verdict"]
    registry.act("rita", "alias deleted", model="tiny-production", alias="champion")
    registry.models["tiny-production"].aliases.clear()
    assert problems(registry.text()) == []


def hostile_texts(registry: Registry) -> Mapping[str, bytes]:
    lines = registry.text().encode().split(b"\n")
    key = keys.generate()
    head = dsse.envelope(bundle.PAYLOAD_TYPE, b"[" * 100_000, key).encode()
    return {
        "nothing": b"",
        "one empty line": b"\n",
        "empty lines": b"\n" * 1000,
        "no text": os.urandom(4000) + b"\n",
        "deep": b"[" * 1_000_000 + b"\n",
        "deep in the head": head + b"\n",
        "deep in the ledger": b"\n".join([lines[0], b'{"a":' * 100_000, *lines[2:]]),
        "deep in the registry": b"\n".join([*lines[:-2], b'{"registry": ' * 100_000, b""]),
        "long number": b"\n".join([lines[0], b'{"a": ' + b"9" * 10_000 + b"}", *lines[2:]]),
        "half a surrogate pair": b"\n".join([lines[0], b'{"a": "\\ud800"}', *lines[2:]]),
        "another object": b"\n".join([lines[0], b"{}", b"[]", b"1", b"null", *lines[2:]]),
    }


def test_a_hostile_copy_is_a_sentence(registry: Registry) -> None:
    for name, text in hostile_texts(registry).items():
        assert problems(text), name


def test_a_hostile_copy_with_right_signatures_is_a_sentence(tmp_path: Path) -> None:
    """Anybody can sign lines of another form with a root key of their own."""
    registry = Registry(tmp_path / "ledger.jsonl")
    registry.introduce("tom")
    for entry in (
        {"what": "version made"}, {"what": "tag set", "model": "tiny", "version": "1", "to": None},
        {"what": "version made", "model": "tiny", "version": "1", "tags": "text"}, {"what": "not done"},
        {"what": "model renamed"}, {"what": "alias set"}, {"what": "alias deleted", "alias": {"a": "b"}},
        {"what": "\u202e\nThe copy is whole. \x1b[2J", "action": "promote", "to": "1"},
        {"what": "tag set", "to": "[" * 100_000},
    ):  # fmt: skip
        registry.write("tom", registry.accounts["tom"], **entry)
    registry.models["tiny"] = Model({}, {"\u202e": Version("tom", "", {"sadcl.files": "[" * 100_000})})
    report = bundle_check.verify(bundle.parse(registry.text().encode(), "copy.jsonl"))
    assert report.problems
    printed = [*report.history, *report.problems, *report.summary]
    assert [line for line in printed if not line.isprintable()] == []


def audit(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["audit", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        assert isinstance(result.exception, SadclError), result.exception
        return 2, str(result.exception)
    return result.exit_code, result.output


def test_the_command_needs_no_project(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "copy.jsonl"
    path.write_text(registry.text())
    fingerprint = registry.root.public.fingerprint
    status, output = audit("--bundle", str(path), "--key", fingerprint)
    assert (status, "The copy is whole. Entries: 10." in output) == (0, True), output
    status, output = audit("--bundle", str(path), "--key", "0" * 64)
    assert (status, "not the pinned" in output, "whole" in output.replace("whole copy", "")) == (1, True, False)
    assert audit("--bundle", str(path), "--key", fingerprint[:12])[0] == 2
    assert audit("--bundle", str(tmp_path / "missing"))[0] == 2
    assert audit("--bundle", str(tmp_path))[0] == 2
    assert audit("--files", str(tmp_path))[0] == 2
    assert audit("--bundle", str(path), "--export", str(path))[0] == 2


def test_weights_are_compared_with_their_digests(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "copied files"
    (folder / "deep").mkdir(parents=True)
    weights = folder / "deep/weights.safetensors"
    weights.write_bytes(b"weights")
    pins = json.dumps({"model/artifacts/weights.safetensors": files.digest(weights)})
    tags = {"sadcl.files": pins}
    registry.act("rita", "version made", model="tiny-production", version="2", source="models:/tiny/1", tags=tags)
    registry.act("rita", "alias set", model="tiny-production", alias="champion", to="2")
    registry.models["tiny-production"].versions["2"] = Version("rita", "models:/tiny/1", tags)
    registry.models["tiny-production"].aliases = {"champion": "2"}
    path = tmp_path / "copy.jsonl"
    path.write_text(registry.text())
    status, output = audit("--bundle", str(path), "--files", str(folder))
    assert status == 0, output
    expected = "is model/artifacts/weights.safetensors of models:/tiny-production/2 (champion)."
    assert expected in output
    weights.write_bytes(b"Weights")
    status, output = audit("--bundle", str(path), "--files", str(folder))
    assert (status, f"{weights} is the file of no version in the bundle." in output) == (1, True)
    weights.unlink()
    assert audit("--bundle", str(path), "--files", str(folder))[0] == 2


def test_a_file_beyond_the_bounds_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "copy.jsonl"
    with open(path, "wb") as file:
        file.truncate(bundle.MAX_BYTES + 1)
    assert "so it is not read" in audit("--bundle", str(path))[1]
    path.write_bytes(b"\n" * (bundle.MAX_LINES + 1))
    assert "so it is not read" in audit("--bundle", str(path))[1]


def test_a_registry_in_a_file_signs_no_copy(registered: Path, tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="nobody signs a copy of it"):
        of_registry(export=tmp_path / "copy.jsonl")
    assert not (tmp_path / "copy.jsonl").exists()
