"""Encoded shards of earlier runs of ``prepare``, of interrupted ones too: what is unchanged is not encoded again."""

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pyarrow as pa

from sadcl import files, params
from sadcl.data.shards import index
from sadcl.data.shards.index import Shard

SUFFIX = ".arrow"
CODE = ("data/images", "data/shards")
LIBRARIES = ("pillow", "simplejpeg", "numpy", "pyarrow")
"""Folders of code and distributions that decide the bytes of a shard, with its rows and the settings."""


class EncodedShards:
    """Links to shards, each named by the digest of what decides its bytes and by that of its bytes.

    Args:
        folder: of the links.
        settings: of ``prepare``.
    """

    def __init__(self, folder: Path, settings: params.Prepare) -> None:
        self._folder = folder
        versions = {name: metadata.version(name) for name in LIBRARIES}
        values = [settings.short_side, settings.quality, files.digest_of_code(*CODE), versions]
        self._salt = files.digest_of(values)
        self._used: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

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

    def take(self, key: str, path: Path, rows: int) -> Shard | None:
        """Link the shard of a key to a path; None where there is none, or another program has changed it.

        Args:
            key: of the shard.
            path: of the link, in a folder without it.
            rows: number of photos.
        """
        for earlier in self._folder.glob(f"{key}-*{SUFFIX}"):
            files.link(earlier, path)
            shard = index.describe(path, rows)
            if earlier.stem == f"{key}-{shard.sha256}":
                self._used.add(earlier.name)
                return shard
            path.unlink()
            earlier.unlink()
        return None

    def keep(self, key: str, path: Path, shard: Shard) -> None:
        """Keep a shard that was written for a later run."""
        name = f"{key}-{shard.sha256}{SUFFIX}"
        self._used.add(name)
        if not (self._folder / name).exists():
            files.link(path, self._folder / name)

    def remove_unused(self) -> None:
        """Remove the shards that this run has neither taken nor written."""
        for path in self._folder.glob(f"*{SUFFIX}"):
            if path.name not in self._used:
                path.unlink()
