"""Scores of a registered version's weights, computed here in a confined process, and cached by what they depend on.

Photos are scored in parts, each in a process of its own: after a kill the finished parts are not scored again.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import IO, TypeVar

import numpy as np

from sadcl import files, layout
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation import inference
from sadcl.evaluation.scores import Scores, read_scores
from sadcl.progress import printable
from sadcl.verification import confinement
from sadcl.verification.inputs import truth
from sadcl.verification.score_worker import ANSWER, NAME, SCORES
from sadcl.weights.onnx_network import SUFFIX

T = TypeVar("T")
Report = Callable[[str], None]
"""Receives a line about the progress, with the time left."""

CODE = ("data/images", "data/shards", "model", "weights", "evaluation")
"""Packages on which scores depend."""
RUNTIME = ("torch", "timm", "numpy", "simplejpeg", "pillow")
"""Distributions on which all scores depend."""
PART = 4096
"""Photos that one process scores: a minute or two of work, against seconds for its start."""
LARGEST_ANSWER, LONGEST_LINE = 100_000, 1000
"""Bytes that the answer of a worker may have, and characters of a line about its progress."""


class UnscorableError(SadclError):
    """A file that can't be scored, here or anywhere."""


@dataclass(frozen=True)
class Model:
    """A weights or ONNX file that nobody here trusts.

    Attributes:
        digest: SHA-256 of the file.
        suffix: of its name.
        path: of the file.
    """

    digest: str
    suffix: str
    path: Path


def model_of(path: Path) -> Model:
    """The model in a file."""
    return Model(files.digest(path), path.suffix, path)


def score(
    model: Model,
    test: Shards,
    name: str,
    batch: int,
    corruptions: Sequence[str] = (),
    *,
    root: Path = Path("."),
    limits: confinement.Limits | None = None,
    report: Report | None = None,
) -> Scores:
    """Score photos with weights that nobody here trusts.

    Args:
        model: the weights.
        test: the photos.
        name: of the model in the scores, ``sadcl`` or ``champion``.
        batch: photos at a time.
        corruptions: names of corruptions to score too.
        root: project with the cache.
        limits: bounds of each process; by default generous ones.
        report: receives lines about the progress.

    Raises:
        UnscorableError: the file can't be read, or has other classes than the photos.
        SadclError: its process exceeded a limit or was killed.
    """
    cache = root / layout.VERIFIED_SCORES / _key(model, test, corruptions)
    parts = []
    for first in range(0, len(test), PART):
        end = min(first + PART, len(test))
        request = {"batch": batch, "corruptions": list(corruptions), "first": first, "end": end}
        parts.append(_part(cache / f"{first}.parquet", model, test, request, limits, report))
    return _named(_merged(parts, model, test), name)


def _part(
    cached: Path,
    model: Model,
    test: Shards,
    request: Mapping[str, object],
    limits: confinement.Limits | None,
    report: Report | None,
) -> Scores:
    """Scores of some rows under the name ``NAME``, from the cache or from a worker."""
    with suppress(SadclError):  # missing or damaged
        return read_scores(cached)
    with tempfile.TemporaryDirectory() as folder:
        computed = _run_worker(model.path, test.directory, request, Path(folder), limits, report)
        with files.atomic_write(cached) as temporary_path:
            shutil.copyfile(computed, temporary_path)
    return read_scores(cached)


def _merged(parts: Sequence[Scores], model: Model, test: Shards) -> Scores:
    """Logits of all parts with the labels of the photos here; nothing that a worker says of the photos counts."""
    first, photos = parts[0], truth(test)
    try:
        logits = {name: np.concatenate([part.logits[name] for part in parts]) for name in first.logits}
        overlap = {NAME: sum(int(part.training_overlap[NAME]) for part in parts)}
    except (KeyError, TypeError, ValueError) as error:
        raise UnscorableError(f"The model can't be scored: its parts do not match ({error})") from None
    digests = {
        "weights": model.digest, "preprocessing": str(first.digests.get("preprocessing", "")),
        "test_list": test.list_digest, "shards": test.digest, "labels": photos.labels_digest(),
    }  # fmt: skip
    slices = {inference.SIZE: test.longer_sides, **test.slices}
    return replace(
        photos, logits=logits, digests=digests, training_overlap=overlap, cost=first.cost, decisions=first.decisions,
        slices=slices,
    )  # fmt: skip


