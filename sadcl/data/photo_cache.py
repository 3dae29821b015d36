"""Photo cache: facts of each photo between runs, so that an unchanged file is neither opened nor decoded again."""

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

_Key = tuple[str, int, int]
"""Path relative to the project, size in bytes, modification time in nanoseconds."""

_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
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
    """Facts of usable photos, by file and by digest; a photo with a problem is read again in every run.

    A moved photo is found by its digest, and not decoded again.

    Args:
        path: Parquet file between runs.
        max_pixels: most pixels that a header may claim; another value, or another decoder, empties the cache.
    """

    def __init__(self, path: Path, max_pixels: int) -> None:
        self._path = path
        self._max_pixels = max_pixels
        versions = "/".join((PIL.__version__, simplejpeg.__version__, heif.version()))
        self._rules = f"4/{max_pixels}/{versions}".encode()
        self._stored: dict[_Key, PhotoInfo] = {}
        self._known: dict[str, PhotoInfo] = {}
        self._current: dict[_Key, PhotoInfo] = {}
        for key, facts in _load(path, self._rules):
            self._stored[key] = self._known[facts.sha256] = facts

    def facts(self, root: Path, name: str) -> PhotoInfo:
        """Facts of the file ``name`` below ``root``, from the cache where it is unchanged. Safe in threads."""
        path = root / name
        try:
            stat = path.stat()
            key = (name, stat.st_size, stat.st_mtime_ns)
        except (OSError, ValueError):
            return inspect(path, self._max_pixels)
        facts = self._stored.get(key) or inspect(path, self._max_pixels, self._known)
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


def _load(path: Path, rules: bytes) -> Iterable[tuple[_Key, PhotoInfo]]:
    try:
        table = pq.read_table(path)
        if (table.schema.metadata or {}).get(b"rules") != rules or not table.schema.equals(_SCHEMA):
            return []
        columns = [table.column(name).to_pylist() for name in _SCHEMA.names]
    except (OSError, pa.ArrowException):  # absent or damaged: every photo is read again
        return []
    rows = zip(*columns, strict=True)
    return [((path, size, time), PhotoInfo(*rest)) for path, size, time, *rest in rows]
