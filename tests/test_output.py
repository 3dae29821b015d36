"""What a command prints: its own lines, in any terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOISE = """
import logging, sys, warnings
from sadcl.progress import prepare_output, say
prepare_output()
warnings.warn("warned")
logging.getLogger("library").error("logged", exc_info=ValueError("traceback"))
say("猫 \\udcff")
print("sadcl: one sentence", file=sys.stderr)
"""


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", NOISE], env={**os.environ, **variables}, text=True, capture_output=True, check=True
    )


def test_warnings_and_log_lines_of_libraries_are_hidden() -> None:
    done = run(PYTHONIOENCODING="utf-8")
    assert done.stderr == "sadcl: one sentence\n"
    assert done.stdout == "猫 \\udcff\n"


def test_warnings_and_log_lines_of_libraries_are_shown_on_request() -> None:
    assert {"warned", "logged"} <= set(run(PYTHONWARNINGS="default").stderr.replace(":", " ").split())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_that_lacks_a_letter_shows_its_code(encoding: str) -> None:
    assert run(PYTHONIOENCODING=encoding).stdout == "\\u732b \\udcff\n"


LONG = """
import subprocess, sys
from pathlib import Path
from sadcl.progress import prepare_output, say
prepare_output()
for i in range(100_000):
    say(f"line {i}")
subprocess.run([sys.executable, "-c", "print('from a child', flush=True)"], check=True)
Path(sys.argv[1]).write_text("done")
"""


def test_a_reader_that_leaves_early_does_not_end_the_work(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LONG, str(tmp_path / "file")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "line 0\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert (tmp_path / "file").read_text() == "done"
