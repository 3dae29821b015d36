"""Chunks: named by content, cut by content, whatever is added elsewhere."""

import pyarrow as pa

from sadcl.batch import chunks
from sadcl.batch.chunks import Chunk
from sadcl.data import manifest
from sadcl.data.manifest import Row


def listed(count: int, size: int = 100_000) -> list[Row]:
    return [(f"2026/{number:07d}.jpg", size, str(number)) for number in range(count)]


def cut(rows: list[Row], salt: str = "model") -> list[Chunk]:
    return list(chunks.cut(manifest.tables(rows), salt))


def keys(rows: list[Row], salt: str = "model") -> set[str]:
    return {chunk.key for chunk in cut(rows, salt)}


def test_chunks_cover_all_rows_in_order_and_none_is_large() -> None:
    all_chunks = cut(listed(200_000))
    ends = [chunk.first + chunk.count for chunk in all_chunks]
    assert [chunk.first for chunk in all_chunks] == [0, *ends[:-1]]
    assert ends[-1] == 200_000
    assert max(chunk.count for chunk in all_chunks) <= chunks.MOST * chunks.PHOTOS
    assert 0.5 < 200_000 / len(all_chunks) / chunks.PHOTOS < 2


def test_large_photos_make_small_chunks() -> None:
    all_chunks = cut(listed(20_000, size=5_000_000))
    assert 0.5 < 20_000 * 5_000_000 / len(all_chunks) / chunks.BYTES < 2
    assert max(chunk.count for chunk in all_chunks) * 5_000_000 <= (chunks.MOST + 1) * chunks.BYTES


def test_a_new_photo_changes_the_chunk_that_it_falls_into() -> None:
    rows = listed(100_000)
    new = sorted([*rows, ("2026/0000000a.jpg", 1, "0"), ("2026/0050000a.jpg", 1, "0")])
    assert len(keys(new) - keys(rows)) <= 4
    assert len(keys(rows) & keys(new)) > 30


def test_model_settings_and_version_of_a_photo_change_the_key() -> None:
    rows = listed(10)
    assert not keys(rows) & keys(rows, "other model")
    assert not keys(rows) & keys([*rows[:-1], (rows[-1][0], rows[-1][1], "later")])


def test_chunks_do_not_depend_on_how_rows_are_grouped() -> None:
    rows = listed(50_000)
    whole = pa.concat_tables(list(manifest.tables(rows)))
    groups = [whole.slice(start, 777) for start in range(0, len(whole), 777)]
    assert list(chunks.cut(groups, "model")) == cut(rows)


def test_pieces_never_share_a_batch() -> None:
    chunk = Chunk(0, 300, "key")
    wanted = [*range(10, 50), 70, *range(200, 300)]
    parts = [piece.indexes for piece in chunks.pieces(chunk, wanted, 64)]
    assert [index for part in parts for index in part] == wanted
    assert all(part[0] // 64 == part[-1] // 64 for part in parts)
