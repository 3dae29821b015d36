"""The worker of predictions: reads and decodes photos of a place, and runs the network on them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from sadcl import s3
from sadcl.batch import ahead, parts
from sadcl.batch.chunks import BATCH
from sadcl.batch.journal import Journal
from sadcl.batch.reading import Photos
from sadcl.batch.spec import Spec, prediction_versions, require_equal
from sadcl.data.images import decode
from sadcl.data.images.normalise import normalise
from sadcl.data.images.resize import squash
from sadcl.errors import SadclError
from sadcl.model.tagger import Floats
from sadcl.weights import folding, loader

Photo = tuple[int, str, int | None, str | None]
"""Index in the chunk, and the columns of the manifest."""
Loaded = tuple[int, "np.ndarray | str"]
"""Index in the chunk, and uint8 [S, S, 3] or the reason why there are no pixels."""


class Worker:
    """A loaded model that predicts pieces of chunks.

    Args:
        spec: of the job.
        journal: takes the photos that are being decoded.

    Raises:
        SadclError: the model can't be loaded or is another one, or a package has another version.
    """

    def __init__(self, spec: Spec, journal: Journal) -> None:
        require_equal(spec, prediction_versions(Path(spec.models[0])))
        self.tagger = loader.load_tagger(Path(spec.models[0]))
        self.side = int(self.tagger.head["preprocessing"]["side"])
        folding.fold(self.tagger.network, self.side)
        self.bounds = self.tagger.thresholds
        if spec.settings["threshold"] is not None:
            self.bounds = np.full_like(self.bounds, spec.settings["threshold"])
        self.photos, self.journal = Photos(spec.root), journal
        self.pool = ThreadPoolExecutor(spec.threads)

    def run(self, rows: pa.Table) -> pa.Table:
        """Predict photos of a chunk.

        Args:
            rows: the manifest's columns and ``index``, the place in the chunk, ascending.

        Returns:
            One row for each photo, with the columns of ``parts.RESULTS``.

        Raises:
            CredentialsError: S3 takes the credentials for no photo.
        """
        columns = [rows[name].to_pylist() for name in ("index", "path", "bytes", "version")]
        photos = list(zip(*columns, strict=True))
        results: list[tuple[int, Floats | None, str | None]] = []
        for batch in ahead.batches(self.pool, self._load, photos, BATCH):
            results += self._predict(batch)
        return self._table(results)

    def _load(self, photo: Photo) -> Loaded:
        index, path, size, version = photo
        try:
            with self.journal.entry(index):  # a disk can hang as a decoder can
                data = self.photos.read(path, size, version)
                return index, squash(decode.pixels(data, at_least=self.side), self.side)
        except s3.CredentialsError:  # it says nothing about the photo
            raise
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
