"""The photo cache: damage of any kind costs entries, and no run."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from sadcl.data.images.inspect import PhotoInfo
from sadcl.data.photo_cache import PhotoCache

MARK = "needle-in-a-name"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (20, 10), "red").save(tmp_path / "1.png")
    return tmp_path / "1.png"


def facts(photo: Path) -> tuple[PhotoInfo, bytes]:
    """Facts of the photo, and the cache's file after a run."""
    path = photo.parent / "cache.parquet"
    cache = PhotoCache(path, 10_000)
    info = cache.facts(f"{MARK}.png", photo)
    cache.save()
    return info, path.read_bytes()


@pytest.mark.parametrize("has_checksums", [True, False], ids=["checksums", "none"])
def test_text_that_is_no_longer_utf_8_empties_the_cache(has_checksums: bool, photo: Path) -> None:
    before, data = facts(photo)
    path = photo.parent / "cache.parquet"
    if not has_checksums:  # as earlier releases wrote it
        pq.write_table(pq.read_table(path), path)
    path.write_bytes(path.read_bytes().replace(MARK.encode(), b"\xff" + MARK[1:].encode(), 1))
    assert facts(photo) == (before, data)


def test_no_changed_byte_of_a_page_becomes_a_fact(photo: Path) -> None:
    before, data = facts(photo)
    digest = before.sha256.encode()
    start = data.index(digest)
    other = bytes([digest[0] ^ 1]) + digest[1:]
    (photo.parent / "cache.parquet").write_bytes(data[:start] + other + data[start + len(digest) :])
    assert facts(photo) == (before, data)
