"""Photos that end or stop a decoder, and jobs that are killed: everything else is predicted, with the same bytes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sadcl import batch
from sadcl.batch import job
from sadcl.batch.job import Options
from sadcl.errors import SadclError
from tests.batch.conftest import contents, write_photo

HOSTILE = """
import os, time
from sadcl.data.images import decode
pixels = decode.pixels
def hostile(data, **how):
    if data == b"crash":
        os.kill(os.getpid(), 11)
    if data == b"hang":
        time.sleep(3600)
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
    (tmp_path / "start").mkdir()
    (tmp_path / "start/sitecustomize.py").write_text(HOSTILE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'start'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    summary = job.run(str(place), tmp_path / "out", model, Options(workers=1, seconds=6))
    assert (summary["photos"], summary["failed"]) == (72, 2)
    found = batch.read(tmp_path / "out")
    assert found.errors == {
        "20-crash.jpg": "The worker that decoded this photo ended (signal SIGSEGV)",
        "40-hang.jpg": "Decoding took longer than 6.0 s",
    }


@pytest.mark.slow
def test_a_killed_job_goes_on_and_ends_with_the_same_bytes(model: Path, tmp_path: Path) -> None:
    place, out = tmp_path / "place", tmp_path / "out"
    for seed in range(6_000):
        write_photo(place / f"{seed % 7}/{seed}.jpg", seed)
    command = [sys.executable, "-m", "sadcl", "predict", str(place), "--out", str(out), "--model", str(model)]
    kills = 0
    while kills < 3:
        there = len(list(out.glob("part-*")))
        child = subprocess.Popen([*command, "--workers", "2"])
        while child.poll() is None and len(list(out.glob("part-*"))) == there:
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
