"""A server that speaks S3 (moto) on loopback, for tests and measurements."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUCKET = "photos"
KEYS = {"AWS_ACCESS_KEY_ID": "anybody", "AWS_SECRET_ACCESS_KEY": "anything", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Run a server in a folder; its address."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    server = subprocess.Popen(
        command, cwd=folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert server.stderr is not None
    # so that its log never fills the pipe; a daemon, since exit handlers, which end the server, wait for other threads
    reader = threading.Thread(target=server.stderr.read, daemon=True)
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


@contextmanager
def bucket(folder: Path) -> Iterator[str]:
    """Run a server in a folder, let this process and its children use it, and yield the address of an empty bucket."""
    from sadcl import s3

    with serve(folder) as address:
        os.environ.update({**KEYS, "AWS_ENDPOINT_URL": address})
        s3.shared_client().create_bucket(Bucket=BUCKET)
        yield f"{s3.SCHEME}{BUCKET}"
