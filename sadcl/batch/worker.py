"""The worker: reads and decodes photos ahead in threads, and runs the network on them.

A photo's place in its batch follows from its place in the chunk, and every batch has the same size. The kernels of a
network choose their order of summation by these, so a prediction has the same bits whoever computes it, and with
whatever other photos.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
import torch

import sadcl
from sadcl import files
from sadcl.batch import parts
from sadcl.batch.journal import Journal
from sadcl.batch.reading import Photos
from sadcl.data.images import decode
from sadcl.data.images.normalise import normalise
from sadcl.data.images.resize import squash
from sadcl.errors import SadclError
from sadcl.model.tagger import Floats
from sadcl.processes import read_ahead
from sadcl.weights import folding, loader

BATCH = 32
AHEAD = 2 * BATCH
"""Photos that are decoded ahead of the network."""
GROUP = 4
"""Photos that a thread takes at a time: handing them over one by one costs a fifth of their decoding."""

Photo = tuple[int, str, int | None, str | None]
"""Index in the chunk, and the columns of the manifest."""
Loaded = tuple[int, "np.ndarray | str"]
"""Index in the chunk, and uint8 [S, S, 3] or the reason why there are no pixels."""


@dataclass(frozen=True)
class Spec:
    """Job description for a worker.

    Attributes:
        root: folder or ``s3://`` address of the photos.
        model: path of the model file.
        digest: SHA-256 of the model file.
        threshold: for all classes; None for the model's own.
        threads: that decode photos.
        seconds: that reading and decoding a photo may take.
        versions: of the packages that decide the results.
    """

    root: str
    model: str
    digest: str
    threshold: float | None
    threads: int
    seconds: float
    versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """As a JSON value, for ``Spec(**value)``."""
        return asdict(self)


def versions() -> dict[str, str]:
    """Versions of the packages that decide the results, in this process."""
    code = files.digest_of_code("batch", "data/images", "model", "weights")
    return {
        "sadcl": f"{sadcl.__version__} ({code[:8]})",
        "torch": str(torch.__version__).partition("+")[0],
        "pyarrow": pa.__version__,
        "pillow": PIL.__version__,
    }


class Worker:
    """A loaded model that predicts pieces of chunks.

    Args:
        spec: of the job.
        journal: takes the photos that are being decoded.

    Raises:
        SadclError: the model can't be loaded or is another one, or a package has another version.
    """

    def __init__(self, spec: Spec, journal: Journal) -> None:
        _require_equal(spec)
        self.tagger = loader.load_tagger(Path(spec.model))
        self.side = int(self.tagger.head["preprocessing"]["side"])
        folding.fold(self.tagger.network, self.side)
        self.bounds = self.tagger.thresholds
        if spec.threshold is not None:
            self.bounds = np.full_like(self.bounds, spec.threshold)
        self.photos, self.journal = Photos(spec.root), journal
        self.pool = ThreadPoolExecutor(spec.threads)

    def run(self, rows: pa.Table) -> pa.Table:
        """Predict photos of a chunk.

        Args:
            rows: the manifest's columns and ``index``, the place in the chunk, ascending.

        Returns:
            One row for each photo, with the columns of ``parts.RESULTS``.
        """
        columns = [rows[name].to_pylist() for name in ("index", "path", "bytes", "version")]
        photos = list(zip(*columns, strict=True))
        groups = [photos[first : first + GROUP] for first in range(0, len(photos), GROUP)]
        results: list[tuple[int, Floats | None, str | None]] = []
        loaded = chain.from_iterable(read_ahead(self.pool, self._load_group, groups, AHEAD // GROUP))
        for _, batch in groupby(loaded, lambda photo: photo[0] // BATCH):
            results += self._predict(list(batch))
        return self._table(results)

    def _load_group(self, photos: list[Photo]) -> list[Loaded]:
        return [self._load(*photo) for photo in photos]

    def _load(self, index: int, path: str, size: int | None, version: str | None) -> Loaded:
        try:
            with self.journal.entry(index):  # a disk can hang as a decoder can
                data = self.photos.read(path, size, version)
                return index, squash(decode.pixels(data, at_least=self.side), self.side)
        except SadclError as error:
            return index, error.what

    def _predict(self, photos: list[Loaded]) -> Iterator[tuple[int, Floats | None, str | None]]:
        """Probabilities [C] or a reason for each photo of one batch."""
        pixels = np.zeros((BATCH, self.side, self.side, 3), np.uint8)
        for index, image in photos:
            if not isinstance(image, str):
                pixels[index % BATCH] = image
        scores = self._scores(pixels)
        for index, image in photos:
            row = scores[index % BATCH]
            if isinstance(image, str):
                yield index, None, image
            elif not np.isfinite(row).all():
                yield index, None, "The network gives no number for this photo"
            else:
                yield index, row, None

    def _scores(self, pixels: np.ndarray) -> Floats:
        shape, tagger = self.tagger.head["preprocessing"], self.tagger
        images = normalise(pixels, tuple(shape["mean"]), tuple(shape["std"])).to(tagger.device)
        with torch.inference_mode():
            logits = tagger.network(images).logits.float().cpu()
            scores: Floats = (tagger.slope * logits + tagger.bias).sigmoid().numpy()
        return scores

    def _labels(self, row: Floats) -> list[str]:
        """Classes above their thresholds, the likeliest first."""
        return [self.tagger.classes[j] for j in np.argsort(-row, kind="stable") if row[j] > self.bounds[j]]

    def _table(self, results: list[tuple[int, Floats | None, str | None]]) -> pa.Table:
        indexes, scores, errors = zip(*results, strict=True)
        labels = [None if row is None else self._labels(row) for row in scores]
        columns = (list(indexes), labels, list(scores), list(errors))
        arrays = [pa.array(column, kind) for column, kind in zip(columns, parts.RESULTS.types, strict=True)]
        return pa.table(arrays, parts.RESULTS)


def _require_equal(spec: Spec) -> None:
    """Raise where this worker would compute other results than the rest of the job."""
    for package, version in versions().items():
        if version != spec.versions[package]:
            raise SadclError(
                f"{package} is {version} here and {spec.versions[package]} where the job was started",
                where=os.uname().nodename,
                fix="Install the same versions",
            )
    if files.digest(spec.model) != spec.digest:
        raise SadclError("The model is not the one of the job", where=spec.model, fix="Copy it again")
