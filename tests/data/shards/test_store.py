"""Shards on S3: the same photos as on the disk, from copies or one by one, whatever fails on the way."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sadcl import files, params, s3
from sadcl.data import table
from sadcl.data.images.inspect import inspect
from sadcl.data.shards import batches, cache, index, writer
from sadcl.data.shards.cache import ShardCache
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from tests.s3_bucket import client

CLASSES = ("cat", "dog")
COUNT = 60
STORE = "s3://photos/shards"
MODEL = params.Model(
    backbone="none", side=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3), width=8, heads=1, feedforward=8, embedding=8
)


@pytest.fixture
def photos(tmp_path: Path) -> table.Table:
    """A table of photos of all splits."""
    rng, rows = np.random.default_rng(0), []
    (tmp_path / "raw").mkdir()
    for i in range(COUNT):
        path = tmp_path / f"raw/{i}.jpg"
        Image.fromarray(rng.integers(0, 256, (20 + i % 5, 30, 3), dtype=np.uint8)).save(path)
        facts = inspect(path)
        split = ("train", "train", "train", "train", "select", "test")[i % 6]
        rows.append({
            "image_id": f"{i:03d}", "file": path.name, "split": split, "labels": [i % 2], "ignored": [],
            **{name: getattr(facts, name) for name in table.SCHEMA if hasattr(facts, name)}, "problem": None,
            "length": float(i),
        })  # fmt: skip
    frame = pd.DataFrame({name: table.column([row[name] for row in rows]) for name in rows[0]})
    return table.Table(frame, CLASSES, "raw", {})


@pytest.fixture(autouse=True)
def shard_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardCache:
    """An empty cache, in which no shard counts as used."""
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    monkeypatch.setattr(ShardCache, "_used", set())
    return cache.local()


def write(photos: table.Table, root: Path, store: str | None = STORE, folder: str = "shards") -> Path:
    writer.write_shards(photos, root, root / folder, params.Prepare(shard_rows=4, store=store), 2)
    return root / folder / "train"


def encoded(split: Shards) -> list[bytes]:
    return [split.jpeg(i) for i in range(len(split))]


def remove_copies(shard_cache: ShardCache) -> None:
    for path in shard_cache.folder.glob("*.arrow"):
        path.unlink()


@pytest.mark.slow
@pytest.mark.usefixtures("bucket")
class TestStore:
    def test_a_split_on_s3_has_the_photos_labels_and_digest_of_one_on_the_disk(
        self, photos: table.Table, tmp_path: Path, shard_cache: ShardCache
    ) -> None:
        remote, local = Shards(write(photos, tmp_path)), Shards(write(photos, tmp_path, None, "local"))
        assert remote.ids == local.ids
        assert (remote.targets == local.targets).all()
        assert remote.slices == local.slices == {"length": [float(name) for name in local.ids]}
        assert (remote.digest, remote.list_digest) == (local.digest, local.list_digest)
        assert encoded(remote) == encoded(local)
        remove_copies(shard_cache)
        assert encoded(remote) == encoded(local)
        assert encoded(remote.part(7, 19)) == encoded(local)[7:19]
        assert {path.name for path in (tmp_path / "shards/train").iterdir()} == {"rows.arrow", "index.json"}
        for split in ("select", "test"):
            names = (
                (folder / split / "index.json").read_bytes() for folder in (tmp_path / "shards", tmp_path / "local")
            )
            assert len(set(names)) == 1

    def test_batches_are_those_of_the_disk_while_copies_come_and_after(
        self, photos: table.Table, tmp_path: Path, shard_cache: ShardCache
    ) -> None:
        shift = params.Augmentation(kind="shift", shift=0.2, flip=True)
        folders = write(photos, tmp_path), write(photos, tmp_path, None, "local")
        remove_copies(shard_cache)
        remote, local = (
            batches.TrainingBatches(Shards(folder), MODEL, shift, 8, 1, keep_bytes=0) for folder in folders
        )
        for epoch in range(3):
            for a, b in zip(remote.epoch(epoch), local.epoch(epoch), strict=True):
                assert a.ids == b.ids
                assert (a.images == b.images).all()
            assert remote.shards._remote is not None
            remote.shards._remote.wait()
        assert remote.shards.threads == 1
        assert sorted(files.digest(path) for path in shard_cache.folder.glob("*.arrow")) == sorted(
            shard.sha256 for shard in remote.shards.index.shards
        )

    @pytest.mark.parametrize("fault", ["refuse", "cut", "longer", "reset"])
    def test_a_server_that_fails_for_a_moment_changes_no_photo(
        self, fault: str, photos: table.Table, tmp_path: Path, shard_cache: ShardCache
    ) -> None:
        remote = Shards(write(photos, tmp_path, f"s3://photos/{fault}"))
        expected = encoded(remote)
        remove_copies(shard_cache)
        assert encoded(remote) == expected
        remote.expect(np.arange(len(remote)))
        assert remote._remote is not None
        remote._remote.wait()
        assert remote.threads == 1
        assert encoded(remote) == expected

    def test_copies_come_again_while_earlier_threads_end(
        self, photos: table.Table, tmp_path: Path, shard_cache: ShardCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        remote = Shards(write(photos, tmp_path))
        assert remote._remote is not None
        for _ in range(2):
            remove_copies(shard_cache)
            remote.expect(np.arange(len(remote)))
            remote._remote.wait()
            assert remote._remote.is_complete
            # a thread that has nothing more to copy may still be alive at the next call
            monkeypatch.setattr(threading.Thread, "is_alive", lambda self: True)

    def test_a_shard_that_is_there_is_not_sent_again(self, photos: table.Table, tmp_path: Path, moto: str) -> None:
        write(photos, tmp_path)
        before = {item["Key"]: item["LastModified"] for item in _objects(moto)}
        frame = photos.frame[photos.frame["image_id"] != "000"]
        write(table.Table(frame, CLASSES, "raw", {}), tmp_path)
        after = {item["Key"]: item["LastModified"] for item in _objects(moto)}
        assert before.items() <= after.items()
        assert len(after) == len(before) + 1

    @pytest.mark.parametrize("full", ["bound", "disk"])
    def test_a_cache_without_room_is_reported_once_and_photos_come_one_by_one(
        self, full: str, photos: table.Table, tmp_path: Path, shard_cache: ShardCache,
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        folder, expected = write(photos, tmp_path), encoded(Shards(write(photos, tmp_path, None, "local")))
        remove_copies(shard_cache)
        if full == "bound":
            size = index.read(folder).bytes
            monkeypatch.setenv(cache.GIGABYTES, str(size / 3e9))
        else:
            shard_cache.folder.rmdir() if shard_cache.folder.exists() else None
            shard_cache.folder.write_text("in the way")
        remote = Shards(folder)
        for _ in range(2):
            remote.expect(np.arange(len(remote)))
            assert remote._remote is not None
            remote._remote.wait()
            assert encoded(remote) == expected
        words = capsys.readouterr().out
        assert words.count("read from S3 one by one") == 1
        if full == "bound":
            assert "The cache of shards is full" in words
            assert sum(path.stat().st_size for path in shard_cache.folder.iterdir()) <= size / 3

    def test_copies_of_other_data_are_evicted_the_longest_unused_first(
        self, photos: table.Table, tmp_path: Path, shard_cache: ShardCache,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        remote = Shards(write(photos, tmp_path))
        remove_copies(shard_cache)
        size = remote.index.bytes
        a, b = "a" * 64, "b" * 64
        for age, name in enumerate((b, a)):
            path = shard_cache.folder / f"{name}.arrow"
            path.write_bytes(bytes(size // 2))
            os.utime(path, (1000 + age, 1000 + age))
        monkeypatch.setenv(cache.GIGABYTES, str(1.6 * size / 1e9))
        remote = Shards(tmp_path / "shards/train")
        remote.expect(np.arange(len(remote)))
        assert remote._remote is not None
        remote._remote.wait()
        assert remote.threads == 1
        assert {
            path.name[0] for path in shard_cache.folder.glob("[ab]*.arrow") if path.stem in ("a" * 64, "b" * 64)
        } == {"a"}

    def test_a_killed_process_leaves_nothing_that_another_reads(
        self, photos: table.Table, tmp_path: Path, shard_cache: ShardCache
    ) -> None:
        remote = Shards(write(photos, tmp_path))
        remove_copies(shard_cache)
        shard = remote.index.shards[0]
        code = (
            "import os; from pathlib import Path; from sadcl import s3; from sadcl.data.shards import cache, index;"
            "s3.download = lambda address, file: (file.write(b'half'), file.flush(), os.kill(os.getpid(), 9));"
            f"shard = index.read(Path({str(tmp_path / 'shards/train')!r})).shards[0];"
            f"cache.local().download(shard, '{STORE}/{shard.sha256}.arrow')"
        )
        assert subprocess.run([sys.executable, "-c", code]).returncode == -9
        assert not shard_cache.has(shard)
        assert shard_cache.download(shard, s3.join(STORE, f"{shard.sha256}.arrow"))
        assert files.digest(shard_cache.path(shard)) == shard.sha256
        assert [path.name for path in shard_cache.folder.iterdir()] == [f"{shard.sha256}.arrow"]

    def test_an_object_that_is_another_is_refused_and_one_that_is_gone_is_named(
        self, photos: table.Table, tmp_path: Path, shard_cache: ShardCache, moto: str
    ) -> None:
        remote = Shards(write(photos, tmp_path))
        remove_copies(shard_cache)
        first, second = remote.index.shards[:2]
        client(moto).put_object(Bucket="photos", Key=f"shards/{first.sha256}.arrow", Body=b"x" * first.bytes)
        with pytest.raises(
            SadclError, match=r"not the shard that was written .*dvc repro --force --single-item prepare"
        ):
            shard_cache.download(first, s3.join(STORE, f"{first.sha256}.arrow"))
        assert not list(shard_cache.folder.iterdir())
        remote.expect(np.arange(len(remote)))
        assert remote._remote is not None
        remote._remote.wait()
        with pytest.raises(SadclError, match="not the shard that was written"):
            remote.jpeg(0)
        write(photos, tmp_path)  # as the advice says
        assert encoded(Shards(tmp_path / "shards/train"))
        remote = Shards(tmp_path / "shards/train")
        remove_copies(shard_cache)
        client(moto).delete_object(Bucket="photos", Key=f"shards/{second.sha256}.arrow")
        with pytest.raises(SadclError, match=r"no longer in the store .*dvc repro --force --single-item prepare"):
            remote.jpeg(first.rows)

    def test_an_object_with_another_digest_is_refused_before_it_is_copied(
        self, photos: table.Table, tmp_path: Path, shard_cache: ShardCache, moto: str
    ) -> None:
        remote = Shards(write(photos, tmp_path))
        remove_copies(shard_cache)
        first = remote.index.shards[0]
        key = f"shards/{first.sha256}.arrow"
        client(moto).put_object(Bucket="photos", Key=key, Body=b"x" * first.bytes, Metadata={"sha256": "0" * 64})
        with pytest.raises(SadclError, match="not the shard that was written"):
            remote.jpeg(0)

    def test_without_a_bucket_prepare_ends_with_a_sentence_and_writes_nothing(
        self, photos: table.Table, tmp_path: Path
    ) -> None:
        with pytest.raises(SadclError, match=r"S3 has not answered .*NoSuchBucket"):
            write(photos, tmp_path, "s3://elsewhere/shards")
        assert not list((tmp_path / "shards").iterdir())


def test_a_copy_that_was_cut_on_the_disk_is_no_copy(tmp_path: Path) -> None:
    shards, (folder, shard) = ShardCache(tmp_path, 10**6), (tmp_path, index.Shard("a", 1, 100, "0" * 64))
    (folder / f"{shard.sha256}.arrow").write_bytes(bytes(99))
    assert not shards.has(shard)
    (folder / f"{shard.sha256}.arrow").write_bytes(bytes(100))
    assert shards.has(shard)


def test_an_eviction_removes_copies_and_leftovers_and_nothing_else(tmp_path: Path) -> None:
    copy, part = f"{'a' * 64}.arrow", f".{'b' * 64}.17.part"
    own = ("notes.txt", ".hidden", "table.arrow", f"{'c' * 64}.txt", "draft.part")
    for name in (copy, part, *own):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (1000, 1000))
    (tmp_path / "folder").mkdir()
    assert ShardCache(tmp_path, 100)._evict(5) == 0
    assert {path.name for path in tmp_path.iterdir()} == {*own, "folder"}


@pytest.mark.parametrize("text", ["much", "nan", "-1"])
def test_a_bound_that_is_no_number_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.GIGABYTES, text)
    with pytest.raises(SadclError, match=cache.GIGABYTES):
        cache.local()


def _objects(moto: str) -> list[dict[str, object]]:
    return list(client(moto).list_objects_v2(Bucket="photos")["Contents"])
