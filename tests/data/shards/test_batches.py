"""Batches: each photo once an epoch, the same pixels whoever works, and errors that name the photo."""

import gc
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sadcl import files, params
from sadcl.data import table
from sadcl.data.images import augment, decode, normalise
from sadcl.data.images.resize import squash
from sadcl.data.shards import batches as loading
from sadcl.data.shards import writer
from sadcl.data.shards.batches import Batch, TrainingBatches, evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError

MODEL = params.Model(
    backbone="none", side=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3), width=8, heads=1, feedforward=8, embedding=8
)
COUNT, CLASSES = 23, ("cat", "dog", "cow")
KINDS = ("none", "shift", "cutout_randaugment", "multiscale_crop")


def prepared(root: Path, count: int = COUNT, broken: int | None = None) -> Shards:
    """Shards of photos that all differ; one of them may be damaged after the table was written."""
    rng, rows = np.random.default_rng(0), []
    (root / "raw").mkdir(parents=True)
    for i in range(count):
        path = root / f"raw/{i}.jpg"
        Image.fromarray(rng.integers(0, 256, (20 + i % 5, 30, 3), dtype=np.uint8)).save(path)
        if i == broken:
            path.write_bytes(path.read_bytes()[:200])
        rows.append({
            "image_id": f"id {i:02d}", "file": f"{i}.jpg", "split": "train", "labels": [i % 3],
            "ignored": [(i + 1) % 3] if i % 2 else [], "width": 30, "height": 20 + i % 5,
            "brightness": 99.0, "sharpness": 9.0, "phash": 1,
            "bytes": path.stat().st_size, "sha256": files.digest(path), "problem": None,
        })  # fmt: skip
    writer.write_shards(table.Table(pd.DataFrame(rows), CLASSES, "raw", {}), root, root / "shards", params.Prepare(), 1)
    return Shards(root / "shards/train")


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return prepared(tmp_path_factory.mktemp("train"))


def batches(train: Shards, kind: str = "shift", batch: int = 5, seed: int = 1, **options: Any) -> TrainingBatches:
    how = params.Augmentation.model_validate({"kind": kind, "flip": True})
    return TrainingBatches(train, MODEL, how, batch, seed, **{"workers": 2, **options})


def pixels(loaded: list[Batch]) -> dict[str, bytes]:
    """The pixels of each photo, by its id."""
    return {image_id: batch.images[i].numpy().tobytes() for batch in loaded for i, image_id in enumerate(batch.ids)}


def threads() -> int:
    return sum(thread.name.startswith("photos") for thread in threading.enumerate())


# What a batch is


def test_a_batch_carries_its_photos_labels_and_rows(train: Shards) -> None:
    for batch in batches(train).epoch(0):
        assert batch.images.shape == (5, 3, 16, 16)
        assert batch.images.dtype == torch.float32
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.targets.dtype == batch.ignored.dtype == torch.bool
        assert batch.ids == [train.ids[row] for row in batch.rows]
        assert np.array_equal(batch.targets.numpy(), train.targets[batch.rows])
        assert np.array_equal(batch.ignored.numpy(), train.ignored[batch.rows])


def test_pixels_are_normalised_by_mean_and_std(train: Shards) -> None:
    first = next(iter(evaluation_batches(train, MODEL, 4, workers=1)))
    for i in range(4):
        plain = squash(decode.pixels(train.jpeg(i), at_least=16), 16).astype(np.float64)
        expected = (plain / 255 - np.array(MODEL.mean)) / np.array(MODEL.std)
        np.testing.assert_allclose(first.images[i].permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_prediction_and_training_normalise_to_the_same_bytes(train: Shards) -> None:
    stacked = np.stack([squash(decode.pixels(train.jpeg(i), at_least=16), 16) for i in range(COUNT)])
    (batch,) = evaluation_batches(train, MODEL, COUNT)
    alone = normalise.normalise(stacked, MODEL.mean, MODEL.std)
    assert torch.equal(alone, batch.images)
    assert alone.is_contiguous(memory_format=torch.channels_last)


# Order


def test_evaluation_goes_through_all_photos_in_order(train: Shards) -> None:
    loaded = list(evaluation_batches(train, MODEL, 10, workers=3))
    assert [len(batch.ids) for batch in loaded] == [10, 10, 3]
    assert [image_id for batch in loaded for image_id in batch.ids] == train.ids
    assert np.concatenate([batch.rows for batch in loaded]).tolist() == list(range(COUNT))


def test_evaluation_of_nothing_is_no_batch(train: Shards) -> None:
    assert list(evaluation_batches(Shards(train.directory.parent / "select"), MODEL, 10)) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.integers(1, 60), seed=st.integers(0, 2**32), epoch=st.integers(0, 1000))
