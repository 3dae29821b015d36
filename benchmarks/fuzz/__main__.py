"""Fuzzing of every reader with malformed and odd files: each case must be read, or end in a ``SadclError``.

Formats are those of data sources, and the files of a registered version, which somebody else wrote.

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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.fuzz.formats import FORMATS, Export
from benchmarks.fuzz.mutation import damaged
from benchmarks.fuzz.version_files import VERSION_FILES
from sadcl import params
from sadcl.data import sources
from sadcl.data.onboarding.detect import detect_source
from sadcl.data.table import SCHEMA, SPLITS
from sadcl.errors import SadclError
from sadcl.progress import duration, say

SECONDS = 5
"""Seconds of CPU time after which a case counts as hanging, on however busy a machine."""
MEMORY = 500_000_000
"""Largest memory in bytes beyond that of the libraries, which differs by a gigabyte between builds of torch."""
CEILING = 12_000_000_000
"""Limit of the address space, in bytes, so that a runaway case can't exhaust the machine."""
RUN = 500
NAMES = (*sorted(sources.readers()), *VERSION_FILES)


slowest: dict[str, float] = {}
"""Seconds of the slowest case by format."""
peaks: list[int] = [0]
"""Largest peak of this process in a case of the present format, in bytes beyond ``idle``."""
idle: list[int] = [0]
"""Memory of this process in bytes when the libraries of the present format were loaded."""


class Hang(BaseException):
    """A case ran out of time."""


def main() -> int:
    """Run all cases; return the number of failing formats."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="for each format")
    parser.add_argument("--start", type=int, default=0, help="seed of the first run")
    parser.add_argument("--format", choices=NAMES, action="append")
    arguments = parser.parse_args()
    signal.signal(signal.SIGPROF, _hang)
    resource.setrlimit(resource.RLIMIT_AS, (CEILING, CEILING))
    faulthandler.enable()
    failed = [name for name in arguments.format or NAMES if not _all(name, arguments.cases, arguments.start)]
    say(f"Failed: {', '.join(failed)}" if failed else "Every case was read, or ended in a SadclError.")
    return len(failed)


def _all(name: str, cases: int, start: int) -> bool:
    counts, slowest[name], peaks[0] = {"valid": 0, "refused": 0}, 0.0, 0
    _warm_up(name)
    idle[0] = _memory("VmRSS")
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
    figures = f"slowest {slowest[name]:.1f} s, peak {peaks[0] / 1e9:.2f} GB"
    say(f"{name}: {counts['valid']:,} valid, {counts['refused']:,} refused, in {_rate(counts, began)}, {figures}")
    return True


def _warm_up(name: str) -> None:
    """Import libraries, which takes seconds, before anything is timed."""
    with tempfile.TemporaryDirectory() as folder, suppress(SadclError):
        root = Path(folder) / "case"
        if name in VERSION_FILES:
            write(root, VERSION_FILES[name].draw(Random(0)))
            VERSION_FILES[name].read(root)


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
            write(root, contents)
            started = time.process_time()
            if name in VERSION_FILES:
                counts["valid" if is_usable(name, root) else "refused"] += 1
            else:
                counts["valid" if is_valid(root, ingest) else "refused"] += 1
                recognised(root)
            slowest[name] = max(slowest[name], time.process_time() - started)
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
    files, ingest = (VERSION_FILES[name].draw(rng), {}) if name in VERSION_FILES else FORMATS[name](rng)
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


def write(root: Path, files: dict[str, bytes]) -> None:
    """Write the files whose names the disk accepts."""
    root.mkdir()
    for name, data in files.items():
        with suppress(OSError, ValueError):
            if ".." not in name.split("/") and not name.startswith("/"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(data)


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
    with limits() as refusal:
        source = sources.read_source(root, settings)
    if refusal:
        return False
    check(source)
    return True


def is_usable(name: str, root: Path) -> bool:
    """Read the files of a version under limits of time and memory; whether they are not refused.

    Raises:
        AssertionError: memory exceeds its limit.
        Hang: the reader exceeds its time.
        Exception: any other error of the reader.
    """
    with limits() as refusal:
        VERSION_FILES[name].read(root)
    return not refusal


@contextmanager
def limits() -> Iterator[list[str]]:
    """Bound time and memory of a block; the list gets the message of its ``SadclError``."""
    refusal: list[str] = []
    with suppress(OSError):  # Linux forgets the peak: drawing a case is not what is measured
        Path("/proc/self/clear_refs").write_text("5")
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield refusal
    except SadclError as error:
        refusal.append(str(error))
        refusal[0].encode()  # it can be printed
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        peak = _memory("VmHWM") - idle[0]
        peaks[0] = max(peaks[0], peak)
        assert peak < MEMORY, f"{peak / 1e9:.1f} GB"


def recognised(root: Path) -> None:
    """Detect the source in a folder as ``sadcl data add`` does: a source whose photos exist, or a ``SadclError``."""
    with limits() as refusal:
        detected = detect_source(root)
    if refusal:
        return
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


def _memory(name: str) -> int:
    """Memory of this process in bytes: ``VmRSS`` now, ``VmHWM`` at its peak; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return 1024 * next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def _hang(*_: object) -> None:
    raise Hang(f"more than {SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
