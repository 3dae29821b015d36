"""R-precision of label-level features: whether a present label's feature lies near those of its class."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sadcl import params
from sadcl.data.shards.batches import Batch, evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.model import device
from sadcl.model.network import Network
from sadcl.training.feature_cache import FeatureMaps


def r_precision(features: npt.NDArray[np.float32], classes: npt.NDArray[np.int64], count: int) -> float:
    """Compute R-precision, the mean over classes, in percent.

    For a feature of a class with R other features, the share of its class among its R nearest by cosine. Classes with
    a single feature are left out.

    Args:
        features: [P, D], of present labels.
        classes: [P], the class of each.
        count: C, number of classes.
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(min=1e-12)
    similarities = unit @ unit.T
    np.fill_diagonal(similarities, -np.inf)
    means = []
    for j in range(count):
        rows = np.flatnonzero(classes == j)
        if len(rows) < 2:
            continue
        nearest = np.argpartition(-similarities[rows], len(rows) - 2, axis=1)[:, : len(rows) - 1]
        means.append(float((classes[nearest] == j).mean()))
    return 100 * float(np.mean(means)) if means else 0.0


def test_r_precision(network: Network, test: Shards, about: Mapping[str, Any]) -> float | None:
    """Compute R-precision of a network's features of the present labels of the test photos; None without features."""
    model, target = params.Model(**about["model"]).for_test(), device.pick()
    batches = evaluation_batches(test, model, 100)
    if about["settings"].get("augmentation", {}).get("views"):
        batches = FeatureMaps(network, model, target).evaluation(test, model, 100)
    features, classes = [], []
    with torch.inference_mode():
        for batch in batches:
            activated, labels = _activated(network.to(target), batch)
            if activated is None:
                return None
            features.append(activated)
            classes.append(labels)
    return round(r_precision(np.concatenate(features), np.concatenate(classes), test.targets.shape[1]), 3)


def _activated(network: Network, batch: Batch) -> tuple[npt.NDArray[np.float32] | None, npt.NDArray[np.int64]]:
    """Features [P, D] and classes [P] of the present labels of a batch."""
    photos, labels = np.nonzero(batch.targets.numpy())
    out = network(batch.images.to(next(network.parameters()).device))
    return (None if out.features is None else out.features.float().cpu().numpy()[photos, labels]), labels
