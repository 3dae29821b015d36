"""Problems that ``sadcl doctor`` reports."""

import hashlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from sadcl import files, layout, s3
from sadcl.batch.engines import checks
from sadcl.data import table
from sadcl.data.shards import cache, index
from sadcl.model import device
from sadcl.project import capacity, doctor, schedule
from sadcl.services import free_port
from tests.paths import REPOSITORY


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_no_processor_emulates_float32_and_float64(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADCL_DEVICE", "cpu")
    assert not device.slow(precision)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_emulated_precision(precision: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADCL_DEVICE", "cpu")
    recipe = (
        (REPOSITORY / "recipes/scenes.yaml").read_text().replace("precision: 32-true", f"precision: {precision}", 1)
    )
    (folder / "params.yaml").write_text(recipe)
    emulated = precision == "16-mixed" or not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    warnings = [line for line in doctor.diagnose() if "pretrain.precision" in line]
    assert len(warnings) == emulated
    assert not [line for line in doctor.diagnose() if "train.precision" in line.replace("pretrain", "")]


@pytest.mark.parametrize(("processes", "problems", "notes"), [
    ("1", 0, 0), ("2", 0, 2), ("3", 1, 0), ("many", 1, 0),
])  # fmt: skip
def test_number_of_processes(
    processes: str, problems: int, notes: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SADCL_DEVICE", "cpu")
    monkeypatch.setenv("SADCL_PROCESSES", processes)
    (folder / "params.yaml").write_text((REPOSITORY / "recipes/demo.yaml").read_text())
    (folder / "dvc.yaml").touch()
    assert sum("SADCL_PROCESSES" in line for line in doctor.diagnose()) == problems
    assert sum(f"trains in {processes} processes" in line for line in doctor.notes()) == notes


def test_stage_2_shares_no_batch_where_the_head_has_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADCL_DEVICE", "cpu")
    monkeypatch.setenv("SADCL_PROCESSES", "2")
    raw = yaml.safe_load((REPOSITORY / "recipes/demo.yaml").read_text())
    raw["model"]["head"], raw["train"]["batch"] = "pooling", 5
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    (folder / "dvc.yaml").touch()
    assert not any("can't share" in line for line in doctor.diagnose())
    assert [line for line in doctor.notes() if "trains in" in line] == ["The stage pretrain trains in 2 processes."]


@pytest.mark.skipif(torch.cuda.is_available(), reason="only torch knows the number of GPUs")
def test_processes_are_counted_without_torch_where_there_is_one(folder: Path) -> None:
    (folder / "params.yaml").write_text((REPOSITORY / "recipes/demo.yaml").read_text())
    (folder / "dvc.yaml").touch()
    code = "import sys; from sadcl.project.doctor import *; diagnose(), notes(); print('torch' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SADCL_")}
    completed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert completed.stdout == "False\n", completed.stderr


@pytest.fixture
def shards_on_s3(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose training shards, of 3 GB, lie on a server that does not answer."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(s3, "TRIES", 1)
    s3.reset()
    raw = yaml.safe_load((REPOSITORY / "recipes/demo.yaml").read_text())
    raw["prepare"]["store"] = "s3://photos/shards"
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    (folder / "dvc.yaml").touch()
    (folder / layout.TRAIN_SHARDS).mkdir(parents=True)
    shard = index.Shard("a.arrow", 1, 3 * 10**9, "a" * 64)
    rows = index.Shard(index.ROWS, 1, 1, "b" * 64)
    index.write(folder / layout.TRAIN_SHARDS, index.Index((shard,), "s3://photos/shards", rows))
    return folder


@pytest.mark.usefixtures("shards_on_s3")
def test_a_store_of_shards_that_does_not_answer_is_a_problem() -> None:
    assert any("S3 has not answered" in line and "s3://photos/shards" in line for line in doctor.diagnose())


@pytest.mark.usefixtures("shards_on_s3")
@pytest.mark.parametrize(("gigabytes", "notes"), [("2", 1), ("4", 0)])
def test_shards_beyond_the_cache_are_a_note(gigabytes: str, notes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.GIGABYTES, gigabytes)
    assert sum("have 3 GB, and the cache" in line for line in doctor.notes()) == notes


class _AnHourLate(BaseHTTPRequestHandler):
    """A server of S3 whose clock is an hour late."""

    status = 200

    def do_HEAD(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def date_time_string(self, _timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() - 3600)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.mark.usefixtures("shards_on_s3")
@pytest.mark.parametrize(("status", "is_late"), [(200, True), (403, True), (200, False)])
def test_clocks_that_differ_are_a_problem(status: int, is_late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = {} if is_late else {"date_time_string": BaseHTTPRequestHandler.date_time_string}
    handler = type("_Handler", (_AnHourLate,), {"status": status, **honest})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, "anything")
        s3.reset()
        lines = doctor.diagnose()
        server.shutdown()
    assert not any("S3 has not answered" in line for line in lines)
    assert sum("clock and that of s3://photos/shards differ by 3" in line for line in lines) == is_late


@pytest.mark.parametrize(("variables", "problem"), [
    ({}, ""),
    ({"RAY_AUTH_MODE": "none"}, "has to ask for a token"),
    ({"RAY_AUTH_TOKEN": ""}, "no token of the Ray cluster"),
    ({"RAY_ADDRESS": "127.0.0.1:1"}, "127.0.0.1:1 does not answer"),
    ({"RAY_ADDRESS": "127.0.0.1"}, "the address has no port"),
    ({"RAY_ADDRESS": ""}, ""),
])  # fmt: skip
def test_a_ray_cluster(variables: dict[str, str], problem: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "params.yaml").write_text((REPOSITORY / "recipes/demo.yaml").read_text())
    (folder / "dvc.yaml").touch()
    monkeypatch.setenv("HOME", str(folder))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        settings = {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "secret", **variables}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        lines = [line for line in checks.problems() if "missing" not in line]
        assert [line for line in doctor.diagnose() if line in lines] == lines
    assert len(lines) == bool(problem)
    assert all(problem in line and "secret" not in line for line in lines)


def test_capacity_says_what_trainings_need_and_refuses_what_cannot_fit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = yaml.safe_load((REPOSITORY / "recipes/demo.yaml").read_text())
    raw["model"].update(backbone="test_resnet", weights="random", frozen=[])
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    (folder / "dvc.yaml").touch()
    frame = pd.DataFrame({name: table.column([]) for name in table.SCHEMA})
    table.write_table(folder / layout.TABLE, table.Table(frame, ("cat", "dog"), "data/raw/scenes", {}))
    capacity.trainings.cache_clear()
    notes = doctor.notes(with_capacity=True)
    assert [line for line in notes if "cores" in line and "GB of memory" in line]
    assert [line for line in notes if re.search(r"Batch prediction runs \d+ worker process", line)]
    assert len([line for line in notes if "2 classes" in line and "training needs at least" in line]) == 2
    capacity.trainings.cache_clear()
    monkeypatch.setattr(device, "memory", lambda _: 10**6)
    assert len([line for line in doctor.diagnose(with_capacity=True) if "Training needs at least" in line]) == 2
    assert not any("Training needs" in line for line in doctor.diagnose())
    capacity.trainings.cache_clear()


def test_a_port_in_use_keeps_other_machines_from_joining(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADCL_DEVICE", "cpu")
    monkeypatch.setenv("SADCL_MACHINES", "2")
    (folder / "params.yaml").write_text((REPOSITORY / "recipes/demo.yaml").read_text())
    (folder / "dvc.yaml").touch()
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("SADCL_PORT", str(port))
        assert [line for line in doctor.diagnose() if f"Port {port}, at which other machines join" in line]
    assert not [line for line in doctor.diagnose() if "join a training" in line]


def test_weights_that_were_not_promoted_are_a_problem(folder: Path) -> None:
    (folder / "dvc.yaml").touch()
    weights = folder / layout.CHAMPION_FOLDER / "weights.safetensors"
    record = {"name": "tagger", "version": "3", "weights": hashlib.sha256(b"promoted").hexdigest()}
    files.write_json(layout.CHAMPION, record)

    def problems() -> list[str]:
        return [line for line in doctor.diagnose() if "the champion (tagger version 3)" in line]

    assert len(problems()) == 1
    assert "are missing" in problems()[0]
    weights.parent.mkdir()
    weights.write_bytes(b"others")
    assert "These are not the weights of the champion" in problems()[0]
    weights.write_bytes(b"promoted")
    assert not problems()


def test_untracked_source(folder: Path) -> None:
    (folder / "params.yaml").write_text((REPOSITORY / "recipes/scenes.yaml").read_text())
    (folder / "data/raw/scenes").mkdir(parents=True)
    assert any("dvc add data/raw/scenes" in line for line in doctor.diagnose())
    (folder / "data/raw/scenes.dvc").touch()
    assert not any("dvc add" in line for line in doctor.diagnose())


def test_source_behind_a_link(folder: Path) -> None:
    (folder / "params.yaml").write_text((REPOSITORY / "recipes/scenes.yaml").read_text())
    (folder / "photos").mkdir()
    (folder / "data/raw").mkdir(parents=True)
    (folder / "data/raw/scenes").symlink_to("../../photos")
    assert any("data/raw/scenes is a link" in line for line in doctor.diagnose())


def test_folder_without_a_project_and_settings(folder: Path) -> None:
    problems = "\n".join(doctor.diagnose())
    for part in (
        "no dvc.yaml here",
        "not in a git repository",
        "DVC is not set up",
        "There are no settings (params.yaml)",
    ):
        assert problems.count(part) == 1


def test_an_overdue_retraining_is_a_problem_and_a_good_one_a_note(folder: Path) -> None:
    (folder / "dvc.yaml").touch()
    schedule.record_end(folder, True, "3 stages ran in 1 s.", datetime(2026, 11, 23, 3, 0, tzinfo=UTC))
    assert doctor.notes() == ["Last good retraining: 2026-11-23 03:00 UTC. 3 stages ran in 1 s."]
    schedule.update(folder, due=datetime(2000, 1, 1, tzinfo=UTC))
    assert any(line.startswith("Retraining is overdue: it was due at 2000-01-01") for line in doctor.diagnose())
