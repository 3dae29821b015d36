"""Photo cache: facts of each photo between runs, so that an unchanged one is neither read nor decoded again."""

from collections.abc import Iterable
from dataclasses import astuple
from pathlib import Path
from typing import Any

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
        entries = {**self._stored, **self._current}
        if entries == self._stored:
            return
        rows = [(*key, *astuple(facts)[:-1]) for key, facts in sorted(entries.items())]
        columns: list[Any] = list(zip(*rows, strict=True)) or [[] for _ in _SCHEMA]
        table = pa.table([pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA)
        with files.atomic_write(self._path) as temporary_path:
            pq.write_table(table.replace_schema_metadata({b"rules": self._rules}), temporary_path)


def _version(photo: Path | ListedPhoto) -> tuple[int, str] | None:
    """Size and version of a photo; None where it has none, such as a missing file."""
    if isinstance(photo, ListedPhoto):
        return None if photo.size is None or photo.etag is None else (photo.size, photo.etag)
    try:
        status = photo.stat()
    except (OSError, ValueError):
        return None
    return status.st_size, str(status.st_mtime_ns)


def _load(path: Path, rules: bytes) -> Iterable[tuple[_Key, PhotoInfo]]:
    try:
        table = pq.read_table(path)
        if (table.schema.metadata or {}).get(b"rules") != rules or not table.schema.equals(_SCHEMA):
            return []
        columns = [table.column(name).to_pylist() for name in _SCHEMA.names]
    except (OSError, pa.ArrowException):  # absent or damaged: every photo is read again
        return []
    rows = zip(*columns, strict=True)
    return [((path, size, version), PhotoInfo(*rest)) for path, size, version, *rest in rows]
