"""The command `sadcl audit` on copies: with weights, bounds, hostile files."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sadcl import files
from sadcl.cli import app
from sadcl.errors import SadclError
from sadcl.registry import identity
from sadcl.registry.audit import bundle, bundle_check
from sadcl.registry.audit.replay import Model, Version
from sadcl.registry.audit.report import of_registry
from sadcl.signing import dsse, keys
from tests.registry.audit.signed_copies import Registry, problems
from tests.registry.audit.signed_copies import registry as registry


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
    weights.write_bytes(b"weights")
    (folder / "link").symlink_to(tmp_path, target_is_directory=True)
    status, output = audit("--bundle", str(path), "--files", str(folder))
    assert (status, f"{folder}/link is not read: it is a link to a folder outside." in output) == (1, True)
    (folder / "link").unlink()
    weights.unlink()
    assert audit("--bundle", str(path), "--files", str(folder))[0] == 2


def test_a_copy_that_nobody_could_read_is_not_written(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = {identity.BUNDLE: registry.text()}
    monkeypatch.setattr(identity, "ask", lambda route, root: routes.get(route))
    monkeypatch.setattr(bundle, "MAX_LINES", 3)
    with pytest.raises(SadclError, match="which nobody could read"):
        of_registry(tmp_path / "copy.jsonl", root=tmp_path)
    assert not (tmp_path / "copy.jsonl").exists()


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
