"""Scores of a registered version's weights, computed here in a confined process, and cached by what they depend on.

Photos are scored in parts, each in a process of its own: after a kill the finished parts are not scored again.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sadcl import files, layout
from sadcl.data.images import heif
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation import inference
from sadcl.evaluation.scores import Scores, read_scores
from sadcl.verification import confined_call, confinement
from sadcl.verification.confined_call import Report
from sadcl.verification.inputs import truth
from sadcl.verification.score_worker import NAME, SCORES
from sadcl.weights.file_head import ONNX

T = TypeVar("T")
WORKER = "sadcl.verification.score_worker"

CODE = ("data/images", "data/shards", "model", "weights", "evaluation")
"""Packages on which scores depend."""
RUNTIME = ("torch", "timm", "numpy", "simplejpeg", "pillow")
"""Distributions on which all scores depend."""
PART = 4096
"""Photos that one process scores: a minute or two of work, against seconds for its start."""
LARGEST_ANSWER = 100_000
"""Bytes that the answer of a worker may have."""


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
        SadclError: its process exceeded a limit, was killed, or lacked memory or room on the disk.
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
    request: Mapping[str, Any],
    limits: confinement.Limits | None,
    report: Report | None,
) -> Scores:
    """Scores of some rows under the name ``NAME``, from the cache or from a worker."""
    with suppress(SadclError):  # missing or damaged
        return _read_part(cached, test, request)
    with tempfile.TemporaryDirectory() as folder:
        computed = _run_worker(model.path, test.directory, request, Path(folder), limits, report)
        with files.atomic_write(cached) as temporary_path:
            # first, so that nothing that the worker has left running can change what is read here
            shutil.copyfile(computed, temporary_path)
            try:
                return _read_part(temporary_path, test, request)
            except SadclError as error:
                if confined_call.may_pass(error):
                    raise
                raise UnscorableError(f"The model can't be scored: {error.what}", where=model.path.name) from None


def _read_part(path: Path, test: Shards, request: Mapping[str, Any]) -> Scores:
    """Read the scores of some rows, which a worker wrote that may have been taken over.

    Raises:
        SadclError: the file is missing or damaged, or its scores can't be judged.
    """
    scores, names = read_scores(path), {NAME, *(f"{NAME}@{kind}" for kind in request["corruptions"])}
    fits = {
        "rows": len(scores) == request["end"] - request["first"],
        "classes": scores.classes == tuple(test.classes),
        "names": scores.logits.keys() == names and scores.decisions.keys() <= {NAME},
        "cost": scores.cost.keys() == {NAME},
        "training photos": scores.training_overlap.keys() == {NAME},
        "values": all(np.isfinite(values).all() for values in scores.logits.values()),
    }
    wrong = [name for name, does_fit in fits.items() if not does_fit]
    if wrong:
        raise SadclError(f"the {', '.join(wrong)} of its scores are not those that were asked for", where=path)
    return scores


def _merged(parts: Sequence[Scores], model: Model, test: Shards) -> Scores:
    """Logits of all parts with the labels of the photos here; nothing that a worker says of the photos counts."""
    first, photos = parts[0], truth(test)
    logits = {name: np.concatenate([part.logits[name] for part in parts]) for name in first.logits}
    overlap = {NAME: sum(part.training_overlap[NAME] for part in parts)}
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
    runtime = [*RUNTIME, *(["onnxruntime"] if model.suffix == ONNX else [])]
    versions = {package: metadata.version(package) for package in runtime} | {"pillow-heif": heif.version()}
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
    paths = [weights.resolve(), test.resolve()]
    answer = confined_call.call(
        WORKER, {**request, "weights": str(paths[0]), "test": str(paths[1])}, paths, folder,
        limits or confinement.Limits(), LARGEST_ANSWER, report,
    )  # fmt: skip
    if answer.ended:  # by a limit, or by a system without memory: another time it may succeed
        raise SadclError(
            f"The model can't be scored: its process {answer.ended}", where=weights.name,
            fix="Free memory and room on the disk; or the file is damaged, or larger than this machine",
        )  # fmt: skip
    computed = folder / SCORES
    if not answer.error and (computed.is_symlink() or not computed.is_file()):  # a process that was taken over
        answer = replace(answer, error="its process wrote no scores")
    if answer.error:
        raise UnscorableError(f"The model can't be scored: {answer.error}", where=weights.name, fix=answer.fix)
    return computed
