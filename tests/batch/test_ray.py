"""Batch jobs on a Ray cluster of two nodes: the same bytes as on one machine, also when a node is lost."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import psutil
import pytest

from benchmarks import server_process
from sadcl.batch import job
from sadcl.batch.job import Options
from sadcl.data.shards import writer
from sadcl.data.table import SPLITS
from sadcl.layout import ENCODED_SHARDS, SHARDS
from tests.batch import test_encoding
from tests.batch.conftest import begin_with, contents, write_photo
from tests.batch.test_crashes import HOSTILE
from tests.batch.test_scoring import write_split
from tests.paths import REPOSITORY

pytestmark = pytest.mark.slow
pytest.importorskip("ray", reason="the extra ray is not installed")


def cluster(variables: dict[str, str]) -> "AbstractContextManager[tuple[subprocess.Popen[str], str]]":
    """Process and address of a cluster.

    Args:
        variables: further variables of its second node.
    """
    return server_process.run("benchmarks.ray_nodes", json.dumps(variables))


def workers(nodes: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Processes of a cluster that compute."""
    computing = []
    for process in psutil.Process(nodes.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "sadcl.batch.child" in process.cmdline():
                computing.append(process)
    return computing


def send(nodes: "subprocess.Popen[str]", word: str) -> None:
    """Send the cluster an order for its second node, ``kill`` or ``freeze``."""
    assert nodes.stdin is not None
    nodes.stdin.write(word + "\n")
    nodes.stdin.flush()


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def predict(place: Path, out: Path, model: Path, address: str) -> "subprocess.Popen[str]":
    words = ["predict", str(place), "--out", str(out), "--model", str(model), "--engine", "ray"]
    return subprocess.Popen(
        [sys.executable, "-m", "sadcl", *words], env={**os.environ, "RAY_ADDRESS": address}, text=True, cwd=out.parent,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_a_lost_node_and_a_photo_that_crashes_change_no_byte(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    for seed in range(6_000):
        write_photo(place / f"{seed % 7}/{seed}.jpg", seed)
    (place / "3/crash.jpg").write_bytes(b"crash")
    begin_with(HOSTILE, tmp_path, monkeypatch)
    out = tmp_path / "out"
    with cluster({}) as (nodes, address):
        running = predict(place, out, model, address)
        while running.poll() is None and not list(out.glob("part-*")):
            time.sleep(0.05)
        assert running.poll() is None
        send(nodes, "kill")
        printed, _ = running.communicate(timeout=600)
        assert running.returncode == 1, printed
        assert "6,001 photos, 1 without prediction" in printed
        assert "raylet" not in printed
    job.run(str(place), tmp_path / "local", model, Options(workers=1))
    assert contents(out) == contents(tmp_path / "local")


def test_a_host_that_falls_silent_changes_no_byte(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, out = tmp_path / "place", tmp_path / "out"
    for seed in range(4_000):
        write_photo(place / f"{seed % 7}/{seed}.jpg", seed)
    for variable, value in {"period_ms": "1000", "timeout_ms": "1000", "failure_threshold": "3"}.items():
        monkeypatch.setenv(f"RAY_health_check_{variable}", value)
    with cluster({}) as (nodes, address):
        running = predict(place, out, model, address)
        while running.poll() is None and not list(out.glob("part-*")):
            time.sleep(0.05)
        assert running.poll() is None
        send(nodes, "freeze")  # its connections stay open, as when a host loses its power
        printed, _ = running.communicate(timeout=600)
        assert running.returncode == 0, printed
    assert "The cluster has lost 1 worker; others take the photos" in printed
    assert "raylet" not in printed  # Ray's own messages would bury the progress
    job.run(str(place), tmp_path / "local", model, Options(workers=1))
    assert contents(out) == contents(tmp_path / "local")


def test_a_killed_driver_leaves_no_worker_and_its_successor_ends_with_the_same_bytes(
    model: Path, tmp_path: Path
) -> None:
    place, out = tmp_path / "place", tmp_path / "out"
    for seed in range(3_000):
        write_photo(place / f"{seed % 7}/{seed}.jpg", seed)
    with cluster({}) as (nodes, address):
        running = predict(place, out, model, address)
        while running.poll() is None and not list(out.glob("part-*")):
            time.sleep(0.05)
        assert workers(nodes)
        running.kill()
        running.communicate()
        while workers(nodes):
            time.sleep(0.1)
        successor = predict(place, out, model, address)
        printed, _ = successor.communicate(timeout=600)
        assert "resuming" in printed
        assert successor.returncode == 0
    job.run(str(place), tmp_path / "local", model, Options(workers=1))
    assert contents(out) == contents(tmp_path / "local")


def test_a_node_with_other_code_is_refused_and_named(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(REPOSITORY / "sadcl", tmp_path / "other/sadcl", ignore=shutil.ignore_patterns("__pycache__"))
    code = tmp_path / "other/sadcl/model/tagger.py"
    code.write_text(code.read_text() + "\n# changed\n")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    with cluster({"PYTHONPATH": str(tmp_path / "other")}) as (_, address):
        running = predict(photos, tmp_path / "out", model, address)
        printed, _ = running.communicate(timeout=600)
    assert running.returncode == 1, printed
    assert "A node is not used" in printed
    assert "where the job was started" in printed
    assert "48 photos, 2 without prediction" in printed


SCORE = """
import sys
from pathlib import Path
import numpy as np
from sadcl.batch.scoring import Scoring
from sadcl.data.shards.reader import Shards
from sadcl.evaluation.passes import Pass
model, split, engine, cache = sys.argv[1:]
passes = [Pass(Path(model), "best", "one"), Pass(Path(model), "best", "dark", "dark")]
np.save(cache + ".npy", np.stack(Scoring(engine, Path(cache)).compute(passes, Shards(Path(split)), 16)))
"""
"""Scores a split; in a process of its own, since Ray reads the token when it is imported."""


def test_a_node_that_is_lost_changes_no_bit_of_scores(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = write_split(tmp_path, 800, 40)
    command = [sys.executable, "-c", SCORE, str(model), str(split.directory)]
    with cluster({}) as (nodes, address):
        monkeypatch.setenv("RAY_ADDRESS", address)
        running = subprocess.Popen([*command, "ray", str(tmp_path / "ray")])
        while running.poll() is None and not list(tmp_path.glob("ray/*/*.arrow")):
            time.sleep(0.02)
        assert running.poll() is None
        send(nodes, "kill")
        assert running.wait(600) == 0
    subprocess.run([*command, "local", str(tmp_path / "local")], check=True)
    assert (tmp_path / "ray.npy").read_bytes() == (tmp_path / "local.npy").read_bytes()


def test_a_node_that_is_lost_changes_no_byte_of_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = test_encoding.annotations(tmp_path, 1_500)
    test_encoding.write_project(table)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    with cluster({}) as (nodes, address):
        monkeypatch.setenv("RAY_ADDRESS", address)
        monkeypatch.setenv("SADCL_ENGINE", "ray")
        running = subprocess.Popen(test_encoding.COMMAND)
        while running.poll() is None and not list(ENCODED_SHARDS.glob("*.arrow")):
            time.sleep(0.02)
        assert running.poll() is None
        send(nodes, "kill")
        assert running.wait(600) == 0
    writer.write_shards(table, tmp_path, tmp_path / "alone", test_encoding.SETTINGS, workers=2)
    for split in SPLITS:
        assert contents(tmp_path / "alone" / split) == contents(SHARDS / split)
