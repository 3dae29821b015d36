"""The child process of a worker, so that a photo which crashes the decoder ends no more than that process.

Messages are a line of JSON and, after it, an Arrow stream.
"""

import json
import os
import sys
import threading
from importlib import import_module
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from sadcl import processes, s3
from sadcl.errors import SadclError, first_line

READY, REFUSED, DONE = "ready", "refused", "done"
WORKERS = {
    "predict": "sadcl.batch.worker", "score": "sadcl.batch.score_worker", "encode": "sadcl.batch.encode_worker",
}  # fmt: skip
"""Module of each job's ``Worker``; a job imports its own alone."""


def message(header: dict[str, Any], payload: bytes = b"") -> bytes:
    """Bytes of a message."""
    return json.dumps(header).encode() + b"\n" + payload


def parse(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and payload of a message."""
    header, _, payload = data.partition(b"\n")
    return json.loads(header), payload


def main(connection_fd: int, journal_fd: int) -> None:
    """Answer the parent's messages until it closes the connection."""
    processes.end_with_parents()
    connection, waiting = Connection(connection_fd), SimpleQueue[bytes]()
    # in a thread: while results are sent, the parent may be sending, too
    threading.Thread(target=_receive, args=(connection, waiting), daemon=True).start()
    spec, _ = parse(waiting.get())
    try:
        worker = _worker(spec, journal_fd)
    except SadclError as error:
        connection.send_bytes(_refusal(error))
        return
    connection.send_bytes(message({"kind": READY}))
    from sadcl.batch import stream

    while True:
        header, payload = parse(waiting.get())
        try:
            results = stream.dump(worker.run(stream.load(payload)))
        except s3.CredentialsError as error:  # no photo is to blame, and no other worker of this machine does better
            connection.send_bytes(_refusal(error))
            return
        connection.send_bytes(message({"kind": DONE, "number": header["number"]}, results))


def _refusal(error: SadclError) -> bytes:
    return message({"kind": REFUSED, "what": error.what, "where": str(error.where or ""), "fix": error.fix})


def _worker(value: dict[str, Any], journal_fd: int) -> Any:
    processes.before_torch()
    import torch

    from sadcl.batch.journal import Journal
    from sadcl.batch.spec import Spec

    # one thread: several workers fill the cores better than several threads, and sums keep their order
    torch.set_num_threads(1)
    spec = Spec(**value)
    try:
        return import_module(WORKERS[spec.job]).Worker(spec, Journal(journal_fd, spec.threads))
    except (RuntimeError, MemoryError, OSError) as error:
        raise SadclError(f"The worker can't start: {first_line(error)}") from None


def _receive(connection: "Connection[bytes, bytes]", waiting: "SimpleQueue[bytes]") -> None:
    while True:
        try:
            waiting.put(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
