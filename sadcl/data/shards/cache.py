"""Copies of shards that lie on S3: named by their digests, within a bound, shared by all processes of a machine."""

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import ClassVar

from sadcl import files, layout, s3
from sadcl.data.shards.index import SUFFIX, Shard
from sadcl.errors import SadclError

FOLDER, GIGABYTES = "SADCL_SHARD_CACHE", "SADCL_SHARD_CACHE_GB"
DEFAULT_GIGABYTES = 50.0
ABANDONED = 3600.0
"""Seconds after which a file that nobody writes to any more is a leftover."""
SPARE = 20
"""An eviction leaves one part in so many of the bound free."""
RECOUNTED = 16
"""Other processes share the folder: its size is counted anew after so many copies."""
REWRITE = "Write the shards again with `dvc repro --force --single-item prepare`"

OTHER = "An object is not the shard that was written"


class OtherContentError(SadclError):
    """An object is not the shard of its name."""


class ShardCache:
    """A folder of shards. It may be emptied at any time; a shard appears there whole or not at all.

    Args:
        folder: of the copies; created with the first one.
        most: bytes of all copies.
    """

    _used: ClassVar[set[str]] = set()
    """Digests of the shards that this process works with, in any cache: they are not evicted."""
    _lock: ClassVar = threading.Lock()

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most = folder, most
        self._total = self._pending = self._count = 0

    def path(self, shard: Shard) -> Path:
        """Path of a shard's copy, whether it is there or not."""
        return self.folder / shard.object_name

    def has(self, shard: Shard) -> bool:
        """Whether a shard's copy is there."""
        try:
            return self.path(shard).stat().st_size == shard.bytes
        except OSError:
            return False

    def use(self, shards: Iterable[Shard]) -> None:
        """Keep the copies of shards while this process lives, and count them as used now."""
        for shard in shards:
            self._used.add(shard.sha256)
            with suppress(OSError):
                os.utime(self.path(shard))

    def download(self, shard: Shard, address: str) -> bool:
        """Copy a shard from S3; whether it is here now, which it is not while another process copies it.

        Raises:
            OtherContentError: the object is not the shard.
            SadclError: the cache is full, or S3 does not answer.
            OSError: the folder can't be written to.
        """
        with self._exclusive(shard) as temporary:
            if temporary is None or self.has(shard):
                return temporary is not None
            with self._room(shard.bytes) as has_room:
                if not has_room:
                    bound = f"{self.most / 1e9:.3g} GB, {GIGABYTES}"
                    raise SadclError(f"The cache of shards is full ({bound})", where=self.folder)
                with temporary.open("w+b") as file:
                    s3.download(address, file)
                    os.fsync(file.fileno())
                if files.digest(temporary) != shard.sha256:
                    raise OtherContentError(OTHER, where=address, fix=REWRITE)
                os.replace(temporary, self.path(shard))
            return True

    def move(self, path: Path, shard: Shard) -> None:
        """Move a shard that was written on this machine into the cache where there is room, and remove it else."""
        with suppress(OSError), self._exclusive(shard) as temporary:
            if temporary is not None and not self.has(shard):
                with self._room(shard.bytes) as has_room:
                    if has_room:
                        files.link(path, temporary)
                        os.replace(temporary, self.path(shard))
        path.unlink()

    @contextmanager
    def _exclusive(self, shard: Shard) -> Iterator[Path | None]:
        """A path to write a shard to, while no other process writes it; None where one does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self.folder / f".{shard.sha256}.lock"
        # of this process alone: whoever removes the lock file lets another process lock a new one
        temporary = self.folder / f".{shard.sha256}.{os.getpid()}.part"
        with ExitStack() as stack:
            try:
                stack.enter_context(files.open_locked(lock, wait=False))
            except BlockingIOError:  # another process is at it
                yield None
                return
            stack.callback(lock.unlink, missing_ok=True)
            for leftover in self.folder.glob(f".{shard.sha256}.*.part"):  # of a process that was killed
                leftover.unlink(missing_ok=True)
            stack.callback(temporary.unlink, missing_ok=True)
            yield temporary

    @contextmanager
    def _room(self, needed: int) -> Iterator[bool]:
        """Reserve room for some bytes while they are written; False where there is none."""
        with self._lock:
            if self._count % RECOUNTED == 0 or self._total + needed > self.most:
                self._total = self._pending + self._evict(self.most - self._pending - needed)
            self._count += 1
            has_room = self._total + needed <= self.most
            reserved = needed if has_room else 0
            self._total += reserved
            self._pending += reserved
        try:
            yield has_room
        finally:
            with self._lock:
                self._pending -= reserved

    def _evict(self, most: int) -> int:
        """Remove copies that this process does not work with, the longest unused first; return the bytes that stay."""
        copies = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # removed by another process
                status = path.stat()
                # other files are somebody else's: the folder may be one that holds more than this cache
                if path.suffix == SUFFIX and files.is_digest(path.stem):
                    copies.append((status.st_mtime_ns, status.st_size, path))
                elif _is_temporary(path.name) and time.time() - status.st_mtime > ABANDONED:
                    path.unlink()
        total = sum(size for _, size, _ in copies)
        # some more than needed: the next shards find room without another look at the whole folder
        enough = most if total <= most else most - self.most // SPARE
        for _, size, path in sorted(copies):
            if total <= enough:
                break
            if path.stem not in self._used:
                path.unlink(missing_ok=True)
                total -= size
        return total


def _is_temporary(name: str) -> bool:
    """Whether a file of this name is a lock or a partial copy of this cache."""
    return name.startswith(".") and files.is_digest(name[1:65]) and name.endswith((".part", ".lock"))


def local() -> ShardCache:
    """The cache of this machine: ``SADCL_SHARD_CACHE``, or a folder of the project; ``SADCL_SHARD_CACHE_GB`` bounds it.

    Raises:
        SadclError: the bound is no number of GB.
    """
    text = os.environ.get(GIGABYTES) or str(DEFAULT_GIGABYTES)
    try:
        gigabytes = float(text)
        if not 0 <= gigabytes < 1e9:
            raise ValueError
    except ValueError:
        raise SadclError(f"{text} is no number of GB", where=GIGABYTES, fix="Write one, such as 50") from None
    return ShardCache(Path(os.environ.get(FOLDER) or layout.SHARD_CACHE), int(gigabytes * 1e9))
