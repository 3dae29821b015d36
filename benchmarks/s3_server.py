"""A server that speaks S3 (moto) on loopback, for measurements."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sadcl import s3

BUCKET = "photos"
KEYS = {"AWS_ACCESS_KEY_ID": "anybody", "AWS_SECRET_ACCESS_KEY": "anything", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def bucket(folder: Path) -> Iterator[str]:
    """Run a server in a folder, let this process and its children use it, and yield the address of an empty bucket."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    server = subprocess.Popen(
        command, cwd=folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert server.stderr is not None
    reader = threading.Thread(target=server.stderr.read)  # so that its log never fills the pipe
    try:
        matches = (re.search(r"Running on (http://\S+)", line) for line in server.stderr)
        os.environ.update({**KEYS, "AWS_ENDPOINT_URL": next(match[1] for match in matches if match)})
        reader.start()
        s3._client().create_bucket(Bucket=BUCKET)
        yield f"{s3.SCHEME}{BUCKET}"
    finally:
        server.terminate()
        server.wait(30)
        if reader.is_alive():
            reader.join()
