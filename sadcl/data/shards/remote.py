"""Photos of shards that lie on S3: from copies on this machine, or one by one until the copies are there."""

import os
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

import numpy as np

from sadcl import s3
from sadcl.data.shards.cache import OTHER, REWRITE, OtherContentError, ShardCache
from sadcl.data.shards.index import Index
from sadcl.errors import SadclError, first_line
from sadcl.progress import say

DOWNLOADS = 4
"""Shards that are copied at a time."""
PAUSE = 0.5
"""Seconds before another look at a shard that another process is copying."""


class RemotePhotos:
    """Encoded photos of a split with a store.

    Copies of its shards come in the background, in the order in which photos are expected. A photo whose shard is not
    copied yet, or for which the cache has no room, is read from S3 alone.

    Args:
        index: of the split; its ``store`` is an address.
        cache: of the copies.
    """

    def __init__(self, index: Index, cache: ShardCache) -> None:
        assert index.store is not None
        self._shards, self._store, self._cache = index.shards, index.store, cache
        self._paths = [str(cache.path(shard)) for shard in self._shards]
        self._present = np.array([cache.has(shard) for shard in self._shards], bool)
        self._waiting: deque[int] = deque()
        self._copying = 0
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._others: dict[int, OtherContentError] = {}
        self._is_stopped = False
        self._reasons: set[str] = set()
        cache.use(self._shards)

    @property
    def is_complete(self) -> bool:
        """Whether all shards are copied."""
        return bool(self._present.all())

    def read(self, shard: int, offset: int, length: int) -> bytes:
        """Read an encoded photo; safe in threads.

        Args:
            shard: number of the shard in the index.
            offset: of the photo's first byte in the shard.
            length: number of its bytes.

        Raises:
            SadclError: S3 does not answer, or lacks the shard, or has another one under its name.
        """
        if shard in self._others:
            raise self._others[shard]
        if self._present[shard]:
            with suppress(OSError):  # emptied by another program meanwhile
                data = _read(self._paths[shard], offset, length)
                if len(data) == length:
                    return data
            self._present[shard] = False
        try:
            return s3.read_range(self._address(shard), offset, length, self._shards[shard].sha256)
        except s3.ChangedError as error:
            raise OtherContentError(OTHER, where=error.where, fix=REWRITE) from None
        except s3.GoneError as error:
            raise SadclError("The shard is no longer in the store", where=error.where, fix=REWRITE) from None

    def expect(self, shards: Iterable[int]) -> None:
        """Copy the shards that are not here in the background, in the given order; the last call counts."""
        needed = list(dict.fromkeys(shards))
        for shard in needed:  # somebody may have emptied the cache
            self._present[shard] = self._cache.has(self._shards[shard])
        order = [shard for shard in needed if not self._present[shard]]
        self._cache.use(self._shards[shard] for shard in np.flatnonzero(self._present))
        with self._lock:
            self._waiting, self._is_stopped = deque(order), False
            missing = DOWNLOADS - self._copying if order else 0
            self._copying += missing
            # daemons: a training that ends does not wait for copies that nobody needs any more
            more = [threading.Thread(target=self._copy, daemon=True) for _ in range(missing)]
            self._threads = [*(thread for thread in self._threads if thread.is_alive()), *more]
        for thread in more:
            thread.start()

    def wait(self) -> None:
        """Wait until the expected shards are copied, or copying has stopped."""
        for thread in self._threads:
            thread.join()

    def _copy(self) -> None:
        """Copy shards until none is waiting or copying has to stop."""
        while True:
            # under the lock: `expect` must not count a thread that is about to end
            with self._lock:
                if self._is_stopped or not self._waiting:
                    self._copying -= 1
                    return
                shard = self._waiting.popleft()
            try:
                if self._cache.download(self._shards[shard], self._address(shard)):
                    self._present[shard] = True
                else:
                    self._waiting.append(shard)
                    time.sleep(PAUSE)
            except OtherContentError as error:
                self._others[shard] = error
            except SadclError as error:
                self._stop(error.what)
            except OSError as error:
                self._stop(f"The cache of shards can't be written: {first_line(error)}")

    def _stop(self, reason: str) -> None:
        with self._lock:
            is_news = reason not in self._reasons
            self._is_stopped = True
            self._reasons.add(reason)
        if is_news:
            say(f"  {reason}. Further photos are read from S3 one by one.")

    def _address(self, shard: int) -> str:
        return s3.join(self._store, self._shards[shard].object_name)


def _read(path: str, offset: int, length: int) -> bytes:
    """Read bytes of a file without a file object, which costs more than a small photo's bytes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, length, offset)
    finally:
        os.close(descriptor)