def _named(scores: Scores, name: str) -> Scores:
    """Scores of one model under another name: a challenger that becomes champion is not scored again."""

    def renamed(values: Mapping[str, T]) -> dict[str, T]:
        return {name + key.removeprefix(NAME): value for key, value in values.items()}

    return replace(
        scores, logits=renamed(scores.logits), training_overlap=renamed(scores.training_overlap),
        cost=renamed(scores.cost), decisions=renamed(scores.decisions),
    )  # fmt: skip


def _key(model: Model, test: Shards, corruptions: Sequence[str]) -> str:
    """Digest of all that the scores depend on: weights, photos, labels, code and runtime."""
    runtime = [*RUNTIME, *(["onnxruntime"] if model.suffix == SUFFIX else [])]
    versions = {package: metadata.version(package) for package in runtime}
    data = [model.digest, test.digest, test.list_digest, list(corruptions), PART]
    return files.digest_of([*data, files.digest_of_code(*CODE), versions])


def _run_worker(
    weights: Path,
    test: Path,
    request: Mapping[str, object],
    folder: Path,
    limits: confinement.Limits | None,
    report: Report | None,
) -> Path:
    """Score in a child process that works in ``folder``; the path of the scores there."""
    weights, test = weights.resolve(), test.resolve()
    bounds = asdict(limits or confinement.Limits())
    text = json.dumps({**request, "weights": str(weights), "test": str(test), "limits": bounds})
    with subprocess.Popen(
        confinement.command(["-m", "sadcl.verification.score_worker"], [weights, test], folder),
        text=True, errors="replace", cwd=folder, env=confinement.environment(folder), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if report else subprocess.DEVNULL,
        stderr=None if report is None and sys.stderr.isatty() else subprocess.DEVNULL,
    ) as process:  # fmt: skip
        reader = _forward(process.stdout, report)
        process.communicate(text) if reader is None else _send(process, text)
        process.wait()
        if reader is not None:
            reader.join()
    answer = _answer(folder / ANSWER)
    if answer is None:  # by a limit, or by a system without memory: another time it may succeed
        raise SadclError(
            f"The model can't be scored: its process {_ended(process.returncode)}", where=weights.name,
            fix="The file may be damaged, or larger than this machine",
        )  # fmt: skip
    if "error" in answer:
        raise UnscorableError(
            f"The model can't be scored: {printable(str(answer['error']))}",
            where=weights.name,
            fix=answer.get("fix") or "",
        )
    computed = folder / SCORES
    if computed.is_symlink() or not computed.is_file():  # a worker that was taken over could name another file
        raise UnscorableError("The model can't be scored: its process wrote no scores", where=weights.name)
    return computed


def _send(process: "subprocess.Popen[str]", text: str) -> None:
    """Write the request while another thread reads the output."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it ended already; its status says why
        process.stdin.write(text)
        process.stdin.close()


def _forward(output: IO[str] | None, report: Report | None) -> threading.Thread | None:
    """Pass each line of a worker's output on, in a thread."""
    if output is None or report is None:
        return None

    def read() -> None:
        while line := output.readline(LONGEST_LINE):
            if line.strip():
                report(printable(line.strip()))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader


def _answer(path: Path) -> dict[str, str | None] | None:
    """The worker's answer; None where it ended without one."""
    if not path.is_file() or path.is_symlink() or path.stat().st_size > LARGEST_ANSWER:
        return None
    answer = files.read_json(path)
    return answer if isinstance(answer, dict) else {"error": "its process gave no answer"}


def _ended(status: int) -> str:
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}, without an answer"
