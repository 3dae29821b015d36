"""Fuzzed Parquet files of a registered version: scores, and the table of photos."""

import io
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.fuzz.mutation import pick, structure, text
from benchmarks.fuzz.version_file import CLASSES, DIGESTS


def scores(rng: Random) -> dict[str, bytes]:
    """Draw scores of a few images, with other columns, types and metadata."""
    n, width = rng.choice((0, 1, 2, 5)), len(CLASSES)
    about: dict[str, Any] = {
        "classes": list(CLASSES), "digests": DIGESTS, "cost": {"sadcl": {"bytes": 1, "parameters": 1}}, "refused": None,
        "seen": {"sadcl": 0}, "decisions": {"sadcl": {"slope": [1.0] * 3, "bias": [0.0] * 3, "thresholds": [0.5] * 3}},
    }  # fmt: skip
    if rng.random() < 0.1:
        about["classes"] = [str(i) for i in range(rng.choice((0, 2, 10**5)))]
    numbers = pick(rng, (0.5, -3.0), (float("nan"), float("inf"), 3e38), 0.05)
    columns: dict[str, pa.Array] = {
        "id": pa.array([str(i) for i in range(n)], pa.string()),
        "sha256": pa.array(["c" * 64] * n, pa.string()),
        "targets": pa.array([sorted({rng.randrange(width)}) for _ in range(n)], pa.list_(pa.int32())),
        "ignored": pa.array([[] for _ in range(n)], pa.list_(pa.int32())),
        "slice_side": pa.array([rng.choice((1, 2)) for _ in range(n)], pa.int64()),
        "logits_sadcl": pa.array([[numbers] * width for _ in range(n)], pa.list_(pa.float32())),
        "logits_sadcl@blur": pa.array([[0.5] * width for _ in range(n)], pa.list_(pa.float32())),
    }
    return {"scores.parquet": _written(rng, n, columns, about)}


def _written(rng: Random, n: int, columns: dict[str, pa.Array], about: dict[str, Any]) -> bytes:
    """A Parquet file of the columns, some of them renamed, of other types, or gone."""
    width = len(CLASSES)
    long = rng.choice((10, 10**4, 10**6, 3 * 10**6))
    odd: tuple[Callable[[], pa.Array], ...] = (
        lambda: pa.nulls(n), lambda: pa.array([2**62] * n), lambda: pa.array(["x"] * n),
        lambda: pa.array([{"a": 1}] * n),
        lambda: pa.array([[width]] * n, pa.list_(pa.int32())), lambda: pa.array([[-1]] * n, pa.list_(pa.int32())),
        lambda: pa.array([None] * n, pa.list_(pa.float32())),
        lambda: pa.array([[None] * width] * n, pa.list_(pa.int32())),
        lambda: pa.array([np.zeros(long // max(n, 1), np.float32)] * n), lambda: pa.array([[["x"]]] * n),
        lambda: pa.array(["x" * 1000] * n).dictionary_encode(), lambda: pa.array([b"\xff"] * n),
        lambda: pa.array([np.zeros(long // max(n, 1), np.int32)] * n),
    )  # fmt: skip
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        name = rng.choice(sorted(columns))
        way = rng.randrange(4)
        if way == 0:
            del columns[name]
            break
        if way == 1:
            columns[f"{name}{rng.choice(('', 'x'))}"] = columns.pop(name)
        else:
            columns[rng.choice((name, "slice_x", "logits_x"))] = rng.choice(odd)()
    if rng.random() < 0.03:
        columns |= {f"slice_{i}": pa.nulls(n) for i in range(1_200)}
    compression, small = rng.choice(("zstd", "none", "gzip")), rng.random() < 0.7
    if n and rng.random() < 0.05 and sum(array.nbytes for array in columns.values()) < 10_000:
        # a million equal rows only where they make a small file: a large one may take memory
        many = 10**6 if small and compression != "none" else 10**5
        rows = pa.array(np.zeros(rng.choice((10**4, many)), np.int64))
        columns = {name: array.take(rows) for name, array in columns.items()}
    table = pa.table(columns).replace_schema_metadata(
        {"sadcl": text(rng, structure(rng, about, rng.choice((0, 0, 1))))}
    )
    out = io.BytesIO()
    pq.write_table(
        table, out, compression=compression, use_dictionary=small,
        row_group_size=rng.choice((1, None)) if len(table) < 100 else None,
    )  # fmt: skip
    return out.getvalue()


def annotations(rng: Random) -> dict[str, bytes]:
    """Draw an annotation table of a few photos, with other columns, types and metadata."""
    n, width = rng.choice((0, 1, 2, 5)), len(CLASSES)
    about: dict[str, Any] = {
        "classes": list(CLASSES), "source": "data/raw/x", "protocol": {},
        "look_alikes": [["0", "1", "mirrored", rng.choice((0.9, 1, None, "x"))]] * rng.choice((0, 1, 3)),
    }  # fmt: skip
    lists = pa.list_(pa.int32())
    columns: dict[str, pa.Array] = {
        "image_id": pa.array([str(i) for i in range(n)], pa.string()),
        "file": pa.array(
            [rng.choice(("a.jpg", "../../x", "/etc/passwd", "\u202e.jpg")) for _ in range(n)], pa.string()
        ),
        "split": pa.array([rng.choice(("train", "select", "test", "test", "other")) for _ in range(n)], pa.string()),
        "labels": pa.array([sorted({rng.randrange(width)}) for _ in range(n)], lists),
        "ignored": pa.array([[] for _ in range(n)], lists),
        "sha256": pa.array([rng.choice((None, "c" * 64, f"{i:064}")) for i in range(n)], pa.string()),
        "width": pa.array([1] * n, pa.int64()),
    }
    return {"annotations.parquet": _written(rng, n, columns, about)}


def read_annotations(root: Path) -> None:
    """Compare the table with itself, as a page does."""
    from sadcl.review import data_changes

    path = root / "annotations.parquet"
    value = data_changes.compare(path, path, path)
    assert not any(value["counts"].values())


def read_scores(root: Path) -> None:
    """Read scores, and compute the figures that a page shows."""
    from sadcl.evaluation.scores import read_scores

    read = read_scores(root / "scores.parquet")
    read.labels_digest()
    assert len(read.ids) == len(read.sha256) == len(read.targets)
    for name in read.models:
        with np.errstate(all="ignore"):
            if len(read) < 1000:
                read.figures(name, 0.5)
            read.in_use(name)
