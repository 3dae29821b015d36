"""Shards by workers: the bytes of one process, also where workers end, and the same refusals."""

import hashlib
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml

from sadcl import files, params
from sadcl.batch import encoding
from sadcl.data.images.inspect import inspect
from sadcl.data.shards import writer
from sadcl.data.shards.reader import Shards
from sadcl.data.table import SCHEMA, SPLITS, Table, column, write_table
from sadcl.errors import SadclError
from sadcl.layout import ENCODED_SHARDS, SHARDS, TABLE, VALIDATION
from tests.batch.conftest import CLASSES, begin_with, write_photo
from tests.paths import REPOSITORY

SETTINGS = params.Prepare(shard_rows=8, short_side=40)
REFUSED = """
import pyarrow
def refuse(*arguments):
    raise PermissionError(13, "Permission denied")
pyarrow.OSFile = refuse
"""
"""Start of the workers' Python: no file can be written."""
COMMAND = [sys.executable, "-m", "sadcl.stages", "prepare"]
HOSTILE = """
import hashlib, os, pathlib
from sadcl.data.images import decode
pixels, marker = decode.pixels, pathlib.Path({marker!r})
def hostile(data, **how):
    if hashlib.sha256(data).hexdigest() == {digest!r} and ({always} or not marker.exists()):
        marker.touch()
        os.kill(os.getpid(), 9)
    return pixels(data, **how)
decode.pixels = hostile
"""
"""Start of the workers' Python: a photo ends the worker, once or always."""


def annotations(root: Path, photos: int = 60) -> Table:
    """Photos of two splits, with slices of which some values are missing."""
    rows: list[dict[str, Any]] = []
    for seed in range(photos):
        path = write_photo(root / f"raw/{seed:02d}.jpg", seed)
        described = {name: value for name, value in asdict(inspect(path)).items() if name in SCHEMA}
        rows.append(
            {
                "image_id": hashlib.sha256(str(seed).encode()).hexdigest(), "file": path.name,
                "split": "test" if seed % 3 == 0 else "train", "labels": [seed % 3], "ignored": [], **described,
                "camera": None if seed % 5 else "left", "light": seed / 7 if seed % 4 else None,
            }
        )  # fmt: skip
    frame = pd.DataFrame({name: column([row[name] for row in rows]) for name in rows[0]})
    return Table(frame, tuple(CLASSES), "raw", {})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return annotations(tmp_path)


@pytest.fixture
def expected(tmp_path: Path, table: Table) -> dict[str, bytes]:
    writer.write_shards(table, tmp_path, tmp_path / "alone", SETTINGS, workers=2)
    return contents(tmp_path / "alone")


def write_by_workers(root: Path, table: Table, settings: params.Prepare = SETTINGS) -> dict[str, bytes]:
    encode = encoding.chosen()
    assert encode is not None
    writer.write_shards(table, root, root / "shards", settings, 2, root / "encoded", encode)
    return contents(root / "shards")


def write_project(table: Table) -> None:
    """Write the files that the stage reads into the working folder."""
    recipe = yaml.safe_load((REPOSITORY / "recipes/demo.yaml").read_text())
    files.write_text(Path("params.yaml"), yaml.safe_dump(recipe | {"prepare": SETTINGS.model_dump()}))
    write_table(TABLE, table)
    files.write_json(VALIDATION, {"passed": True})


def hostile(folder: Path, file: str, monkeypatch: pytest.MonkeyPatch, always: bool) -> None:
    """Let a photo end workers."""
    names = {"marker": str(folder / "marker"), "digest": files.digest(folder / "raw" / file)}
    begin_with(HOSTILE.format(**names, always=always), folder, monkeypatch)


@pytest.fixture(autouse=True)
def _workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADCL_ENGINE", "local")
    monkeypatch.setenv("SADCL_WORKERS", "2")


def test_workers_of_which_one_is_killed_write_the_bytes_of_one_process(
    tmp_path: Path, table: Table, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile(tmp_path, "31.jpg", monkeypatch, always=False)
    assert write_by_workers(tmp_path, table) == expected
    assert len(expected) > 8
    assert (tmp_path / "marker").exists()
    assert not list((tmp_path / "encoded").glob("*.arrow"))


def test_a_photo_that_ends_each_worker_is_named(tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile(tmp_path, "31.jpg", monkeypatch, always=True)
    with pytest.raises(SadclError, match=r"can't be encoded: .*SIGKILL") as caught:
        write_by_workers(tmp_path, table)
    assert caught.value.where == tmp_path / "raw/31.jpg"
    assert not (tmp_path / "shards/train").exists()


def test_a_photo_that_has_changed_is_named(tmp_path: Path, table: Table) -> None:
    write_photo(tmp_path / "raw/31.jpg", 99)
    with pytest.raises(SadclError, match="has changed since ingest") as caught:
        write_by_workers(tmp_path, table)
    assert caught.value.where == str(tmp_path / "raw/31.jpg")
    assert "dvc repro" in str(caught.value.fix)
    assert not list((tmp_path / "shards").iterdir())


def test_a_worker_that_cannot_write_blames_no_photo(
    tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_with(REFUSED, tmp_path, monkeypatch)
    with pytest.raises(SadclError, match=r"A shard can't be written: .*denied") as caught:
        write_by_workers(tmp_path, table)
    assert str(caught.value.where).startswith(str(tmp_path / "shards"))
    assert not list((tmp_path / "shards").iterdir())


def test_a_table_without_photos_needs_no_worker(tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_with("raise SystemExit(3)", tmp_path, monkeypatch)
    none = Table(table.frame.iloc[:0], table.classes, "raw", {})
    write_by_workers(tmp_path, none)
    assert len(Shards(tmp_path / "shards/train")) == 0


def test_a_killed_stage_goes_on_with_what_workers_have_written(
    tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(table)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    child = subprocess.Popen(COMMAND)
    while child.poll() is None and not list(ENCODED_SHARDS.glob("*.arrow")):
        time.sleep(0.005)
    assert child.poll() is None
    workers = psutil.Process(child.pid).children()
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not psutil.wait_procs(workers, timeout=30)[1]
    assert not SHARDS.joinpath("train").exists()
    encoded = {path.stat().st_ino for path in ENCODED_SHARDS.glob("*.arrow")}
    assert encoded
    printed = subprocess.run(COMMAND, text=True, capture_output=True, check=True)
    assert encoded <= {path.stat().st_ino for path in SHARDS.rglob("*.arrow")}
    assert "40 train, 0 select, 20 test photos" in printed.stdout
    writer.write_shards(table, tmp_path, tmp_path / "alone", SETTINGS, workers=2)
    for split in SPLITS:
        assert contents(tmp_path / "alone" / split) == contents(SHARDS / split)
