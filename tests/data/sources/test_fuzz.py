"""A short run of `make fuzz`: every reader accepts a file or gives one of our own errors, whatever it is given."""

import subprocess
import sys

from benchmarks.fuzz.__main__ import NAMES
from benchmarks.fuzz.formats import FORMATS
from sadcl.data import sources
from tests.paths import REPOSITORY

CASES = 500


def test_every_format_is_fuzzed() -> None:
    assert set(sources.readers()) <= set(FORMATS)


def test_odd_and_malformed_exports_end_in_a_source_or_a_sentence() -> None:
    each = -(-CASES // len(NAMES))
    command = [sys.executable, "-m", "benchmarks.fuzz", "--cases", str(each)]  # bounds of memory are its own process's
    completed = subprocess.run(command, cwd=REPOSITORY, text=True, capture_output=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert completed.stdout.count(" valid, ") == len(NAMES)
