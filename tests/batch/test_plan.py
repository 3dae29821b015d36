"""Plans: what is computed again and what is taken from earlier parts, without any worker."""

from pathlib import Path

import pyarrow as pa
import pytest

from sadcl.batch import listing, parts, plan
from sadcl.batch.parts import About, Collector
from sadcl.data import manifest
from sadcl.data.manifest import Manifest, Row

ABOUT = About("0" * 64, ("cat", "dog"), None)


def listed(folder: Path, rows: list[Row]) -> Manifest:
    manifest.write(folder / listing.FILE, "place", sorted(rows))
    return Manifest(folder / listing.FILE)


def finish(folder: Path, rows: list[Row], failed: set[str], about: About = ABOUT, retry: bool = False) -> list[str]:
    """Write all parts of a manifest as workers would; return the paths that were computed."""
    todo = plan.make(listed(folder, rows), folder, about, retry)
    collector, computed = Collector(folder, todo.manifest, about), []
    for piece in todo.pieces(collector, 32):
        for path, index in zip(todo.rows(piece)["path"].to_pylist(), piece.indexes, strict=True):
            computed.append(path)
            if path in failed:
                collector.fail(piece.chunk, index, "no photo")
            else:
                collector.add(piece.chunk, result(index))
    todo.manifest.close()
    assert {parts.name(chunk.key) for chunk in todo.chunks} <= parts.written(folder)
    return computed


def result(index: int) -> pa.Table:
    row = {"index": index, "labels": ["cat"], "probabilities": [0.75, 0.25], "error": None}
    return pa.Table.from_pylist([row], parts.RESULTS)


def rows(count: int = 5_000) -> list[Row]:
    return [(f"{number:05d}.jpg", 7, "1") for number in range(count)]


def test_only_new_and_changed_photos_are_computed(tmp_path: Path) -> None:
    assert len(finish(tmp_path, rows(), set())) == 5_000
    assert finish(tmp_path, rows(), set()) == []
    changed: list[Row] = [*rows()[:-2], ("04998.jpg", 7, "2"), ("04999.jpg", 8, "1"), ("00000a.jpg", 7, "1")]
    assert finish(tmp_path, changed, set()) == ["00000a.jpg", "04998.jpg", "04999.jpg"]


def test_photos_without_a_version_are_computed_with_their_chunk(tmp_path: Path) -> None:
    """Without a version, nothing says that a photo is the same."""
    unknown: list[Row] = [(path, 7, None) for path, _, _ in rows(40)]
    finish(tmp_path, unknown, set())
    assert len(finish(tmp_path, [*unknown, ("new.jpg", 7, None)], set())) == 41


def test_failures_stay_until_they_are_asked_for(tmp_path: Path) -> None:
    bad = {"00007.jpg", "03000.jpg"}
    finish(tmp_path, rows(), bad)
    assert finish(tmp_path, [*rows(), ("0.jpg", 7, "1")], bad) == ["0.jpg"]
    assert set(finish(tmp_path, [*rows(), ("0.jpg", 7, "1")], {"00007.jpg"}, retry=True)) == bad
    assert finish(tmp_path, [*rows(), ("0.jpg", 7, "1")], set(), retry=True) == ["00007.jpg"]


@pytest.mark.parametrize(
    "other",
    [
        About("1" * 64, ("cat", "dog"), None),
        About("0" * 64, ("cat", "dog"), 0.3),
        About("0" * 64, ("cat", "dog"), None, {"torch": "3.0"}),
    ],
)
def test_another_model_threshold_or_version_computes_everything(other: About, tmp_path: Path) -> None:
    finish(tmp_path, rows(100), set())
    assert len(finish(tmp_path, rows(100), set(), other)) == 100


def test_a_damaged_part_of_earlier_photos_is_not_used(tmp_path: Path) -> None:
    finish(tmp_path, rows(100), set())
    for path in tmp_path.glob("part-*"):
        path.write_bytes(b"damaged")
    assert len(finish(tmp_path, [*rows(100), ("new.jpg", 7, "1")], set())) == 101
