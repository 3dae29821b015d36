"""The worker of shards: encodes photos, and writes a shard's file where it has all of its rows."""

import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from sadcl import files, params
from sadcl.batch.journal import Journal
from sadcl.batch.spec import SHARE_FOLDER, Spec, require_equal, versions
from sadcl.data.shards import index
from sadcl.data.shards.encoding import encode_photo, write_shard
from sadcl.data.shards.index import Shard
from sadcl.data.shards.reader import COLUMNS, METADATA_KEY
from sadcl.errors import SadclError, first_line
from sadcl.processes import read_ahead

CODE = ("batch", "data")
"""Packages that decide the bytes of shards."""
INDEX, FILE = "photo.index", "photo.file"
"""Columns of a piece beside those of its shard: number of the row in the shard, and path of the photo."""
ROWS = b"rows"
"""Key of a piece's metadata: number of rows of its shard."""
RESULTS = pa.schema(
    {
        **{name: pa.int64() for name in ("photos", "bytes")},
        **{name: pa.string() for name in ("file", "sha256", "message", "where", "fix")},
    }
)
"""Columns of a piece's result, in one row: the number of its photos; file, size and digest of its shard, or nulls where
the piece is but a part of it; and the parts of an error where a photo can't be encoded."""

Photo = tuple[int, str, str, tuple[int, int]]
"""Number of the row in the shard, path, SHA-256 at ingest, and width and height."""


def worker_versions() -> dict[str, str]:
    """Versions of all that decides the bytes of shards, in this process."""
    return versions(*CODE)


class Worker:
    """Encodes pieces of shards.

    Args:
        spec: of the job; its root is the folder of the photos. Its settings are ``folder``, in which shards are
            written, and ``prepare``.
        journal: takes the photos that are being read and encoded.

    Raises:
        SadclError: a package has another version, or a folder is missing.
    """

    def __init__(self, spec: Spec, journal: Journal) -> None:
        require_equal(spec, worker_versions())
        self.source, self.folder = Path(spec.root), Path(spec.settings["folder"])
        for folder, access in ((self.source, os.R_OK), (self.folder, os.W_OK)):
            if not folder.is_dir():
                raise SadclError(f"The folder {folder} is not visible from here", fix=SHARE_FOLDER)
            if not os.access(folder, access | os.X_OK):
                raise SadclError(f"The folder {folder} refuses this user", fix=SHARE_FOLDER)
        self.settings = params.Prepare(**spec.settings["prepare"])
        self.journal, self.threads = journal, spec.threads
        self.pool = ThreadPoolExecutor(spec.threads)

    def run(self, rows: pa.Table) -> pa.Table:
        """Encode the photos of a piece, and write its shard if these are all of the shard's rows.

        Args:
            rows: ``INDEX``, ``FILE`` and all columns of the shard but the photos, with ``ROWS`` and the shard's own
                metadata.

        Returns:
            One row of ``RESULTS``.
        """
        try:
            shard = self._write(rows)
        except SadclError as error:
            where = None if error.where is None else str(error.where)
            return _result(photos=len(rows), message=error.what, where=where, fix=error.fix)
        if shard is None:
            return _result(photos=len(rows))
        return _result(photos=len(rows), file=shard.file, bytes=shard.bytes, sha256=shard.sha256)

    def _write(self, rows: pa.Table) -> Shard | None:
        """Encode all photos; returns the description of the shard, or None where the piece is but a part of it."""
        encoded = read_ahead(self.pool, self._photo, _photos(rows), most=4 * self.threads)
        if len(rows) < int(rows.schema.metadata[ROWS]):
            for _ in encoded:  # which photo ends a worker is all that a part can tell
                pass
            return None
        table = rows.drop_columns([INDEX, FILE])
        metadata = {METADATA_KEY: rows.schema.metadata[METADATA_KEY]}
        schema = pa.schema({**COLUMNS, **{field.name: field.type for field in table.schema}}, metadata)
        path = self.folder / f"{uuid.uuid4().hex}.arrow"
        try:
            with files.translate_disk_errors(path):
                write_shard(path, table, schema, encoded)
                return index.describe(path, len(rows))
        except OSError as error:  # no photo is to blame: the loop must not search for one
            raise SadclError(
                f"A shard can't be written: {first_line(error)}", where=self.folder, fix=SHARE_FOLDER
            ) from None

    def _photo(self, photo: Photo) -> bytes:
        number, file, sha256, size = photo
        with self.journal.entry(number):  # a disk can hang as a decoder can
            return encode_photo(self.source, file, sha256, size, self.settings)


def _photos(rows: pa.Table) -> Iterator[Photo]:
    columns = (rows[name].to_pylist() for name in (INDEX, FILE, "sha256", "width", "height"))
    for number, file, sha256, width, height in zip(*columns, strict=True):
        yield number, file, sha256, (width, height)


def _result(**fields: Any) -> pa.Table:
    return pa.table({name: pa.array([fields.get(name)], RESULTS.field(name).type) for name in RESULTS.names}, RESULTS)
