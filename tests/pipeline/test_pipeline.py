"""DVC for real, on projects of a few tiny stages."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from sadcl import files, pipeline
from sadcl.errors import SadclError
from sadcl.pipeline.dvc import environment

PIPELINE = """
stages:
  two:
    cmd: python two.py
    deps: [one.txt, two.py]
    outs: [two.txt]
  one:
    desc: the first of all
    cmd: python one.py
    deps: [source.txt, one.py]
    params: [word]
    outs: [one.txt]
  aside:
    cmd: python aside.py
    deps: [source.txt, aside.py]
    outs: [aside.txt]
  three:
    cmd: python three.py
    deps: [two.txt, aside.txt, three.py]
    outs: [three.txt]
"""

WRITE = """
from pathlib import Path
print("{name}: reads {reads}")
Path("{name}.txt").write_text(Path("{reads}").read_text() + "{name}")
print("{name}: done")
"""

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


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which nothing ran yet, and one in which everything did; tests get copies."""
    folder = tmp_path_factory.mktemp("templates")
    root = folder / "fresh"
    root.mkdir()
    pipeline.set_up(root)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "params.yaml").write_text("word: hello\nother: 1\n")
    (root / "source.txt").write_text("source")
    for name, reads in (("one", "source.txt"), ("two", "one.txt"), ("aside", "source.txt"), ("three", "two.txt")):
        (root / f"{name}.py").write_text(WRITE.format(name=name, reads=reads))
    shutil.copytree(root, folder / "done")
    pipeline.reproduce(root=folder / "done")
    return folder


@pytest.fixture
def fresh(templates: Path, tmp_path: Path) -> Path:
    """Nothing ran yet."""
    return shutil.copytree(templates / "fresh", tmp_path / "a project")


@pytest.fixture
def done(templates: Path, tmp_path: Path) -> Path:
    """Everything ran."""
    return shutil.copytree(templates / "done", tmp_path / "a project")


