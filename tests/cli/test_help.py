"""Help, version, shell completion and hints of the command line."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sadcl import __version__
from sadcl.cli import app

GROUPS = {
    "Project": ["init", "recipe", "demo", "status", "doctor", "clean", "open"],
    "Data": ["data"],
    "Training and use": ["tune", "join", "predict", "attention", "embed", "export", "import-checkpoint"],
    "Registry": ["register", "verdict", "promote", "criteria", "verify", "reject", "rollback", "audit", "sync"],
    "Team": ["up", "down", "user"],
}
COMMANDS = [*(name for names in GROUPS.values() for name in names if name not in ("data", "user")),
            *(f"data {name}" for name in ("scenes", "add", "accept", "report", "fetch", "subset", "voc-submission")),
            *(f"user {name}" for name in ("add", "list", "prefect"))]  # fmt: skip
SADCL = "import sys; sys.argv[0] = 'sadcl'; from sadcl.cli import main; main()"


def printed(*words: str, **variables: str) -> str:
    result = CliRunner(env={"COLUMNS": "120", "TERM": "dumb", **variables}).invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.output


def test_version() -> None:
    assert printed("--version") == f"sadcl {__version__}\n"


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_the_commands_in_groups(option: str) -> None:
    groups: dict[str, list[str]] = {}
    for line in printed(option).splitlines():
        if title := re.match(r"╭─ (.+?) ─", line):
            groups[title[1]] = []
        elif command := re.match(r"│ ([a-z]\S*) ", line):
            groups[list(groups)[-1]].append(command[1])
    assert {title: names for title, names in groups.items() if title != "Options"} == GROUPS
    assert list(groups) == ["Options", *GROUPS]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_short_help(command: str) -> None:
    text = printed(*command.split(), "-h")
    assert re.search(r"^ +[A-Z][^│]+\.", text, re.MULTILINE)
    assert all(name.isupper() for name in re.findall(r"{(\w+)}", text))  # arguments, such as VERSION


def test_shell_completion_knows_commands_and_options(tmp_path: Path) -> None:
    """The script that ``sadcl --install-completion`` installs asks like this."""
    for words, expected in (("sadcl pro", "promote"), ("sadcl data sub", "subset"), ("sadcl tune --wo", "--workers")):
        asked = {"_SADCL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        completed = subprocess.run(
            [sys.executable, "-c", SADCL], cwd=tmp_path, env={**os.environ, **asked}, text=True, capture_output=True,
            check=False,
        )  # fmt: skip
        assert completed.stdout.split() == [expected], completed.stderr
    assert "--install-completion" in printed("--help")


def test_hints_appear_on_a_terminal_only(template: Path) -> None:
    command = [sys.executable, "-c", SADCL, "init"]
    piped = subprocess.run(command, cwd=template, text=True, capture_output=True, check=True).stdout
    assert piped == "This folder is a project already.\n"
    assert "Next: `sadcl data add" in on_a_terminal(command, template)


def on_a_terminal(command: list[str], folder: Path) -> str:
    """Output of a command whose stdout is a terminal."""
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as terminal:
        with os.fdopen(slave, "wb") as stdout:
            child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=stdout)
        output = b""
        try:
            while chunk := terminal.read(1024):
                output += chunk
        except OSError:  # Linux reports the end of a terminal so
            pass
        assert child.wait(120) == 0
    return output.decode()
