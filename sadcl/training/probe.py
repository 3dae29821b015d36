"""The linear probe as a network: a backbone that does not learn, average pooling, logistic regression."""

from typing import Any

import torch
from torch import Tensor

from sadcl import params
from sadcl.data.shards.reader import Shards
from sadcl.model import device
from sadcl.model.network import Network
from sadcl.training.feature_cache import FeatureMaps
from sadcl.training.logistic_regression import Labelled, LogisticRegression, fit
from sadcl.weights import file_head, initial, training_photos


def fit_network(
    model: params.Model, seed: int, train: Shards, select: Shards
) -> tuple[dict[str, Tensor], LogisticRegression, dict[str, Any]]:
    """Fit a probe on the backbone that ``model`` describes, in the state from which training starts.

    Args:
        model: section model; of the head, nothing counts.
        seed: of the draw from a large training split.
        train: photos to fit on, squashed to the side outside training, without augmentation.
        select: photos that choose L2; it may be empty.

    Returns:
        The state of a network whose head is ``linear``, the probe, and the head of a weights file.

    Raises:
        SadclError: the initial weights can't be loaded, or shards are damaged.
    """
    torch.manual_seed(seed)
    settings = model.for_test().model_copy(update={"head": "linear", "head_start": "random"})
    network, compute_device = initial.initial_network(settings, train.classes).eval(), device.pick()
    fitted = fit_head(network, settings, seed, train, select, compute_device)
    best = fitted.select_map.get(fitted.strength)
    head = {
        **file_head.new_head("probe", settings, train.classes),
        "settings": {"strength": fitted.strength},
        "seed": seed,
        "epoch": 0,
        "best": "ema",  # there is one set of weights
        "select": None if best is None else {"raw": best, "ema": best},
        "inputs": {"train": train.digest, "select": select.digest, "train_list": train.list_digest}
        | initial.inputs(model),
        training_photos.KEY: training_photos.dump(training_photos.prefixes(train.sha256), initial.photos(model)),
        "device": device.describe(compute_device),
        "precision": "32-true",
    }
    return network.state_dict(), fitted, head


def fit_head(
    network: Network, model: params.Model, seed: int, train: Shards, select: Shards, compute_device: torch.device
) -> LogisticRegression:
    """Fit a probe on a network's backbone as it is, and set its head ``linear`` or ``pooling`` to it.

    Args:
        network: whose backbone computes the features; no random number is drawn.
        model: section model.
        seed: of the draw from a large training split.
        train: photos to fit on, squashed to the side outside training, without augmentation.
        select: photos that choose L2; it may be empty.
        compute_device: for the features.
    """
    settings = model.for_test()
    maps = FeatureMaps(network, settings, compute_device)
    fit_on, choose_by = (Labelled(maps.pooled(part, settings), part.targets, part.ignored) for part in (train, select))
    fitted = fit(fit_on, choose_by, seed)
    network.head.load_state_dict({"linear.weight": fitted.weight, "linear.bias": fitted.bias})
    return fitted
