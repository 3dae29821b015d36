"""A worker process seen from its parent: pieces go in, and results, losses and late photos come out."""

import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection
from signal import Signals

import pyarrow as pa

from sadcl import processes
from sadcl.batch import child, stream
from sadcl.batch.journal import Journal
from sadcl.batch.lease import Done, Event, Late, Lost
from sadcl.batch.spec import Spec
from sadcl.errors import SadclError, first_line
from sadcl.progress import duration

AHEAD = 2
"""Pieces that a worker has, the one being computed included."""
PAUSE = 5.0
"""Seconds between two looks at a worker that show that this process was stopped; usual is half a second."""


class WorkerProcess:
    """A process that computes one piece after the other.

    Args:
        spec: of the job.
        environment: further variables of the process.

    Raises:
        SadclError: the system starts no further process.
    """

    def __init__(self, spec: Spec, environment: dict[str, str]) -> None:
        self.spec = spec
        self.is_ready = self._has_ended = False
        self._pieces: deque[int] = deque()
        self._last_look = self._watched_since = time.monotonic()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - read after the process has ended
        parent_end, child_end = socket.socketpair()
        with tempfile.TemporaryFile() as shared, child_end:
            self._journal = Journal(shared.fileno(), spec.threads)
            numbers = (child_end.fileno(), shared.fileno())
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "sadcl.batch.child", *map(str, numbers)], pass_fds=numbers,
                    env=processes.child_environment(**environment), stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=self._stderr,
                )  # fmt: skip
            except OSError as error:
                for resource in (parent_end, self._journal, self._stderr):
                    resource.close()
                reason = f"A worker can't be started: {first_line(error)}"
                raise SadclError(reason, fix="Use fewer workers") from None
        self.connection = Connection(parent_end.detach())
        self._send(child.message(spec.to_json()))

    @property
    def pending(self) -> int:
        """Number of pieces that it has."""
        return len(self._pieces)

    def submit(self, number: int, rows: pa.Table) -> None:
        """Hand over a piece; a loss shows in ``receive``."""
        self._pieces.append(number)
        self._send(child.message({"number": number}, stream.dump(rows)))

    def receive(self) -> list[Event] | None:
        """Read one message of a connection that has one; None where the process has ended.

        Raises:
            SadclError: the worker refused to start or to go on.
        """
        try:
            header, payload = child.parse(self.connection.recv_bytes())
        except (EOFError, OSError):
            self._has_ended = True
            return None
        if header["kind"] == child.REFUSED:
            raise SadclError(header["what"], where=header["where"] or None, fix=header["fix"])
        self.is_ready = True
        if header["kind"] == child.READY:
            return []
        self._pieces.popleft()
        return [Done(header["number"], stream.load(payload))]

    def late(self) -> Late | None:
        """The photo that has been decoded for too long, if there is one.

        Where this process was stopped for a while (Ctrl-Z, a frozen container), photos count from its return.
        """
        now = time.monotonic()
        if now - self._last_look > PAUSE:
            self._watched_since = now
        self._last_look = now
        photos = self._journal.photos() if self._pieces else []
        if not photos:
            return None
        index, seconds = max(photos, key=lambda photo: photo[1])
        if min(seconds, now - self._watched_since) <= self.spec.seconds:
            return None
        return Late(self._pieces[0], index, f"Reading and decoding took longer than {duration(self.spec.seconds)}")

    def lost(self) -> list[Lost]:
        """Events of all pieces of an ended process; the first was being computed where the process was ready."""
        status = self.stop()
        suspects = tuple(index for index, _ in self._journal.photos())
        begun = self._pieces[0] if self._pieces and self.is_ready else None
        words = self.last_words()
        reason = f"The worker that decoded this photo ended ({ending(status)})" + (f": {words}" if words else "")
        return [
            Lost(number, reason, suspects, True) if number == begun else Lost(number, reason, counted=False)
            for number in self._pieces
        ]

    def last_words(self) -> str:
        """The last line that the process wrote to stderr; empty where there is none."""
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    def stop(self) -> int:
        """End the process; return its status, negative for a signal."""
        try:
            # the kernel closes its connection a moment before its status is there
            self._process.wait(1.0 if self._has_ended else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
        return self._process.wait()

    def close(self) -> None:
        """End the process and release what belongs to it."""
        self.stop()
        self.connection.close()
        self._journal.close()
        self._stderr.close()

    def _send(self, data: bytes) -> None:
        with suppress(OSError):  # the process has ended, which shows when its connection is read
            self.connection.send_bytes(data)


def ending(status: int) -> str:
    """How a process ended, in words, by its status; signals for real time have no names."""
    if status >= 0:
        return f"status {status}"
    return f"signal {Signals(-status).name if -status in set(Signals) else -status}"
