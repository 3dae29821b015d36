"""Scores of a split by several workers, or on a cluster: what was computed before a kill is not computed again."""

import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa

from sadcl import files
from sadcl.batch import chunks, lease, stream
from sadcl.batch.chunks import Chunk, Piece
from sadcl.batch.engines import start
from sadcl.batch.score_worker import CODE
from sadcl.batch.spec import Spec, versions
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation.passes import NotComputedError, Pass
from sadcl.model import device
from sadcl.model.tagger import Floats
from sadcl.processes import EngineName
from sadcl.progress import say, track
from sadcl.weights import file_head, loader

SECONDS = 60.0
"""Time that decoding a photo may take: all of them have been decoded before."""
SHARE = 4
"""Pieces for each worker, at least, so that all end at about the same time."""
PIECE = 512
"""Photos of a piece, about, at most: what one worker computes is lost with it."""
SUFFIX = ".arrow"
LOCK = "lock"


class Scoring:
    """Computes logits by an engine, and keeps them in files until the stage has used them.

    Args:
        engine: ``local`` for worker processes of this machine, ``ray`` for a cluster.
        cache: folder for the results of workers.
    """

    def __init__(self, engine: EngineName, cache: Path) -> None:
        self._engine, self._cache = engine, cache
        self._used: list[Path] = []

    def compute(self, passes: Sequence[Pass], shards: Shards, batch: int) -> list[Floats]:
        """Compute the logits; a photo's logits have the same bits whoever computes them.

        Args:
            passes: what to compute.
            shards: the split.
            batch: photos at a time, in each worker.

        Returns:
            float32 [N, C] for each pass.

        Raises:
            NotComputedError: no worker can be started, a photo can't be decoded or ends workers, or the disk is full.
            SadclError: a model file is damaged.
        """
        for file, which in dict.fromkeys((one.file, one.which) for one in passes):
            # here first: a worker that refuses to start says nothing about the model
            file_head.model_settings(file, loader.load_network(file, which)[1])
        try:
            return self._computed(passes, shards, batch)
        except SadclError as error:
            raise NotComputedError(error.what, where=error.where, fix=error.fix) from None

    def clear(self) -> None:
        """Remove the files: their content is elsewhere now."""
        for folder in self._used:
            shutil.rmtree(folder, ignore_errors=True)

    def _computed(self, passes: Sequence[Pass], shards: Shards, batch: int) -> list[Floats]:
        local = start.environments(networks=len({(one.file, one.which) for one in passes}))
        spec = _spec(passes, shards, batch, start.threads(local))
        key = files.digest_of([{**spec.to_json(), "root": "", "models": [], "threads": 0}, _device(self._engine)])
        folder = self._cache / key
        with files.lock(folder / LOCK, "scoring these photos"):
            self._used.append(folder)
            results = _Results(folder, shards, len(passes))
            left = np.flatnonzero(~results.done).tolist()
            if len(left) < len(shards):
                say(f"  {len(shards) - len(left):,} of {len(shards):,} images were scored before")
            if left:
                engine, workers = start.start(self._engine, spec, local)
                pieces = chunks.pieces(Chunk(0, len(shards), key), left, _most(len(left), workers, batch))
                with closing(engine):
                    ready = lease.work(pieces, _rows, engine, results)
                    for _ in track(ready, "test images, all models", total=len(left), size=int):
                        pass
            return results.logits


class _Results:
    """Logits of a split, in memory and, by piece, in files.

    Args:
        folder: of the files; those of an earlier run are read.
        shards: the split.
        passes: their number.

    Attributes:
        logits: float32 [N, C] for each pass.
        done: bool [N], photos whose logits are there.
    """

    def __init__(self, folder: Path, shards: Shards, passes: int) -> None:
        self._folder, self._shards = folder, shards
        shape = (len(shards), len(shards.classes))
        self.logits: list[Floats] = [np.zeros(shape, np.float32) for _ in range(passes)]
        self.done = np.zeros(len(shards), bool)
        for path in folder.glob(f"*{SUFFIX}"):
            try:
                self._take(stream.load(path.read_bytes()))
            except (pa.ArrowException, OSError, KeyError, IndexError, ValueError):  # damaged: these are scored again
                path.unlink()

    def add(self, chunk: Chunk, results: pa.Table) -> None:
        """Write and take the logits of some photos.

        Raises:
            SadclError: a photo could not be decoded, or the file can't be written.
        """
        del chunk
        for row, error in zip(results["index"].to_pylist(), results["error"].to_pylist(), strict=True):
            if error is not None:
                raise self._failure(row, error)
        # a photo is computed once, so the first one's number belongs to no other file
        with files.atomic_write(self._folder / f"{results['index'][0]}{SUFFIX}") as temporary:
            temporary.write_bytes(stream.dump(results))
        self._take(results)

    def fail(self, chunk: Chunk, index: int, reason: str) -> None:
        """Stop: scores without one of the photos would not be those of the split.

        Raises:
            SadclError: always; names the photo.
        """
        del chunk
        raise self._failure(index, reason)

    def _failure(self, row: int, reason: str) -> SadclError:
        # not every time a photo is to blame: memory may be short, or a disk far
        where = f"image {self._shards.ids[row]} of {self._shards.directory}"
        return SadclError(f"A photo can't be scored: {reason}", where=where, fix=lease.REMOVE_PHOTO)

    def _take(self, results: pa.Table) -> None:
        rows = results["index"].to_numpy()
        for number, logits in enumerate(self.logits):
            logits[rows] = results[str(number)].combine_chunks().flatten().to_numpy().reshape(len(rows), -1)
        self.done[rows] = True


def _spec(passes: Sequence[Pass], shards: Shards, batch: int, threads: int) -> Spec:
    models = list(dict.fromkeys(one.file for one in passes))
    settings = {
        "batch": batch,
        "shards": shards.digest,
        "passes": [
            {"model": models.index(one.file), "which": one.which, "corruption": one.corruption} for one in passes
        ],
    }
    return Spec(
        "score", str(shards.directory.resolve()), [str(file.resolve()) for file in models],
        [files.digest(file) for file in models], threads, SECONDS, versions(*CODE), settings,
    )  # fmt: skip


def _device(engine: EngineName) -> str:
    """Kind of the devices, on which the last bits of a score depend."""
    return engine if engine == "ray" else device.pick().type


def _most(photos: int, workers: int, batch: int) -> int:
    """Photos of a piece: whole batches."""
    share = -(-photos // (SHARE * workers))
    return max(1, min(-(-share // batch), PIECE // batch)) * batch


def _rows(piece: Piece) -> pa.Table:
    return pa.table({"index": pa.array(piece.indexes, pa.int64())})
