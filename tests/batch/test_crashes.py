"""Photos that end or stop a decoder, and jobs that are killed: everything else is predicted, with the same bytes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sadcl import batch
from sadcl.batch import job
from sadcl.batch.engines import local
from sadcl.batch.engines.process import ending
from sadcl.batch.job import Options
from sadcl.batch.spec import Spec
from sadcl.errors import SadclError
from tests.batch.conftest import begin_with, contents, write_photo

HOSTILE = """
import os, sys, time
from sadcl.data.images import decode
pixels = decode.pixels
def hostile(data, **how):
    if data == b"crash":
        print("corrupted heap", file=sys.stderr, flush=True)
        os.kill(os.getpid(), 11)
    if data == b"hang":
        time.sleep(3600)
    if data.startswith(b"pause"):
        os.kill(os.getppid(), 19)
        time.sleep(11)
        os.kill(os.getppid(), 18)
        time.sleep(1)
        data = data.removeprefix(b"pause")
    return pixels(data, **how)
decode.pixels = hostile
"""
"""Start of the workers' Python: no file is known that ends the decoders in use."""


def test_photos_that_crash_or_hang_are_named_and_no_other_is_lost(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    for seed in range(70):
        write_photo(place / f"{seed:02d}.jpg", seed)
    (place / "20-crash.jpg").write_bytes(b"crash")
    (place / "40-hang.jpg").write_bytes(b"hang")
    begin_with(HOSTILE, tmp_path, monkeypatch)
    summary = job.run(str(place), tmp_path / "out", model, Options(workers=1, seconds=6))
    assert (summary["photos"], summary["failed"]) == (72, 2)
    predictions = batch.read(tmp_path / "out")
    assert predictions.errors == {
        "20-crash.jpg": "The worker that decoded this photo ended (signal SIGSEGV): corrupted heap",
        "40-hang.jpg": "Reading and decoding took longer than 6.0 s",
    }


@pytest.mark.slow
def test_a_job_that_was_stopped_for_longer_than_the_limit_blames_no_photo(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone pressed Ctrl-Z and went on later; here the worker stops its parent."""
    photo = write_photo(tmp_path / "place/a.jpg", 0)
    photo.write_bytes(b"pause" + photo.read_bytes())
    begin_with(HOSTILE, tmp_path, monkeypatch)
    code = f"""
from pathlib import Path
from sadcl.batch import job
from sadcl.batch.engines import process
process.PAUSE = 1.0
options = job.Options(workers=1, seconds=10)
job.run({str(photo.parent)!r}, Path({str(tmp_path / "out")!r}), Path({str(model)!r}), options)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert batch.read(tmp_path / "out").errors == {}


def test_a_job_whose_workers_all_end_says_why(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every photo is to blame: each would cost three workers."""
    code = HOSTILE.replace('data == b"crash"', "True").replace("corrupted heap", "the device is lost")
    begin_with(code, tmp_path, monkeypatch)
    monkeypatch.setattr(local, "MOST_LOSSES", 3)
    with pytest.raises(SadclError, match="Workers end one after the other, without any result: the device is lost"):
        job.run(str(photos), tmp_path / "out", model, Options(workers=1))


def test_a_retry_that_is_interrupted_leaves_no_summary(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A summary would name parts that have changed meanwhile."""
    place, out = tmp_path / "place", tmp_path / "out"
    write_photo(place / "good.jpg", 0)
    (place / "bad.jpg").touch()
    job.run(str(place), out, model, Options(workers=1))
    with monkeypatch.context() as interrupted:
        begin_with("raise SystemExit(3)", tmp_path, interrupted)
        with pytest.raises(SadclError, match="Workers end before they are ready"):
            job.run(str(place), out, model, Options(workers=1, retry=True))
    with pytest.raises(SadclError, match="The file is missing"):
        batch.read(out)
    assert job.run(str(place), out, model, Options(workers=1))["failed"] == 1


def test_a_worker_that_cannot_start_leaves_no_other(model: Path, tmp_path: Path) -> None:
    spec = Spec("predict", str(tmp_path), [str(model)], [""], 1, 1.0, {})
    with pytest.raises(SadclError, match=r"A worker can't be started: .*Argument list too long"):
        local.LocalEngine(spec, [{}, {"A": "a" * 10_000_000}])
    assert not psutil.Process().children()


def test_every_ending_of_a_process_has_words() -> None:
    assert [ending(status) for status in (3, -9, -40)] == ["status 3", "signal SIGKILL", "signal 40"]


@pytest.mark.slow
def test_a_killed_job_goes_on_and_ends_with_the_same_bytes(model: Path, tmp_path: Path) -> None:
    place, out = tmp_path / "place", tmp_path / "out"
    for seed in range(6_000):
        write_photo(place / f"{seed % 7}/{seed}.jpg", seed)
    command = [sys.executable, "-m", "sadcl", "predict", str(place), "--out", str(out), "--model", str(model)]
    kills = 0
    while kills < 3:
        part_count = len(list(out.glob("part-*")))
        child = subprocess.Popen([*command, "--workers", "2"])
        while child.poll() is None and len(list(out.glob("part-*"))) == part_count:
            time.sleep(0.02)
        workers = psutil.Process(child.pid).children() if child.poll() is None else []
        if child.poll() is not None:
            break
        child.send_signal(signal.SIGKILL)
        child.wait()
        kills += 1
        # workers end with it, or they would write and compute for ever
        assert not psutil.wait_procs(workers, timeout=30)[1]
        with pytest.raises(SadclError):
            batch.read(out)
    assert kills >= 1
    assert subprocess.run([*command, "--workers", "1"], check=False).returncode == 0
    job.run(str(place), tmp_path / "quiet", model, Options(workers=2))
    assert contents(out) == contents(tmp_path / "quiet")
