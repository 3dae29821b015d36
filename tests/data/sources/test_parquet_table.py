"""Parquet tables: memory of columns that are not used, and indexes of classes."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sadcl.data.sources.parquet_table import BATCH, open_rows
from tests.data.sources.reading import labels_of, read, refused


def test_columns_that_are_not_used_take_no_memory(tmp_path: Path) -> None:
    path, size = tmp_path / "a.parquet", 4_000
    columns: dict[str, Any] = {
        "file": [f"{i}.jpg" for i in range(BATCH)],
        "photo": [i.to_bytes(2, "big") * (size // 2) for i in range(BATCH)],
        "labels": [["cup"]] * BATCH,
    }
    pq.write_table(pa.table(columns), path)
    before = pa.total_allocated_bytes()
    names, records = open_rows(path)
    _, fields = next(iter(records))
    assert (names, fields) == (["file", "labels"], {"file": "0.jpg", "labels": ["cup"]})
    assert pa.total_allocated_bytes() - before < BATCH * size / 4


def test_names_of_columns_may_begin_alike(tmp_path: Path) -> None:
    arrays = [pa.array([b"x"]), pa.array(["1.jpg"]), pa.array(["night"]), pa.array(["cup"])]
    table = pa.Table.from_arrays(arrays, names=["light.map", "file", "light", "labels"])
    pq.write_table(table, tmp_path / "a.parquet")
    source = read(tmp_path, "parquet", "a.parquet")
    assert (labels_of(source), source.images[0].slices) == ({"1.jpg": {"cup"}}, {"light": "night"})
    repeated = pa.Table.from_arrays(arrays[1:], names=["file", "light", "light"])
    pq.write_table(repeated, tmp_path / "a.parquet")
    refused("'light' occurs twice", tmp_path, "parquet", "a.parquet")


def indexed(root: Path, labels: pa.Array) -> None:
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    files = [f"{i}.jpg" for i in range(len(labels))]
    table = pa.table({"file": files, "label": labels}, metadata={"huggingface": json.dumps(features)})
    pq.write_table(table, root / "a.parquet")


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.int8()])
def test_indexes_of_classes(tmp_path: Path, kind: pa.DataType) -> None:
    indexed(tmp_path, pa.array([0, 1, None, -1], kind))
    assert labels_of(read(tmp_path, "parquet", "a.parquet")) == {
        "0.jpg": {"cat"}, "1.jpg": {"dog"}, "2.jpg": set(), "3.jpg": set(),
    }  # fmt: skip


@pytest.mark.parametrize("labels", [[0, 5], [[0], [1, 2]], [0.0, 0.5], [-1, -2]])
def test_a_number_that_is_no_index_of_a_class_is_refused(tmp_path: Path, labels: list[Any]) -> None:
    indexed(tmp_path, pa.array(labels))
    refused(r"not the index of one of the 2 classes.*a\.parquet, row 2", tmp_path, "parquet", "a.parquet")
