"""``python -m benchmarks.ray_data PHOTOS MODEL``: batch prediction with Ray Data, on the cluster of ``RAY_ADDRESS``.

Prints ``READY`` and the cluster's address. Each line of stdin names a folder, which gets the predictions as Parquet;
after them it prints ``DONE``. The end of stdin ends the program.

Ray Data starts a task for each block of files, which needs a share of a core: actors that reserve whole cores leave
none, and the job hangs.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.data
import torch

from sadcl.batch.chunks import BATCH
from sadcl.data.images.normalise import normalise
from sadcl.weights import folding, loader

ACTORS, ACTOR_CORES, READER_CORES = 2, 0.5, 0.25


class Predictor:
    """A loaded model.

    Args:
        model: path of its file.
    """

    def __init__(self, model: str) -> None:
        torch.set_num_threads(1)
        self.tagger = loader.load_tagger(Path(model))
        folding.fold(self.tagger.network, int(self.tagger.head["preprocessing"]["side"]))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Paths and probabilities [B, C] of photos uint8 [B, S, S, 3]."""
        shape = self.tagger.head["preprocessing"]
        images = normalise(np.stack(batch["image"]), tuple(shape["mean"]), tuple(shape["std"]))
        with torch.inference_mode():
            logits = self.tagger.network(images).logits
        return {"path": batch["path"], "probabilities": logits.sigmoid().numpy()}


def predict(photos: str, model: str, side: int, out: str) -> None:
    """Predict the photos of a folder."""
    read = ray.data.read_images(
        photos, size=(side, side), mode="RGB", include_paths=True, ray_remote_args={"num_cpus": READER_CORES}
    )
    predicted = read.map_batches(
        Predictor, fn_constructor_args=(model,), batch_size=BATCH, num_cpus=ACTOR_CORES,
        compute=ray.data.ActorPoolStrategy(size=ACTORS),
    )  # fmt: skip
    predicted.write_parquet(out, ray_remote_args={"num_cpus": READER_CORES})


def main(photos: str, model: str) -> None:
    """Predict once for each line of stdin."""
    ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    side = int(loader.load_tagger(Path(model)).head["preprocessing"]["side"])
    print("READY", os.environ["RAY_ADDRESS"], flush=True)
    for line in sys.stdin:
        predict(photos, model, side, line.strip())
        print("DONE", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