def test_an_epoch_draws_no_photo_twice_and_fills_every_batch(train: Shards, batch: int, seed: int, epoch: int) -> None:
    drawn = batches(train, batch=batch, seed=seed)
    size = min(batch, COUNT)
    rows = [drawn.rows(epoch, step) for step in range(drawn.steps)]
    assert drawn.steps == COUNT // size >= 1
    assert all(len(part) == size for part in rows)
    assert len(set(np.concatenate(rows).tolist())) == drawn.steps * size


def test_order_follows_seed_and_epoch(train: Shards) -> None:
    orders = [
        np.concatenate([batches(train, seed=seed).rows(epoch, step) for step in range(4)]).tolist()
        for seed, epoch in [(1, 0), (1, 1), (2, 0), (1, 0)]
    ]
    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) == 3


def test_an_epoch_can_start_at_any_step(train: Shards) -> None:
    drawn = batches(train)
    whole, rest = list(drawn.epoch(3)), list(drawn.epoch(3, start=2))
    assert [batch.ids for batch in rest] == [batch.ids for batch in whole[2:]]
    assert all(torch.equal(a.images, b.images) for a, b in zip(rest, whole[2:], strict=True))
    assert list(drawn.epoch(3, start=drawn.steps)) == []


# The same pixels whoever works


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_follow_seed_epoch_and_photo_only(train: Shards, kind: str) -> None:
    """Neither workers, nor batch size, nor the cache, nor an earlier epoch changes a pixel."""
    usual = pixels(list(batches(train, kind, workers=1, batch=1).epoch(1)))
    cached = batches(train, kind, workers=4, batch=1)
    list(cached.epoch(0))
    assert pixels(list(cached.epoch(1))) == usual
    assert pixels(list(batches(train, kind, workers=3, batch=COUNT, keep_bytes=0).epoch(1))) == usual
    if kind != "none":
        assert pixels(list(batches(train, kind, batch=1).epoch(2))) != usual
        assert pixels(list(batches(train, kind, batch=1, seed=2).epoch(1))) != usual


