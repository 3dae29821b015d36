"""Photo cache: facts of each photo between runs, so that an unchanged one is neither read nor decoded again."""

from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

import PIL
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from sadcl import files
from sadcl.data.images import heif
from sadcl.data.images.inspect import PhotoInfo, inspect
from sadcl.data.listed_photos import ListedPhoto

_Key = tuple[str, int, str]
"""Path relative to the project, size in bytes, and modification time in nanoseconds or etag."""

_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("brightness", pa.float64()),
        ("sharpness", pa.float64()),
        ("phash", pa.uint64()),
        ("thumbnail", pa.binary()),
    ]
)


_GROUP = 10_000
"""Photos that are read or written at a time."""


class PhotoCache:
    """Facts of usable photos, by path and by digest; a photo with a problem is read again in every run.

    A moved photo is found by its digest, and not decoded again.

    Args:
        path: Parquet file between runs.
        max_pixels: most pixels that a header may claim; another value, or another decoder, empties the cache.
    """

    def __init__(self, path: Path, max_pixels: int) -> None:
        self._path = path
        self._max_pixels = max_pixels
        versions = "/".join((PIL.__version__, simplejpeg.__version__, heif.version()))
        self._rules = f"5/{max_pixels}/{versions}".encode()
        self._stored: dict[_Key, PhotoInfo] = {}
        self._known: dict[str, PhotoInfo] = {}
        self._current: dict[_Key, PhotoInfo] = {}
        for key, facts in _load(path, self._rules):
            self._stored[key] = self._known[facts.sha256] = facts

    def facts(self, name: str, photo: Path | ListedPhoto) -> PhotoInfo:
        """Facts of a photo, from the cache where it is unchanged. Safe in threads.

        Args:
            name: its path relative to the project.
            photo: its file or object.

        Raises:
            RefusedError: S3 gives no answer, or refuses.
        """
        version = _version(photo)
        if version is None:
            return inspect(photo, self._max_pixels)
        key = (name, *version)
        facts = self._stored.get(key) or inspect(photo, self._max_pixels, self._known)
        if facts.problem is None:
            self._current[key] = facts
        return facts

    def save(self) -> None:
        """Write the cache to its file, with the entries of earlier runs: a source that is gone may come back."""
        if self._current.items() <= self._stored.items():
            return
        entries = {**self._stored, **self._current}
        with (
            files.atomic_write(self._path) as temporary_path,
            pq.ParquetWriter(
                temporary_path, _SCHEMA.with_metadata({b"rules": self._rules}), write_page_checksum=True
            ) as writer,
        ):
            # group by group: Python values of a million photos fill gigabytes
            keys = sorted(entries)
            for start in range(0, len(keys), _GROUP):
                rows = [(*key, *astuple(entries[key])[:-1]) for key in keys[start : start + _GROUP]]
                columns = zip(*rows, strict=True)
                arrays = [pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)]
                writer.write_batch(pa.record_batch(arrays, schema=writer.schema))


def _version(photo: Path | ListedPhoto) -> tuple[int, str] | None:
    """Size and version of a photo; None where it has none, such as a missing file."""
    if isinstance(photo, ListedPhoto):
        return None if photo.size is None or photo.etag is None else (photo.size, photo.etag)
    try:
        status = photo.stat()
    except (OSError, ValueError):
        return None
    return status.st_size, str(status.st_mtime_ns)


def _load(path: Path, rules: bytes) -> Iterator[tuple[_Key, PhotoInfo]]:
    """Entries of the file, up to where it is damaged; none where it is absent or of other rules."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            if (schema.metadata or {}).get(b"rules") != rules or not schema.equals(_SCHEMA):
                return
            for batch in file.iter_batches(_GROUP):
                columns = (column.to_pylist() for column in batch.columns)
                for name, size, version, *rest in zip(*columns, strict=True):
                    yield (name, size, version), PhotoInfo(*rest)
    except (OSError, ValueError, pa.ArrowException):  # text that is not UTF-8 is a ValueError
        return
