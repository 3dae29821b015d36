"""The worker of scores: decodes photos of shards, each once a side, and runs several networks on them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
from torch import nn

from sadcl import params
from sadcl.batch import ahead
from sadcl.batch.journal import Journal
from sadcl.batch.spec import SHARE_FOLDER, Spec, require_equal, versions
from sadcl.data.images import decode
from sadcl.data.images.normalise import normalise
from sadcl.data.images.resize import squash
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation.corruptions import CORRUPTIONS
from sadcl.evaluation.passes import Which
from sadcl.evaluation.shared_backbones import SharedBackbones
from sadcl.model import device
from sadcl.model.tagger import Floats
from sadcl.weights import file_head, loader

CODE = ("batch", "data/images", "data/shards", "evaluation", "model", "weights")
"""Packages that decide the scores of photos."""

Input = tuple[int, str | None]
"""Side in pixels, and name of the corruption."""
Loaded = tuple[int, "dict[Input, np.ndarray] | str"]
"""Row of a photo, and uint8 [S, S, 3] for each input or the reason why there are no pixels."""
Channels = tuple[float, float, float]
Preparation = tuple[Input, Channels, Channels]
"""Input of a network, and mean and deviation of its normalisation."""


class Worker:
    """Loaded networks that score rows of shards.

    Args:
        spec: of the job; its settings are ``batch``, ``shards`` (digest of the split), and ``passes``, each with the
            number of its ``model``, ``which`` weights and ``corruption``.
        journal: takes the photos that are being decoded.

    Raises:
        SadclError: a model can't be loaded or is another one, a package has another version, or the shards are missing
            or others.
    """

    def __init__(self, spec: Spec, journal: Journal) -> None:
        require_equal(spec, versions(*CODE))
        self.shards, self.journal = _open(spec), journal
        self.device, self.batch = device.pick(), int(spec.settings["batch"])
        passes: dict[Preparation, dict[int, nn.Module]] = {}
        networks: dict[tuple[int, Which], tuple[nn.Module, params.Model]] = {}
        for number, one in enumerate(spec.settings["passes"]):
            key = one["model"], one["which"]
            if key not in networks:
                networks[key] = self._load_network(Path(spec.models[one["model"]]), one["which"])
            network, model = networks[key]
            preparation = (model.side, one["corruption"]), model.mean, model.std
            passes.setdefault(preparation, {})[number] = network
        self.passes = {
            preparation: ([*numbered], SharedBackbones([*numbered.values()]))
            for preparation, numbered in passes.items()
        }
        self.inputs = list(dict.fromkeys(kind for kind, _, _ in self.passes))
        self.pool = ThreadPoolExecutor(spec.threads)

    def run(self, rows: pa.Table) -> pa.Table:
        """Score rows of the shards.

        Args:
            rows: with the column ``index``, numbers of rows, ascending.

        Returns:
            One row for each photo: ``index``, ``error`` or null, and lists of logits [C] named ``0``, ``1``, ... as the
            passes.
        """
        indexes: list[int] = rows["index"].to_pylist()
        errors: list[str | None] = []
        logits: dict[int, list[Floats]] = {}
        for photos in ahead.batches(self.pool, self._load, indexes, self.batch):
            errors += [content if isinstance(content, str) else None for _, content in photos]
            places = [row % self.batch for row, _ in photos]
            for number, values in self._forward(photos):
                logits.setdefault(number, []).append(values[places])
        columns = {"index": pa.array(indexes, pa.int64()), "error": pa.array(errors, pa.string())}
        for number, parts in sorted(logits.items()):
            values = np.concatenate(parts)
            columns[str(number)] = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        return pa.table(columns)

    def _load_network(self, file: Path, which: Which) -> tuple[nn.Module, params.Model]:
        network, head = loader.load_network(file, which)
        return device.place(network, self.device), file_head.model_settings(file, head).for_test()

    def _load(self, row: int) -> Loaded:
        try:
            with self.journal.entry(row):
                return row, self._pixels(self.shards.jpeg(row))
        except SadclError as error:
            return row, error.what

    def _pixels(self, data: bytes) -> dict[Input, np.ndarray]:
        # no bound on pixels: ingest has checked this photo
        sides = {side for side, _ in self.inputs}
        plain = {side: squash(decode.pixels(data, at_least=side, max_pixels=1 << 62), side) for side in sides}
        return {(side, kind): CORRUPTIONS[kind](plain[side]) if kind else plain[side] for side, kind in self.inputs}

    def _forward(self, photos: list[Loaded]) -> Iterator[tuple[int, Floats]]:
        """Number and logits [B, C] of each pass, for one batch; rows of places without a photo mean nothing."""
        pixels = {key: np.zeros((self.batch, key[0], key[0], 3), np.uint8) for key in self.inputs}
        for row, content in photos:
            if not isinstance(content, str):
                for key, image in content.items():
                    pixels[key][row % self.batch] = image
        for (key, mean, std), (numbers, networks) in self.passes.items():
            images = normalise(pixels[key], mean, std).to(self.device)
            yield from zip(numbers, networks.logits(images), strict=True)


def _open(spec: Spec) -> Shards:
    """Open the split, which has to be the one of the job."""
    folder = Path(spec.root)
    if not folder.is_dir():
        raise SadclError(f"The shards in {folder} are not visible from here", fix=SHARE_FOLDER)
    shards = Shards(folder)
    if shards.digest != spec.settings["shards"]:
        raise SadclError(f"The shards in {folder} are others than those of the job", fix="Bring them up to date")
    return shards
