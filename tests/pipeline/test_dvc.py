"""The command dvc on a tiny project: runs, failures, kills, and the remote."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from sadcl import pipeline
from sadcl.errors import SadclError
from sadcl.pipeline.dvc import environment
from tests.pipeline.conftest import PIPELINE, WRITE

SLOW = """
import os, time
from pathlib import Path
from sadcl import processes
processes.end_with_parents(0.05)
Path("pid").write_text(str(os.getpid()))
time.sleep(60)
"""

SIGNS = [signal.SIGKILL, *(pytest.param(sign, marks=pytest.mark.slow) for sign in (signal.SIGTERM, signal.SIGINT))]

REFUSES = """
import sys
print("three: looks around")
print("three: The photo is broken (a.jpg). Remove it.", file=sys.stderr)
sys.exit(2)
"""


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Poll with a deadline: how long a machine takes is no part of any test."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def running(root: Path) -> psutil.Process:
    """Process of the slow stage, after it wrote its pid."""
    wait_for(lambda: (root / "pid").exists() and (root / "pid").read_text() != "")
    return psutil.Process(int((root / "pid").read_text()))


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_reproduce_runs_stale_stages_only(fresh: Path) -> None:
    lines: list[str] = []
    first = pipeline.reproduce(root=fresh, line=lines.append)
    assert first.ran
    assert (fresh / "three.txt").read_text() == "sourceonetwothree"
    assert first.last_line == "three: done"
    assert "one: reads source.txt" in lines
    assert not [line for line in lines if "git add" in line or line.startswith(">")]
    assert pipeline.stale(fresh) == {}
    second = pipeline.reproduce(root=fresh)
    assert (second.ran, second.output) == (False, "")


def test_reproduce_single_ignores_dependencies(done: Path) -> None:
    (done / "source.txt").write_text("new")
    assert not pipeline.reproduce("two", single=True, root=done).ran
    assert pipeline.reproduce("one", single=True, root=done).ran
    assert pipeline.stale(done)["two"] == ["one.txt modified"]


def test_reproduce_restores_an_earlier_result_from_the_cache(done: Path) -> None:
    before = pipeline.lock_digest(done)
    (done / "source.txt").write_text("new")
    pipeline.reproduce(root=done)
    assert pipeline.lock_digest(done) != before
    (done / "source.txt").write_text("source")
    (done / "one.py").write_text((done / "one.py").read_text())
    assert pipeline.reproduce(root=done).ran
    assert pipeline.lock_digest(done) == before


def test_error_of_a_stage_is_its_last_line(done: Path) -> None:
    (done / "three.py").write_text(REFUSES)
    with pytest.raises(pipeline.StageError) as caught:
        pipeline.reproduce(root=done)
    assert str(caught.value) == "three: The photo is broken (a.jpg). Remove it."
    assert (caught.value.stage, caught.value.status, caught.value.retry_may_help) == ("three", 2, False)


def test_crash_of_a_stage_may_be_retried(done: Path) -> None:
    (done / "three.py").write_text("raise OSError('the network is away')")
    with pytest.raises(pipeline.StageError, match="the network is away") as caught:
        pipeline.reproduce(root=done)
    assert caught.value.retry_may_help


def test_stage_without_its_output(fresh: Path) -> None:
    (fresh / "aside.py").write_text("print('aside: does nothing')")
    with pytest.raises(pipeline.StageError, match=r"aside: output 'aside.txt' does not exist"):
        pipeline.reproduce("aside", root=fresh)


def test_missing_source_unknown_stage_and_invalid_yaml(fresh: Path) -> None:
    (fresh / "source.txt").unlink()
    with pytest.raises(SadclError, match=r"source\.txt"):
        pipeline.reproduce("one", root=fresh)
    with pytest.raises(SadclError, match="nothere"):
        pipeline.reproduce("nothere", root=fresh)
    (fresh / "dvc.yaml").write_text("stages: {one: [}")
    with pytest.raises(SadclError, match="DVC can't read the project"):
        pipeline.stages(fresh)


def test_a_damaged_lock_file_is_named(fresh: Path) -> None:
    (fresh / "dvc.lock").write_text("schema: [")
    with pytest.raises(SadclError, match=r"dvc\.lock' is invalid"):
        pipeline.stale(fresh)


def test_busy_dvc_is_named(fresh: Path) -> None:
    (fresh / "one.py").write_text(SLOW)
    working = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "one"], cwd=fresh, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment()},
    )  # fmt: skip
    try:
        running(fresh)
        for call in (lambda: pipeline.stale(fresh), lambda: pipeline.reproduce(root=fresh)):
            with pytest.raises(SadclError, match=rf"DVC is busy: process {working.pid} \(dvc repro one\)"):
                call()
    finally:
        os.killpg(working.pid, signal.SIGKILL)
        working.wait()


@pytest.mark.parametrize("sign", SIGNS)
def test_killed_dvc_ends_its_stage_and_the_next_run_continues(fresh: Path, sign: signal.Signals) -> None:
    (fresh / "one.py").write_text(SLOW)
    code = f"from pathlib import Path; from sadcl import pipeline; pipeline.reproduce('one', root=Path({str(fresh)!r}))"
    caller = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    stage = running(fresh)
    next(p for p in psutil.Process(caller.pid).children() if "dvc" in " ".join(p.cmdline())).send_signal(sign)
    if sign == signal.SIGINT:
        stage.kill()
    wait_for(lambda: has_ended(stage))
    assert caller.wait(30) != 0
    assert caller.stderr is not None
    assert "SadclError" in (printed := caller.stderr.read()) or "StageError" in printed
    caller.stderr.close()
    (fresh / "one.py").write_text(WRITE.format(name="one", reads="source.txt"))
    assert pipeline.reproduce("one", root=fresh).ran


@pytest.mark.parametrize("sign", SIGNS)
def test_killed_caller_ends_dvc_and_its_stage(fresh: Path, sign: signal.Signals) -> None:
    (fresh / "one.py").write_text(SLOW)
    code = f"from pathlib import Path; from sadcl import pipeline; pipeline.reproduce('one', root=Path({str(fresh)!r}))"
    caller = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    stage = running(fresh)
    dvc = next(p for p in psutil.Process(caller.pid).children() if "dvc" in " ".join(p.cmdline()))
    caller.send_signal(sign)
    caller.wait(30)
    wait_for(lambda: has_ended(stage) and has_ended(dvc))


def test_add_push_and_pull(fresh: Path) -> None:
    pipeline.add(fresh / "source.txt")
    pipeline.reproduce("one", root=fresh)
    pipeline.push(fresh)
    for name in ("source.txt", "one.txt"):
        (fresh / name).unlink()
    for path in (fresh / ".dvc/cache").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.unlink()
    pipeline.pull(fresh)
    assert (fresh / "source.txt").read_text() == "source"
    assert (fresh / "one.txt").read_text() == "sourceone"


def test_add_of_a_missing_file(fresh: Path) -> None:
    with pytest.raises(SadclError, match="file or folder to track does not exist"):
        pipeline.add(fresh / "nothere")


def test_reason_of_a_failed_command(fresh: Path) -> None:
    (fresh / "dvc.yaml").write_text(PIPELINE.replace("deps: [source.txt, one.py]", "deps: ['${ingest.source}']"))
    with pytest.raises(SadclError, match=r"failed to parse .*Could not find 'ingest\.source'"):
        pipeline.add(fresh / "source.txt")
