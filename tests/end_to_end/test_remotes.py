"""Versions that travel: what is pushed comes back byte for byte, and a little more data is a little more to push."""

import hashlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import s3_server
from benchmarks.s3_server import KEYS
from sadcl import files, params, pipeline
from sadcl.data import table
from sadcl.data.shards import writer
from sadcl.pipeline.dvc import dvc


def jpeg(seed: int) -> bytes:
    """A tiny photo of its own."""
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels.repeat(4, 0).repeat(4, 1)).save(buffer, "JPEG")
    return buffer.getvalue()


def add_photos(root: Path, ids: list[str]) -> None:
    """Put photos below ``raw``, named after their ids; the same id has the same photo."""
    (root / "raw").mkdir(parents=True, exist_ok=True)
    for image_id in ids:
        seed = int(hashlib.sha256(image_id.encode()).hexdigest()[:8], 16)
        (root / "raw" / f"{image_id}.jpg").write_bytes(jpeg(seed))


def write_shards(root: Path, shard_rows: int) -> None:
    """Shards of all photos, a tenth of them in each of select and test."""
    names = sorted(path.name for path in (root / "raw").iterdir())
    sha256 = [files.digest(root / "raw" / name) for name in names]
    splits = [{0: "select", 1: "test"}.get(int(digest[:8], 16) % 10, "train") for digest in sha256]
    count = len(names)
    frame = pd.DataFrame(
        {
            "image_id": [name.removesuffix(".jpg") for name in names], "file": names, "split": splits,
            "labels": [[0]] * count, "ignored": [[]] * count, "width": [8] * count, "height": [8] * count,
            "bytes": [0] * count, "sha256": sha256, "problem": [None] * count,
        }
    )  # fmt: skip
    settings = params.Prepare(shard_rows=shard_rows)
    writer.write_shards(table.Table(frame, ("cat",), "raw", {}), root, root / "shards", settings, workers=2)


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): files.digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with thirty photos and their shards, both tracked."""
    root = tmp_path / "project"
    root.mkdir()
    pipeline.set_up(root)
    add_photos(root, [f"{i:03d}" for i in range(30)])
    write_shards(root, shard_rows=4)
    pipeline.add(root / "raw")
    pipeline.add(root / "shards")
    return root


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that speaks S3, with the bucket ``photos`` in it."""
    with s3_server.serve(tmp_path) as url:
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        httpx.put(f"{url}/photos", timeout=30).raise_for_status()
        yield url


def check_push_and_pull(project: Path) -> None:
    """Push, delete everything local, pull: the files are those from before."""
    before = {name: digests(project / name) for name in ("raw", "shards")}
    pipeline.push(project)
    for name in ("raw", "shards", ".dvc/cache"):
        shutil.rmtree(project / name)
    pipeline.pull(project)
    assert {name: digests(project / name) for name in ("raw", "shards")} == before
    assert len(before["raw"]) == 30


def test_what_is_pushed_to_the_folder_of_a_fresh_project_comes_back(project: Path) -> None:
    check_push_and_pull(project)
    assert (project / ".dvc-remote").is_dir()


def test_what_is_pushed_to_s3_comes_back(project: Path, bucket: str) -> None:
    dvc("remote", "add", "--default", "team", "s3://photos/sadcl", root=project)  # as docs/how-to/share-data.md says
    dvc("remote", "modify", "team", "endpointurl", bucket, root=project)
    check_push_and_pull(project)
    assert not (project / ".dvc-remote").exists()
    listed = httpx.get(f"{bucket}/photos?list-type=2&prefix=sadcl/files/md5", timeout=30).text
    assert listed.count("<Key>") > 30


def pushed(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in (root / ".dvc-remote").rglob("*") if path.is_file()}


@pytest.mark.slow
def test_ten_new_photos_among_ten_thousand_push_a_tenth_at_most(tmp_path: Path) -> None:
    """Each of ten photos changes the shard that it falls into, wherever it stands in the order of ids."""
    ids = [hashlib.md5(str(i).encode()).hexdigest() for i in range(10_010)]
    pipeline.set_up(tmp_path)
    add_photos(tmp_path, ids[:-10])
    write_shards(tmp_path, params.load(path=pipeline.STARTER / "own.yaml").prepare.shard_rows)
    pipeline.add(tmp_path / "shards")
    pipeline.push(tmp_path)
    before = pushed(tmp_path)
    add_photos(tmp_path, ids[-10:])
    write_shards(tmp_path, params.load(path=pipeline.STARTER / "own.yaml").prepare.shard_rows)
    pipeline.add(tmp_path / "shards")
    pipeline.push(tmp_path)
    after = pushed(tmp_path)
    new = sum(size for path, size in after.items() if path not in before)
    whole = sum(path.stat().st_size for path in (tmp_path / "shards").rglob("*.arrow"))
    assert 0 < new <= whole / 10
