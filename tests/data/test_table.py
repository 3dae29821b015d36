"""The annotation table: written and read without loss, equal bytes for equal tables, other files refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sadcl.data import table
from sadcl.errors import SadclError


def small(**extra: object) -> table.Table:
    frame = pd.DataFrame(
        {
            "image_id": ["1", "2", "x/3"],
            "file": ["a.jpg", "b.jpg", "ü.jpg"],
            "split": ["train", "select", "test"],
            "labels": [[0, 2], [], [1]],
            "ignored": [[], [1], []],
            "width": [64, 0, 64],
            "height": [48, 0, 48],
            "bytes": [100, 0, 300],
            "sha256": ["aa", "", "cc"],
            "brightness": [99.5, 0.0, 12.0],
            "sharpness": [7.0, 0.0, 0.5],
            "phash": [2**64 - 1, 0, 3],
            "problem": [None, "The file is missing", None],
            **extra,
        }
    )
    protocol = {"train": {"images": 1, "ids": "ab"}}
    return table.Table(frame, ("cat", "dog", "Kühe; und mehr"), "data/raw/own", protocol)


def test_a_table_is_read_as_written(tmp_path: Path) -> None:
    written = small(camera=["left", None, "right"], iso=[100.0, None, 400.0])
    table.write_table(tmp_path / "t.parquet", written)
    read = table.read_table(tmp_path / "t.parquet")
    assert (read.classes, read.source, read.protocol) == (written.classes, written.source, written.protocol)
    assert read.frame["labels"].tolist() == [[0, 2], [], [1]]
    assert read.frame["problem"].tolist() == [None, "The file is missing", None]
    assert read.frame["width"].tolist() == [64, 0, 64]
    assert read.slices == ["camera", "iso"]
    assert read.frame["camera"].tolist() == ["left", None, "right"]
    assert read.frame["iso"].isna().tolist() == [False, True, False]
    assert read.split("test")["image_id"].tolist() == ["x/3"]


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    table.write_table(tmp_path / "a", small(iso=[1.0, None, 2.0]))
    table.write_table(tmp_path / "b", table.read_table(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_missing_values_of_pandas_give_the_same_bytes(tmp_path: Path) -> None:
    table.write_table(tmp_path / "a", small())
    with_na = small()
    with_na.frame["problem"] = pd.array([pd.NA, "The file is missing", pd.NA], dtype="string")
    with_na.frame["image_id"] = with_na.frame["image_id"].astype("string")
    table.write_table(tmp_path / "b", with_na)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("damage", ["missing", "truncated", "words", "foreign"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "t.parquet"
    table.write_table(path, small())
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-50])
    elif damage == "words":
        path.write_text("not a table")
    else:
        small().frame.to_parquet(path)
    with pytest.raises(SadclError, match=r"t\.parquet.*dvc repro ingest"):
        table.read_table(path)


def test_targets() -> None:
    assert table.targets([[0, 2], [], [1]], 3).tolist() == [[True, False, True], [False] * 3, [False, True, False]]
    assert table.targets([], 4).shape == (0, 4)
    assert not table.targets([[], []], 2).any()
    assert table.targets(pd.Series([[1], [0, 1]]), 2).dtype == np.bool_
