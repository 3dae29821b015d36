"""Memory that a worker shares with its parent: which photos it decodes at the moment, readable after it has crashed."""

import mmap
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

_ENTRY = struct.Struct("qd")
"""Index of a photo plus one, or 0; and when its decoding began, by the clock that processes of a machine share."""


class Journal:
    """A few entries, one for each thread.

    Args:
        descriptor: of a temporary file that both processes have open.
        threads: most threads that decode at a time.
    """

    def __init__(self, descriptor: int, threads: int) -> None:
        size = threads * _ENTRY.size
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
        self._memory = mmap.mmap(descriptor, size)
        self._free = list(range(0, size, _ENTRY.size))
        self._offsets = tuple(self._free)

    @contextmanager
    def entry(self, index: int) -> Iterator[None]:
        """Hold an entry for a photo while it is decoded."""
        offset = self._free.pop()
        _ENTRY.pack_into(self._memory, offset, index + 1, time.monotonic())
        try:
            yield
        finally:
            _ENTRY.pack_into(self._memory, offset, 0, 0.0)
            self._free.append(offset)

    def photos(self) -> list[tuple[int, float]]:
        """Index of each photo that is being decoded, and the seconds that it has taken."""
        now, entries = time.monotonic(), [_ENTRY.unpack_from(self._memory, offset) for offset in self._offsets]
        return [(number - 1, now - began) for number, began in entries if number]

    def close(self) -> None:
        """Release the memory."""
        self._memory.close()
