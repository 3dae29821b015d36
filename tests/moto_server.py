"""A server that speaks S3, on loopback: moto."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Run a server in a folder; its address."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    server = subprocess.Popen(
        command, cwd=folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert server.stderr is not None
    reader = threading.Thread(target=server.stderr.read)  # so that its log never fills the pipe
    with server.stderr:
        try:
            matches = (re.search(r"Running on (http://\S+)", line) for line in server.stderr)
            address = next(match[1] for match in matches if match)
            reader.start()
            yield address
        finally:
            server.terminate()
            server.wait(30)
            if reader.is_alive():
                reader.join()
