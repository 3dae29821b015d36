"""Cache of what was found out about each photo, so that unchanged files are not decoded again."""

from collections.abc import Iterable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import PIL
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from sadcl import files
from sadcl.data.images.inspect import PhotoInfo, inspect

_Key = tuple[str, int, int]
"""Path relative to the repository, size in bytes, time of change in nanoseconds."""

_REMEMBERED = pa.schema(
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
    ]
)


class PhotoCache:
    """Facts of good photos, by file and by digest; problems are always looked at again.

    Args:
        path: where it is kept between runs.
        max_pixels: as in ``facts.inspect``; with another value, or another decoder, everything is read anew.
    """

    def __init__(self, path: Path, max_pixels: int) -> None:
        self._path = path
        self._max_pixels = max_pixels
        self._rules = f"2/{max_pixels}/{PIL.__version__}/{simplejpeg.__version__}".encode()
        self._stored: dict[_Key, PhotoInfo] = {}
        self._known: dict[str, PhotoInfo] = {}
        self._seen: dict[_Key, PhotoInfo] = {}
        for key, facts in _load(path, self._rules):
            self._stored[key] = self._known[facts.sha256] = facts

    def facts(self, root: Path, name: str) -> PhotoInfo:
        """Facts of the file ``name`` below ``root``, from memory where nothing changed. Safe in threads."""
        path = root / name
        try:
            stat = path.stat()
            key = (name, stat.st_size, stat.st_mtime_ns)
        except (OSError, ValueError):
            return inspect(path, self._max_pixels)
        found = self._stored.get(key) or inspect(path, self._max_pixels, self._known)
        if found.problem is None:
            self._seen[key] = found
        return found

    def keep(self) -> None:
        """Write it down, with what was known before: a source that is away may come back."""
        kept = {**self._stored, **self._seen}
        if kept == self._stored:
            return
        rows = [(*key, *astuple(facts)[:-1]) for key, facts in sorted(kept.items())]
        columns: list[Any] = list(zip(*rows, strict=True)) or [[] for _ in _REMEMBERED]
        table = pa.table([pa.array(c, f.type) for c, f in zip(columns, _REMEMBERED, strict=True)], schema=_REMEMBERED)
        with files.atomic_write(self._path) as beside:
            pq.write_table(table.replace_schema_metadata({b"rules": self._rules}), beside)


def _load(path: Path, rules: bytes) -> Iterable[tuple[_Key, PhotoInfo]]:
    try:
        table = pq.read_table(path)
        if (table.schema.metadata or {}).get(b"rules") != rules or not table.schema.equals(_REMEMBERED):
            return []
        columns = [table.column(name).to_pylist() for name in _REMEMBERED.names]
    except (OSError, pa.ArrowException):  # absent or damaged: then everything is read again
        return []
    rows = zip(*columns, strict=True)
    return [((path, size, time), PhotoInfo(*rest)) for path, size, time, *rest in rows]
