"""Class prototypes from stage 1's weights and the training photos."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from sadcl import params
from sadcl.data.shards.batches import evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.model import device
from sadcl.model.tagger import AUTOCAST
from sadcl.progress import track
from sadcl.prototypes.average import prototypes
from sadcl.training.feature_cache import FeatureMaps
from sadcl.weights import checkpoint, file_head


def class_prototypes(start: Path, shards: Path, settings: params.Prototypes) -> tuple[Tensor, Tensor]:
    """Compute class prototypes with the weights of stage 1 that scored better on select.

    Args:
        start: stage 1's weights.
        shards: the training split's folder.
        settings: threshold and rule.

    Returns:
        Prototypes [C, D], and how many photos each averages [C].

    Raises:
        SadclError: the weights can't be loaded, or the head gives no features.
    """
    # stage 2 starts from the same weights
    network, head = checkpoint.load_network(start)
    model, train, compute_device = file_head.model_settings(start, head), Shards(shards), device.pick()
    device.place(network, compute_device)
    precision = AUTOCAST.get(head["precision"])

    def features() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        batches = evaluation_batches(train, model, 64)
        if head["settings"]["augmentation"].get("views"):
            batches = FeatureMaps(network, model, compute_device).evaluation(train, model, 64)
        with torch.inference_mode(), torch.autocast(compute_device.type, precision, enabled=precision is not None):
            for batch in track(batches, "class prototypes", total=-(-len(train) // 64), each=64):
                out = network(batch.images.to(compute_device))
                if out.features is None:
                    raise SadclError(
                        "This head gives no label-level features to average",
                        where="model.head",
                        fix="Use sarl; of other heads `dvc repro pretrain` is the whole training",
                    )
                # an ignored entry is no positive
                yield out.features.cpu(), out.logits.float().sigmoid().cpu(), batch.targets & ~batch.ignored

    return prototypes(features(), len(train.classes), model.width, settings.threshold, settings.rule)