def test_a_photo_is_decoded_once_where_all_fit_in_memory(train: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    real = Shards.jpeg
    monkeypatch.setattr(Shards, "jpeg", lambda self, i: reads.append(i) or real(self, i))
    cached, uncached = batches(train, batch=COUNT), batches(train, batch=COUNT, keep_bytes=COUNT * 16 * 16 * 3 - 1)
    for drawn, expected in ((cached, COUNT), (uncached, 3 * COUNT)):
        reads.clear()
        for epoch in range(3):
            list(drawn.epoch(epoch))
        assert len(reads) == expected


def test_processes_share_the_global_batch(train: Shards) -> None:
    whole = list(batches(train, batch=6).epoch(0))
    parts = [list(batches(train, batch=6, rank=rank, world=3).epoch(0)) for rank in range(3)]
    for step, batch in enumerate(whole):
        assert [image_id for part in parts for image_id in part[step].ids] == batch.ids
        assert torch.equal(torch.cat([part[step].images for part in parts]), batch.images)
        assert np.array_equal(batches(train, batch=6, rank=1, world=3).rows(0, step), batch.rows)


def test_every_process_knows_how_many_positives_each_part_has(train: Shards) -> None:
    whole = list(batches(train, batch=6).epoch(0))
    parts = [list(batches(train, batch=6, rank=rank, world=3).epoch(0)) for rank in range(3)]
    for all_of_it, *step_parts in zip(whole, *parts, strict=True):
        shares = tuple(len(part.positives[0]) for part in step_parts)
        assert [part.shares for part in step_parts] == [shares] * 3
        assert all_of_it.shares == (sum(shares),)
        assert all(bool(part.targets[part.positives].all()) for part in step_parts)


def test_batches_have_no_bound_on_pixels(train: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ingest.max_pixels`` may be above the usual bound; it must not come back in the middle of a training."""
    usual = decode.pixels.__kwdefaults__
    monkeypatch.setattr(decode.pixels, "__kwdefaults__", {**usual, "max_pixels": 10})
    with pytest.raises(SadclError, match="at most 10"):
        decode.pixels(train.jpeg(0))
    assert len(list(batches(train).epoch(0))) == 4
    assert len(list(evaluation_batches(train, MODEL, COUNT))) == 1


# What can go wrong


def test_a_split_smaller_than_the_batch_is_one_batch(tmp_path: Path) -> None:
    small = batches(prepared(tmp_path, count=1), batch=32)
    assert small.steps == 1
    assert [batch.ids for batch in small.epoch(0)] == [["id 00"]]


def test_a_split_without_photos_is_refused(train: Shards) -> None:
    with pytest.raises(SadclError, match="has 0 photos"):
        batches(Shards(train.directory.parent / "select"))


def test_a_batch_that_cannot_be_shared_is_refused(train: Shards) -> None:
    with pytest.raises(SadclError, match="2 processes can't share a batch of 5"):
        batches(train, world=2)


def test_a_small_split_is_one_batch_and_loses_no_photo_to_the_number_of_processes(train: Shards) -> None:
    with pytest.raises(SadclError, match="2 processes can't share a batch of 23"):
        batches(train, batch=32, world=2)
    assert len(batches(train, batch=32, world=23).rows(0, 0)) == 23


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_photo_is_named(tmp_path: Path, kind: str) -> None:
    broken = prepared(tmp_path, broken=7)
    with pytest.raises(SadclError, match=r"damaged.*image id 07"):
        list(batches(broken, kind, batch=23).epoch(0))
    with pytest.raises(SadclError, match=r"damaged.*image id 07"):
        list(evaluation_batches(broken, MODEL, 4))
    assert threads() == 0


def test_a_bug_in_a_worker_reaches_the_consumer_with_the_photos_name(
    train: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> np.ndarray:
        raise ZeroDivisionError

    monkeypatch.setattr(augment, "shift", fails)
    with pytest.raises(ZeroDivisionError) as caught:
        list(batches(train).epoch(0))
    assert "image id " in caught.value.__notes__[0]
    assert threads() == 0


def test_a_consumer_may_stop_early(train: Shards) -> None:
    for batch in batches(train, batch=2).epoch(0):
        assert len(batch.ids) == 2
        break
    del batch
    gc.collect()
    assert threads() == 0


def test_few_batches_are_prepared_ahead(train: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    real = Shards.jpeg
    monkeypatch.setattr(Shards, "jpeg", lambda self, i: reads.append(i) or real(self, i))
    ahead = batches(train, batch=2, keep_bytes=0).epoch(0)
    next(ahead)
    ahead.close()  # type: ignore[attr-defined]
    assert len(reads) <= 2 * (1 + loading.AHEAD)


def test_memory_does_not_grow_during_an_epoch(tmp_path: Path) -> None:
    """900 batches of 448 px, of which all together would fill 17 GB."""
    train = prepared(tmp_path, count=60)
    how = params.Augmentation(kind="multiscale_crop", flip=True)
    model = MODEL.model_copy(update={"side": 448})
    held, process = [], psutil.Process()
    for epoch in range(60):
        for _ in TrainingBatches(train, model, how, 4, 1, workers=2, keep_bytes=0).epoch(epoch):
            held.append(process.memory_info().rss)
    assert len(held) == 900
    assert max(held[200:]) - held[200] < 100e6
