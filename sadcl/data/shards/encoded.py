"""Shards that an interrupted run of ``prepare`` has encoded: the next run links them instead of encoding them again."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from sadcl import extras, files, params
from sadcl.data.images import heif
from sadcl.data.shards import index
from sadcl.data.shards.index import SUFFIX, Shard

CODE = ("data/images", "data/shards")
"""Folders of the code that decides the bytes of a shard."""
LIBRARIES = ("torch", "pillow", "simplejpeg", "numpy", "pyarrow")
"""Distributions that decide the bytes of a shard."""
ABANDONED = 14 * 24 * 3600.0
"""Seconds after which the shards of a run that nobody has finished are removed."""


class EncodedShards:
    """Links to shards, each named by the digest of what decides its bytes and by that of its bytes.

    Without room, or on a file system without hard links, none is added.

    Args:
        folder: of the links.
        settings: of ``prepare``.
    """

    def __init__(self, folder: Path, settings: params.Prepare) -> None:
        self._folder = folder
        versions = extras.versions(LIBRARIES) | {"heif": heif.version()}
        self._salt = files.digest_of([settings.short_side, settings.quality, files.digest_of_code(*CODE), versions])
        # listed once: there may be tens of thousands
        self._paths = {path.name.partition("-")[0]: path for path in folder.glob(f"*{SUFFIX}")}
        self._own: set[Path] = set()

    def __len__(self) -> int:
        """Number of shards from an interrupted run."""
        return len(self._paths)

    def key(self, rows: pa.Table, originals: Sequence[str]) -> str:
        """Digest of what decides the bytes of a shard.

        Args:
            rows: all columns but the photos, with the schema's metadata.
            originals: SHA-256 of each original photo.
        """
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows.combine_chunks())
        return files.digest_of([self._salt, sink.getvalue().to_pybytes().hex(), list(originals)])

    def link(self, key: str, path: Path, rows: int) -> Shard | None:
        """Link the shard of a key to a path; None where there is none, or another program has changed it.

        Args:
            key: of the shard.
            path: of the link, in a folder without it.
            rows: number of photos.
        """
        encoded = self._paths.get(key)
        if encoded is None:
            return None
        try:
            os.link(encoded, path)
            shard = index.describe(path, rows)
        except OSError:  # removed meanwhile
            path.unlink(missing_ok=True)  # writing to a link would change the other one
            return None
        if encoded.stem == f"{key}-{shard.sha256}":
            self._own.add(encoded)
            return shard
        path.unlink()
        encoded.unlink(missing_ok=True)
        return None

    def add(self, key: str, path: Path, shard: Shard) -> None:
        """Link a written shard into the folder, for the run after an interruption."""
        target = self._folder / f"{key}-{shard.sha256}{SUFFIX}"
        with suppress(OSError):
            os.link(path, target)
            self._own.add(target)

    def clear(self) -> None:
        """Remove the links of this run, which has ended, and those that are abandoned."""
        for path in self._folder.glob(f"*{SUFFIX}"):
            with suppress(OSError):
                if path in self._own or time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()
