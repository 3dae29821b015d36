"""Signed copies of the registry: every change, cut and forged line is named."""

import random
import re
from pathlib import Path

from sadcl.registry.audit import bundle, bundle_check
from sadcl.registry.audit.replay import Model, Version
from sadcl.registry.audit.signatures import SERVER
from sadcl.signing import keys
from tests.registry.audit.signed_copies import Registry, edited, problems
from tests.registry.audit.signed_copies import registry as registry


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


def test_a_copy_holds_no_private_key(registry: Registry) -> None:
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
        messages = problems(changed)
        assert messages, (position, text[position : position + 1], other)
        assert re.search(r"[Ll]ines? \d|The last line|has no line of", " ".join(messages)), messages


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
            messages = problems("\n".join(other))
            assert messages, number
            assert re.search(r"[Ll]ines? \d|has no line of|The last line", " ".join(messages)), messages


def test_a_ledger_that_was_cut_off_names_the_missing_lines(registry: Registry) -> None:
    lines = registry.text().split("\n")
    messages = problems("\n".join([*lines[:11], *lines[13:]]))
    signed = "Of copy.jsonl, the root key signed 12 lines of the ledger, and 10 are there"
    assert f"{signed}: lines 12 to 13 were cut off." in messages


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
