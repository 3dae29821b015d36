"""Scores of a split by workers: those of one process, with the same bits however many workers there are and end."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sadcl import files, params
from sadcl.batch import score_worker, scoring
from sadcl.batch.journal import Journal
from sadcl.batch.scoring import Scoring
from sadcl.batch.spec import Spec, versions
from sadcl.data import table
from sadcl.data.images import decode
from sadcl.data.shards import writer
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation.passes import NotComputedError, Pass, compute_here
from sadcl.model.tagger import Floats
from tests.batch.conftest import CLASSES, MODEL, begin_with, write_model, write_photo

PHOTOS, BATCH = 42, 4
HOSTILE = """
import hashlib, os, pathlib
from sadcl.data.images import decode
pixels, marker = decode.pixels, pathlib.Path({marker!r})
def hostile(data, **how):
    with open({log!r}, "a") as log:
        print(hashlib.sha256(data).hexdigest(), file=log)
    if hashlib.sha256(data).hexdigest() == {digest!r} and ({always} or not marker.exists()):
        marker.touch()
        os.kill(os.getpid(), 9)
    return pixels(data, **how)
decode.pixels = hostile
"""
"""Start of the workers' Python: logs photos that are decoded, and a photo ends the worker, once or always."""


def write_split(root: Path, photos: int, different: int) -> Shards:
    """Shards of a test split, in which photos repeat after some different ones."""
    rows = []
    for seed in range(photos):
        file = root / f"raw/{seed % different:02d}.jpg"
        if seed < different:
            write_photo(file, seed)
        rows.append(
            {
                "image_id": f"{seed:04d}", "file": file.name, "split": "test", "labels": [seed % 3], "ignored": [],
                "width": 80, "height": 60, "bytes": file.stat().st_size, "sha256": files.digest(file),
                "brightness": 99.0, "sharpness": 9.0, "phash": 1, "problem": None,
            }
        )  # fmt: skip
    annotations = table.Table(pd.DataFrame(rows), tuple(CLASSES), "raw", {})
    writer.write_shards(annotations, root, root / "shards", params.Prepare(shard_rows=64), workers=1)
    return Shards(root / "shards/test")


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return write_split(tmp_path_factory.mktemp("split"), PHOTOS, PHOTOS)


@pytest.fixture(scope="module")
def passes(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Pass]:
    """Two networks of different sides, and one of them on dark photos; their files have the same name."""
    larger = MODEL.model_copy(update={"side": 96})
    other = write_model(tmp_path_factory.mktemp("other") / "weights.safetensors", 1, larger)
    return [Pass(model, "best", "first"), Pass(other, "ema", "second"), Pass(model, "best", "dark", "dark")]


@pytest.fixture(scope="module")
def expected_scores(split: Shards, passes: list[Pass], tmp_path_factory: pytest.TempPathFactory) -> list[Floats]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SADCL_WORKERS", "1")
        return Scoring("local", tmp_path_factory.mktemp("cache")).compute(passes, split, BATCH)


def hostile(folder: Path, split: Shards, row: int, always: bool, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the photo of a row end workers; return the log of photos that are decoded."""
    digest, log = hashlib.sha256(split.jpeg(row)).hexdigest(), folder / "log"
    names = {"marker": str(folder / "marker"), "log": str(log), "digest": digest, "always": always}
    begin_with(HOSTILE.format(**names), folder, monkeypatch)
    return log


def equal(first: list[Floats], second: list[Floats]) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))


def test_workers_agree_with_one_process(split: Shards, passes: list[Pass], expected_scores: list[Floats]) -> None:
    local = compute_here(passes, split, BATCH)
    for logits, expected in zip(expected_scores, local, strict=True):
        assert logits.shape == (PHOTOS, len(CLASSES))
        np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert np.abs(local[0] - local[2]).max() > 0.01
    assert np.abs(local[0] - local[1]).max() > 0.01


def test_several_workers_of_which_one_is_killed_change_no_bit(
    split: Shards, passes: list[Pass], expected_scores: list[Floats], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SADCL_WORKERS", "2")
    hostile(tmp_path, split, 30, always=False, monkeypatch=monkeypatch)
    job = Scoring("local", tmp_path / "cache")
    assert equal(job.compute(passes, split, BATCH), expected_scores)
    assert (tmp_path / "marker").exists()
    job.clear()
    assert not list((tmp_path / "cache").iterdir())


def test_a_photo_that_ends_workers_is_named_and_what_was_scored_is_not_scored_again(
    split: Shards, passes: list[Pass], expected_scores: list[Floats], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("SADCL_WORKERS", "1")
    with monkeypatch.context() as interrupted:
        hostile(tmp_path, split, 30, always=True, monkeypatch=interrupted)
        with pytest.raises(NotComputedError, match=r"can't be scored: .*signal SIGKILL") as caught:
            Scoring("local", tmp_path / "cache").compute(passes, split, BATCH)
    assert str(caught.value.where) == f"image 0030 of {split.directory}"
    next((tmp_path / "cache").glob("*/0.arrow")).write_bytes(b"damaged")
    (tmp_path / "second").mkdir()
    log = hostile(tmp_path / "second", split, -1, always=False, monkeypatch=monkeypatch)
    (tmp_path / "second/marker").touch()
    capsys.readouterr()
    assert equal(Scoring("local", tmp_path / "cache").compute(passes, split, BATCH), expected_scores)
    assert " of 42 images were scored before" in capsys.readouterr().out
    decoded = set(log.read_text().split())
    assert hashlib.sha256(split.jpeg(0)).hexdigest() in decoded
    assert hashlib.sha256(split.jpeg(14)).hexdigest() not in decoded


def test_a_photo_that_cannot_be_decoded_is_named(
    split: Shards, passes: list[Pass], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, damaged = decode.pixels, split.jpeg(5)

    def refuse(data: bytes, **how: int) -> np.ndarray:
        if data == damaged:
            raise SadclError("The image is truncated")
        return pixels(data, **how)

    monkeypatch.setattr(decode, "pixels", refuse)
    with open(tmp_path / "journal", "w+b") as shared:
        worker = score_worker.Worker(spec(split, passes), Journal(shared.fileno(), 2))
        results = worker.run(scoring._rows(scoring.Piece(scoring.Chunk(0, PHOTOS, ""), (4, 5, 6))))
    with pytest.raises(SadclError, match="A photo can't be scored: The image is truncated") as caught:
        scoring._Results(tmp_path, split, len(passes)).add(scoring.Chunk(0, PHOTOS, ""), results)
    assert str(caught.value.where) == f"image 0005 of {split.directory}"
    assert not list(tmp_path.glob("*.arrow"))


@pytest.mark.parametrize(
    ("root", "words"), [("nowhere", "are not visible from here"), (None, "are others than those of the job")]
)
def test_a_node_without_the_shards_is_refused(
    split: Shards, passes: list[Pass], tmp_path: Path, root: str | None, words: str
) -> None:
    described = spec(split, passes, **({"root": str(tmp_path / root)} if root else {"shards": "0" * 64}))
    with open(tmp_path / "journal", "w+b") as shared, pytest.raises(SadclError, match=words):
        score_worker.Worker(described, Journal(shared.fileno(), 2))


def spec(split: Shards, passes: list[Pass], **changed: str) -> Spec:
    own = scoring._spec(passes, split, BATCH, 2)
    settings = {**own.settings, "shards": changed.get("shards", split.digest)}
    return Spec(
        "score", changed.get("root", own.root), own.models, own.digests, 2, 60.0,
        versions(*score_worker.CODE), settings,
    )  # fmt: skip
