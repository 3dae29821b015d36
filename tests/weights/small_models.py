"""Small untrained models of every head, and photos of noise for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sadcl import params
from sadcl.model import heads
from sadcl.model.network import Network
from sadcl.model.tagger import Tagger

CPU = torch.device("cpu")
CLASSES = ["cat", "dog", "kite", "Straßenbahn"]
MODEL = params.Model(
    backbone="test_efficientnet", weights="random", side=64, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4),
    width=16, heads=2, feedforward=16, embedding=8, groups=3,
)  # fmt: skip
SHORT = {"output_stride": 16, "dilated": False}
KINDS: dict[str, dict[str, Any]] = {
    "sarl": {"head": "sarl", **SHORT},
    "sarl, queries shared": {"head": "sarl", "side": 160, "two_layers": True},
    "pooling": {"head": "pooling"},
    "csra": {"head": "csra", "two_layers": True},
    "ml_decoder": {"head": "ml_decoder", "two_layers": True},
    "sarl, tokens": {"head": "sarl", "backbone": "test_vit", "side": 64, "test_side": 96},
    "sarl, Lite0": {"head": "sarl", "backbone": "tf_efficientnet_lite0", **SHORT},
}


class Patches(torch.nn.Sequential):
    """A backbone of two layers, which is exported in a tenth of the time of a real one."""

    channels = 8

    def __init__(self) -> None:
        super().__init__(torch.nn.Conv2d(3, self.channels, 16, 16), torch.nn.BatchNorm2d(self.channels))


Exported = Callable[[str], tuple[Tagger, Path]]
"""By name of ``KINDS``: a model, and the folder of its exported files."""


def model(thresholds: list[float] | None = None, seed: int = 0, two_layers: bool = False, **change: Any) -> Tagger:
    """Untrained model.

    Args:
        thresholds: of its classes.
        seed: of its weights.
        two_layers: replace the backbone by ``Patches``.
        change: settings of section model.
    """
    settings = MODEL.model_copy(update=change)
    torch.manual_seed(seed)
    network = Network(settings, len(CLASSES), start=False)
    if two_layers:
        network.backbone = Patches()  # type: ignore[assignment]
        network.head = heads.build(Patches.channels, len(CLASSES), settings)
    with torch.no_grad():  # sharp enough that a wrong photo or weight shows in the scores
        for name, parameter in network.head.named_parameters():
            if name in ("weight", "linear.weight"):
                parameter.mul_(5)
    head = {
        "format": 1, "stage": "train", "classes": CLASSES, "model": settings.model_dump(mode="json"),
        "preprocessing": {"side": settings.for_test().side, "mean": list(settings.mean), "std": list(settings.std)},
        "thresholds": thresholds,
    }  # fmt: skip
    return Tagger(network, head, CPU)


def photos(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (70 + i, 90, 3), np.uint8)) for i in range(count)]
