"""Fuzzing of every reader with malformed and odd exports: each must give a valid source or a ``SadclError``.

``python -m benchmarks.fuzz`` runs 20,000 cases for each format in runs of 500 and prints their seeds; ``--start SEED``
continues there, ``--format`` takes one format alone. Hypothesis shrinks a failing case and shows it.
"""

import argparse
import faulthandler
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from math import isfinite
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.fuzz.formats import FORMATS, Export
from benchmarks.fuzz.mutation import damaged
from sadcl import params
from sadcl.data import sources
from sadcl.data.onboarding.detect import detect_source
from sadcl.data.table import SCHEMA, SPLITS
from sadcl.errors import SadclError
from sadcl.progress import duration, say

SECONDS = 5
"""Seconds after which a case counts as hanging."""
MEMORY = 1_000_000_000
"""Largest peak memory of the process, in bytes."""
CEILING = 12_000_000_000
"""Limit of the address space, in bytes, so that a runaway case can't exhaust the machine."""
RUN = 500


class Hang(BaseException):
    """A case ran out of time."""


def main() -> int:
    """Run all cases; return the number of failing formats."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="for each format")
    parser.add_argument("--start", type=int, default=0, help="seed of the first run")
    parser.add_argument("--format", choices=sorted(sources.readers()), action="append")
    arguments = parser.parse_args()
    signal.signal(signal.SIGALRM, _hang)
    resource.setrlimit(resource.RLIMIT_AS, (CEILING, CEILING))
    faulthandler.enable()
    failed = [
        name
        for name in arguments.format or sorted(sources.readers())
        if not _all(name, arguments.cases, arguments.start)
    ]
    say(f"Failed: {', '.join(failed)}" if failed else "Every case gave a valid source or a SadclError.")
    return len(failed)


def _all(name: str, cases: int, start: int) -> bool:
    counts = {"valid": 0, "refused": 0}
    began = printed = time.monotonic()
    for number in range(start, start + -(-cases // RUN)):
        try:
            _run(name, number, min(RUN, cases), counts)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            import traceback

            traceback.print_exception(error, limit=-8)
            say(f"{name}: failed in the run of seed {number}; repeat: --format {name} --start {number} --cases {RUN}")
            return False
        if time.monotonic() - printed > 10:
            printed = time.monotonic()
            say(f"  {name}: seed {number}, {sum(counts.values()):,} cases, {_rate(counts, began)}")
    say(f"{name}: {counts['valid']:,} valid, {counts['refused']:,} refused, in {_rate(counts, began)}")
    return True


def _rate(counts: dict[str, int], began: float) -> str:
    spent = time.monotonic() - began
    return f"{duration(spent)}, {sum(counts.values()) / max(spent, 1e-9):,.0f} cases/s"


def _run(name: str, number: int, cases: int, counts: dict[str, int]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="sadcl-fuzz-"))

    @seed(number)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=True))
    def case(rng: Random) -> None:
        root = folder / "case"
        contents, ingest = export(name, rng)
        try:
            if write(root, contents):
                counts["valid" if is_valid(root, ingest) else "refused"] += 1
                recognised(root)
        except BaseException as error:
            error.add_note(f"Settings {ingest}\nFiles {ascii(contents)[:3000]}")
            raise
        finally:
            shutil.rmtree(root, ignore_errors=True)

    try:
        case()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def export(name: str, rng: Random) -> Export:
    """Draw an export, of which one file may be damaged, missing, or replaced by a folder."""
    files, ingest = FORMATS[name](rng)
    chance = rng.random()
    if files and chance < 0.3:
        file = rng.choice(sorted(files, key=ascii))
        if chance < 0.27:
            files[file] = damaged(rng, files[file])
        else:
            data = files.pop(file)
            if chance < 0.285:
                files[f"{file}/inner"] = data
    return files, ingest


def write(root: Path, files: dict[str, bytes]) -> bool:
    """Write the files whose names the disk accepts."""
    root.mkdir()
    for name, data in files.items():
        with suppress(OSError, ValueError):
            if ".." not in name.split("/") and not name.startswith("/"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(data)
    return True


def is_valid(root: Path, ingest: dict[str, Any]) -> bool:
    """Read a source under limits of time and memory; whether it is valid, and not refused.

    Raises:
        AssertionError: the reader accepts an invalid source, or memory exceeds its limit.
        Hang: the reader exceeds its time.
        Exception: any other error of the reader.
    """
    try:
        settings = params.Ingest.model_validate({"source": "own", **ingest})
    except ValidationError:
        return False
    signal.alarm(SECONDS)
    message = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            source = sources.read_source(root, settings)
    except SadclError as error:
        message = str(error)
    finally:
        signal.alarm(0)
        peak = _peak()
        assert peak < MEMORY, f"{peak / 1e9:.1f} GB"
    if message:
        message.encode()  # it can be printed
        return False
    check(source)
    return True


def recognised(root: Path) -> None:
    """Detect the source in a folder as ``sadcl data add`` does: a source whose photos exist, or a ``SadclError``."""
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            detected = detect_source(root)
    except SadclError as error:
        str(error).encode()
        return
    finally:
        signal.alarm(0)
    check(detected.source)
    assert all((root / image.file).is_file() for image in detected.source.images)


def check(source: sources.Source) -> None:
    """Assert everything that a table requires of a source."""
    assert len(set(source.classes)) == len(source.classes)
    for images in ([image.image_id for image in source.images], [image.file for image in source.images]):
        assert len(set(images)) == len(images)
    kinds: dict[str, type] = {}
    for name in source.classes:
        assert name.strip()
        assert name.encode()
    for image in source.images:
        assert image.split in ("", *SPLITS)
        assert image.image_id.encode()
        assert image.file.encode()
        parts = image.file.split("/")
        assert ".." not in parts
        assert "" not in parts
        assert "\0" not in image.file
        for labels in (image.labels, image.ignored):
            assert list(labels) == sorted(set(labels))
            assert all(type(label) is int and 0 <= label < len(source.classes) for label in labels)
        assert not set(image.labels) & set(image.ignored)
        for name, value in image.slices.items():
            assert name.strip()
            assert name.encode()
            assert name not in SCHEMA
            assert isfinite(value) if isinstance(value, float) else value.encode()
            assert kinds.setdefault(name, type(value)) is type(value)


def _peak() -> int:
    """Peak memory of this process, in bytes; ``getrusage`` would include that of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _hang(*_: object) -> None:
    raise Hang(f"more than {SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
