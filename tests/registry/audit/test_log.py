"""The audit: whole lines, a chain that shows tampering, and who decided."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sadcl import layout
from sadcl.errors import SadclError
from sadcl.registry.audit import log


def fill(root: Path, count: int) -> list[str]:
    for number in range(count):
        log.append({"to": str(number), "reason": "weil's besser ist: ß"}, root)
    return (root / layout.AUDIT_LOG).read_text(encoding="utf-8").splitlines(keepends=True)


def test_lines_come_back_as_they_were_written(tmp_path: Path) -> None:
    assert log.entries(tmp_path) == []
    fill(tmp_path, 3)
    assert [entry["to"] for entry in log.entries(tmp_path)] == ["0", "1", "2"]
    assert log.entries(tmp_path)[0] == {"to": "0", "reason": "weil's besser ist: ß"}
    assert log.broken(tmp_path) == []


def test_an_edited_line_and_a_missing_line_break_the_chain(tmp_path: Path) -> None:
    lines = fill(tmp_path, 4)
    path = tmp_path / layout.AUDIT_LOG
    edited = json.dumps({**json.loads(lines[1]), "to": "9"}, sort_keys=True, ensure_ascii=False) + "\n"
    path.write_text("".join([lines[0], edited, *lines[2:]]), encoding="utf-8")
    assert log.broken(tmp_path) == [3]
    path.write_text("".join([lines[0], *lines[2:]]), encoding="utf-8")
    assert log.broken(tmp_path) == [2]
    path.write_text("".join(lines[1:]), encoding="utf-8")
    assert log.broken(tmp_path) == [1]


def test_a_line_that_was_half_written_is_as_if_never_written(tmp_path: Path) -> None:
    lines = fill(tmp_path, 2)
    path = tmp_path / layout.AUDIT_LOG
    path.write_text(lines[0] + lines[1][:20], encoding="utf-8")
    assert [entry["to"] for entry in log.entries(tmp_path)] == ["0"]
    log.append({"to": "1", "reason": "weil's besser ist: ß"}, tmp_path)
    assert path.read_text(encoding="utf-8") == "".join(lines)


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: log.append({"to": str(n)}, tmp_path), range(50)))
    assert sorted(int(entry["to"]) for entry in log.entries(tmp_path)) == list(range(50))
    assert log.broken(tmp_path) == []


@pytest.mark.parametrize("text", ["no json\n", "[]\n"])
def test_a_foreign_line_is_refused_not_chained(tmp_path: Path, text: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / layout.AUDIT_LOG).write_text(text)
    with pytest.raises(SadclError, match="not JSON"):
        log.append({"to": "1"}, tmp_path)
    assert (tmp_path / layout.AUDIT_LOG).read_text() == text


def test_the_person_is_whom_git_knows(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "config", "user.name", "Ben"], cwd=tmp_path, check=True)
    subprocess.run(["git", "config", "user.email", "ben@example.org"], cwd=tmp_path, check=True)
    assert log.user(tmp_path) == "Ben <ben@example.org>"
    with open(tmp_path / ".git/config", "ab") as file:
        file.write("[user]\n\tname = Bén\n".encode("latin-1"))
    assert log.user(tmp_path) == "B\ufffdn <ben@example.org>"


def test_a_user_without_a_name_is_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run with a user id that has no name."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    assert log.user(tmp_path) == "uid 54321"
