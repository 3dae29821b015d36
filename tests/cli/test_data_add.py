"""`sadcl data add` on the command line: options, questions on a terminal, and refusals without one."""

import fcntl
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sadcl.cli import app
from sadcl.data.onboarding.detect import detect_source
from sadcl.errors import SadclError
from tests.data.onboarding.folders import half_labelled, labels_column

RUNNER = CliRunner(env={"COLUMNS": "80", "TERM": "dumb"})


def preview(*words: str) -> str:
    result = RUNNER.invoke(app, ["data", "add", *words, "--name", "mine", "--dry-run"])
    if isinstance(result.exception, SadclError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_without_a_terminal_options_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = str(half_labelled(tmp_path / "source"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    with pytest.raises(SadclError, match="--unlabelled unknown, drop or negative"):
        preview(source)
    assert "they are dropped" in preview(source, "--unlabelled", "drop")
    assumed = preview(source, "--yes")
    assert "as if labelling had stopped there: they are not labelled yet: keep them" in assumed
    assert "they count as not labelled yet" in assumed
    assert not list(Path().iterdir())


def test_a_dry_run_shows_the_preview_before_what_is_undecided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = RUNNER.invoke(app, ["data", "add", str(half_labelled(tmp_path / "s")), "--name", "mine", "--dry-run"])
    assert "Classes     1" in result.output
    assert "Undecided: 6 of 12 photos have no label" in result.output
    assert isinstance(result.exception, SadclError)
    assert "Decide with --unlabelled unknown, drop or negative" in str(result.exception)


def test_words_for_separators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = str(labels_column(tmp_path / "source", ("red apple", "green apple", "red car", "green car")))
    assert "Classes     4" in preview(source, "--separator", "space")
    assert "green apple" in preview(source, "--separator", "none")


def test_all_open_questions_come_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = ("red apple", "green apple", "red car", "green car", *[""] * 6)
    source = str(labels_column(tmp_path / "source", cells))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    result = RUNNER.invoke(app, ["data", "add", source, "--name", "mine"])
    output = " ".join(result.output.split())
    assert "1. 'red apple' may be one label or several" in output
    assert "Decide with --separator none or --separator space" in output
    assert "2. 6 of 10 photos have no label, all at the end" in output
    assert "Decide with --unlabelled unknown, drop or negative" in output
    assert isinstance(result.exception, SadclError)
    assert str(result.exception).startswith("2 questions are open.")
    assert not list(Path().iterdir())
    assert "Classes     4" in preview(source, "--separator", "none", "--unlabelled", "drop")
    with pytest.raises(SadclError, match=r"2 questions are open. 1. 'red apple'.* 2. 6 of 10 photos"):
        detect_source(Path(source))


def test_a_terminal_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answered = on_terminal(
        ["data", "add", str(half_labelled(tmp_path / "source")), "--name", "mine", "--dry-run"], "7\n3\n"
    )
    assert "6 of 12 photos have no label" in answered
    assert "Type a number from 1 to 3." in answered
    assert "2. they are not labelled yet: drop them" in answered
    assert "they count as showing none of the classes" in " ".join(answered.split())


@pytest.mark.parametrize("typed", ["\x03", "\x04"])
def test_an_interrupted_question_adds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    source = half_labelled(tmp_path / "source")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    words = ["data", "add", str(source), "--name", "mine"]
    output = on_terminal(words, typed, after="Which one", status=130)
    assert output.count("sadcl: Interrupted. Nothing was added.") == 1
    assert "Traceback" not in output
    assert "Abort" not in output
    assert not list(Path().iterdir())


def test_an_interrupted_copy_leaves_nothing_of_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = labels_column(tmp_path / "source", ("cup", "plate", "bowl"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    copied: list[str] = []

    def copy(photo: Path, target: Path) -> None:
        copied.append(photo.name)
        target.write_bytes(photo.read_bytes())
        if len(copied) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(shutil, "copyfile", copy)
    result = RUNNER.invoke(app, ["data", "add", str(source), "--name", "mine"])
    assert result.exit_code == 130, result.output
    assert "sadcl: Interrupted. Nothing was added." in result.output
    assert len(copied) == 2
    assert [path.name for path in Path("data/raw").iterdir() if path.name != ".gitignore"] == []
    assert not Path("recipes/mine.yaml").exists()
    assert not Path("params.yaml").exists()


def on_terminal(words: Sequence[str], typed: str, after: str = "", status: int = 0) -> str:
    """Output of a command in a terminal into which text is typed, after some output, which ends with a status."""
    terminal, end = pty.openpty()
    with os.fdopen(end, "r+b", buffering=0) as child_end:
        command = [sys.executable, "-c", "from sadcl.cli import main; main()", *words]
        child = subprocess.Popen(
            command, stdin=child_end, stdout=child_end, stderr=child_end, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
    output = b""
    if not after:
        os.write(terminal, typed.encode())
    try:
        while True:
            # typed again while the command waits: it may not have begun to read when the first key came
            if not select.select([terminal], [], [], 10)[0]:
                os.write(terminal, typed.encode())
                continue
            if not (data := os.read(terminal, 4096)):
                break
            output += data
            if after and after in output.decode(errors="replace"):
                os.write(terminal, typed.encode())
                after = ""
    except OSError:  # Linux reports the end of a terminal as an error
        pass
    os.close(terminal)
    assert child.wait(120) == status, output.decode()
    return output.decode()
