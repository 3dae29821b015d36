"""Scores of a registered version's weights, computed here in a confined process, and cached by what they depend on."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from sadcl import files, layout
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation.scores import Scores, read_scores
from sadcl.progress import printable
from sadcl.verification import confinement
from sadcl.verification.score_worker import ANSWER, NAME, SCORES
from sadcl.weights.onnx_network import SUFFIX

T = TypeVar("T")

CODE = ("data/images", "data/shards", "model", "weights", "evaluation")
"""Packages on which scores depend."""
RUNTIME = ("torch", "timm", "numpy", "simplejpeg", "pillow")
"""Distributions on which all scores depend."""
LARGEST_ANSWER = 100_000
"""Bytes that the answer of a worker may have."""


def score(
    weights: Path,
    test: Path,
    name: str,
    batch: int,
    corruptions: Sequence[str] = (),
    *,
    root: Path = Path("."),
    limits: confinement.Limits | None = None,
) -> Scores:
    """Score photos with weights that nobody here trusts.

    Args:
        weights: a weights or ONNX file.
        test: shards of the photos.
        name: of the model in the scores, ``sadcl`` or ``champion``.
        batch: photos at a time.
        corruptions: names of corruptions to score too.
        root: project with the cache.
        limits: bounds of the process; by default generous ones.

    Raises:
        SadclError: the file can't be read or scored, has other classes than the photos, or exceeds a limit.
    """
    return _named(_score(weights, test, batch, corruptions, root, limits), name)


def _score(
    weights: Path, test: Path, batch: int, corruptions: Sequence[str], root: Path, limits: confinement.Limits | None
) -> Scores:
    """Scores under the name ``NAME``, from the cache or from a worker."""
    key = _key(weights, test, corruptions)
    cached = root / layout.VERIFIED_SCORES / f"{key}.parquet"
    with suppress(SadclError):  # missing or damaged
        return read_scores(cached)
    with tempfile.TemporaryDirectory() as folder:
        computed = _run_worker(weights, test, batch, corruptions, Path(folder), limits)
        with files.atomic_write(cached) as temporary_path:
            shutil.copyfile(computed, temporary_path)
    return read_scores(cached)


def _named(scores: Scores, name: str) -> Scores:
    """Scores of one model under another name: a challenger that becomes champion is not scored again."""

    def renamed(values: Mapping[str, T]) -> dict[str, T]:
        return {name + key.removeprefix(NAME): value for key, value in values.items()}

    return replace(
        scores, logits=renamed(scores.logits), training_overlap=renamed(scores.training_overlap),
        cost=renamed(scores.cost), decisions=renamed(scores.decisions),
    )  # fmt: skip


def _key(weights: Path, test: Path, corruptions: Sequence[str]) -> str:
    """Digest of all that the scores depend on: weights, photos, labels, code and runtime."""
    shards, runtime = Shards(test), [*RUNTIME, *(["onnxruntime"] if weights.suffix == SUFFIX else [])]
    versions = {package: metadata.version(package) for package in runtime}
    data = [files.digest(weights), shards.digest, shards.list_digest, list(corruptions)]
    return files.digest_of([*data, files.digest_of_code(*CODE), versions])


def _run_worker(
    weights: Path,
    test: Path,
    batch: int,
    corruptions: Sequence[str],
    folder: Path,
    limits: confinement.Limits | None,
) -> Path:
    """Score in a child process that works in ``folder``; the path of the scores there."""
    weights, test = weights.resolve(), test.resolve()
    request = {
        "weights": str(weights), "test": str(test), "batch": batch, "corruptions": list(corruptions),
        "limits": asdict(limits or confinement.Limits()),
    }  # fmt: skip
    completed = subprocess.run(
        confinement.command(["-m", "sadcl.verification.score_worker"], [weights, test], folder),
        input=json.dumps(request), text=True, cwd=folder, env=confinement.environment(folder), check=False,
        stdout=subprocess.DEVNULL, stderr=None if sys.stderr.isatty() else subprocess.DEVNULL,
    )  # fmt: skip
    answer = _answer(folder / ANSWER, completed.returncode)
    if "error" in answer:
        raise SadclError(
            f"The model can't be scored: {printable(str(answer['error']))}",
            where=weights.name,
            fix=answer.get("fix") or "",
        )
    computed = folder / SCORES
    if computed.is_symlink():  # a worker that was taken over could name a file of this project
        raise SadclError("The model can't be scored: its process wrote no file", where=weights.name)
    return computed


def _answer(path: Path, status: int) -> dict[str, str | None]:
    """The worker's answer; a process that ended without one broke a limit or was killed."""
    if not path.is_file() or path.is_symlink() or path.stat().st_size > LARGEST_ANSWER:
        ended = f"signal {-status} ended its process" if status < 0 else f"its process ended with status {status}"
        return {
            "error": f"{ended} before it gave scores",
            "fix": "The file may be damaged, or larger than this machine",
        }
    answer = files.read_json(path)
    return answer if isinstance(answer, dict) else {"error": "its process gave no answer"}