def wait_for(happened: Callable[[], bool], seconds: float = 30) -> None:
    """Poll with a deadline: how long a machine takes is no part of any test."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def running(root: Path) -> psutil.Process:
    """The slow stage, once it says that it is there."""
    wait_for(lambda: (root / "pid").exists() and (root / "pid").read_text() != "")
    return psutil.Process(int((root / "pid").read_text()))


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_stages_come_after_what_they_need_and_otherwise_as_written(fresh: Path) -> None:
    found = pipeline.stages(fresh)
    assert [stage.name for stage in found] == ["one", "two", "aside", "three"]
    assert found[0] == pipeline.Stage("one", "the first of all", ("source.txt", "one.py"), ("one.txt",), ("word",))


def test_reproduce_runs_what_is_stale_and_nothing_the_second_time(fresh: Path) -> None:
    said: list[str] = []
    first = pipeline.reproduce(root=fresh, line=said.append)
    assert first.ran
    assert (fresh / "three.txt").read_text() == "sourceonetwothree"
    assert first.last_line == "three: done"
    assert "one: reads source.txt" in said
    assert not [line for line in said if "git add" in line or line.startswith(">")]
    assert pipeline.stale(fresh) == {}
    second = pipeline.reproduce(root=fresh)
    assert (second.ran, second.output) == (False, "")


def test_single_leaves_what_it_needs_alone(done: Path) -> None:
    (done / "source.txt").write_text("new")
    assert not pipeline.reproduce("two", single=True, root=done).ran
    assert pipeline.reproduce("one", single=True, root=done).ran
    assert pipeline.stale(done)["two"] == ["one.txt modified"]


def test_staleness_travels_down_and_says_why(done: Path) -> None:
    (done / "params.yaml").write_text("word: goodbye\nother: 2\n")
    assert pipeline.stale(done) == {"one": ["word modified"], "two": ["follows one"], "three": ["follows two"]}
    (done / "aside.txt").unlink()
    assert pipeline.stale(done)["aside"] == ["aside.txt deleted"]
    assert pipeline.stale(done)["three"] == ["follows two", "follows aside"]


def test_an_earlier_result_comes_back_from_the_cache(done: Path) -> None:
    before = pipeline.lock_digest(done)
    (done / "source.txt").write_text("new")
    pipeline.reproduce(root=done)
    assert pipeline.lock_digest(done) != before
    (done / "source.txt").write_text("source")
    (done / "one.py").write_text((done / "one.py").read_text())
    assert pipeline.reproduce(root=done).ran
    assert pipeline.lock_digest(done) == before


def test_a_failing_stage_speaks_for_itself(done: Path) -> None:
    (done / "three.py").write_text(REFUSES)
    with pytest.raises(pipeline.StageError) as caught:
        pipeline.reproduce(root=done)
    assert str(caught.value) == "three: The photo is broken (a.jpg). Remove it."
    assert (caught.value.stage, caught.value.status, caught.value.retry_may_help) == ("three", 2, False)


def test_a_crash_may_be_worth_another_try(done: Path) -> None:
    (done / "three.py").write_text("raise OSError('the network is away')")
    with pytest.raises(pipeline.StageError, match="the network is away") as caught:
        pipeline.reproduce(root=done)
    assert caught.value.retry_may_help


def test_a_stage_that_makes_nothing_is_named(fresh: Path) -> None:
    (fresh / "aside.py").write_text("print('aside: does nothing')")
    with pytest.raises(pipeline.StageError, match=r"aside: output 'aside.txt' does not exist"):
        pipeline.reproduce("aside", root=fresh)


def test_what_is_missing_or_unknown_is_named(fresh: Path) -> None:
    (fresh / "source.txt").unlink()
    with pytest.raises(SadclError, match=r"source\.txt"):
        pipeline.reproduce("one", root=fresh)
    with pytest.raises(SadclError, match="nothere"):
        pipeline.reproduce("nothere", root=fresh)
    (fresh / "dvc.yaml").write_text("stages: {one: [}")
    with pytest.raises(SadclError, match="DVC can't read the project"):
        pipeline.stages(fresh)


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="dvc init"):
        pipeline.stages(tmp_path)


def test_while_dvc_works_others_hear_who_it_is(fresh: Path) -> None:
    (fresh / "one.py").write_text(SLOW)
    working = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "one"], cwd=fresh, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment()},
    )  # fmt: skip
    try:
        running(fresh)
        for ask in (lambda: pipeline.stale(fresh), lambda: pipeline.reproduce(root=fresh)):
            with pytest.raises(SadclError, match=rf"DVC is busy: process {working.pid} \(dvc repro one\)"):
                ask()
    finally:
        os.killpg(working.pid, signal.SIGKILL)
        working.wait()


@pytest.mark.parametrize("sign", SIGNS)
def test_killing_dvc_ends_its_stage_and_the_next_run_goes_on(fresh: Path, sign: signal.Signals) -> None:
    (fresh / "one.py").write_text(SLOW)
    code = f"from pathlib import Path; from sadcl import pipeline; pipeline.reproduce('one', root=Path({str(fresh)!r}))"
    ours = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    stage = running(fresh)
    next(p for p in psutil.Process(ours.pid).children() if "dvc" in " ".join(p.cmdline())).send_signal(sign)
    if sign == signal.SIGINT:
        stage.kill()
    wait_for(lambda: gone(stage))
    assert ours.wait(30) != 0
    assert ours.stderr is not None
    assert "SadclError" in (words := ours.stderr.read()) or "StageError" in words
    ours.stderr.close()
    (fresh / "one.py").write_text(WRITE.format(name="one", reads="source.txt"))
    assert pipeline.reproduce("one", root=fresh).ran


@pytest.mark.parametrize("sign", SIGNS)
def test_killing_us_ends_dvc_and_its_stage(fresh: Path, sign: signal.Signals) -> None:
    (fresh / "one.py").write_text(SLOW)
    code = f"from pathlib import Path; from sadcl import pipeline; pipeline.reproduce('one', root=Path({str(fresh)!r}))"
    ours = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    stage = running(fresh)
    dvc = next(p for p in psutil.Process(ours.pid).children() if "dvc" in " ".join(p.cmdline()))
    ours.send_signal(sign)
    ours.wait(30)
    wait_for(lambda: gone(stage) and gone(dvc))


def test_what_is_added_is_pushed_and_comes_back(fresh: Path) -> None:
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


def test_an_edited_source_is_noticed_and_taken_in(fresh: Path) -> None:
    pipeline.add(fresh / "source.txt")
    assert pipeline.changed_sources(fresh) == []
    (fresh / "source.txt").unlink()
    (fresh / "source.txt").write_text("edited")
    assert pipeline.changed_sources(fresh) == ["source.txt.dvc"]
    pipeline.reproduce("source.txt.dvc", single=True, root=fresh)
    assert pipeline.changed_sources(fresh) == []


def test_there_must_be_something_to_add(fresh: Path) -> None:
    with pytest.raises(SadclError, match="nothing to track"):
        pipeline.add(fresh / "nothere")


def test_what_dvc_can_not_read_is_said(fresh: Path) -> None:
    (fresh / "dvc.yaml").write_text(PIPELINE.replace("deps: [source.txt, one.py]", "deps: ['${ingest.source}']"))
    with pytest.raises(SadclError, match=r"failed to parse .*Could not find 'ingest\.source'"):
        pipeline.add(fresh / "source.txt")


def test_set_up_again_changes_nothing_and_keeps_what_people_chose(fresh: Path) -> None:
    config = fresh / ".dvc/config"
    before = config.read_bytes()
    pipeline.set_up(fresh)
    assert config.read_bytes() == before
    config.write_text(config.read_text().replace("remote = local", "remote = ours  # on the server"))
    pipeline.set_up(fresh)
    assert "remote = ours  # on the server" in config.read_text()


def test_a_copy_of_the_project_shares_cache_and_remote(done: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("dvc.yaml", "dvc.lock", "params.yaml", "source.txt", "one.py", "two.py", "aside.py", "three.py"):
        files.write_text(copy / name, (done / name).read_text())
    pipeline.set_up(copy)
    pipeline.share_cache(done, copy)
    pipeline.checkout(copy)
    assert (copy / "three.txt").read_text() == "sourceonetwothree"
    assert pipeline.stale(copy) == {}
    pipeline.push(copy)
    assert (done / ".dvc-remote").is_dir()


def test_without_a_lock_there_is_no_digest(fresh: Path) -> None:
    assert pipeline.lock_digest(fresh) == ""
