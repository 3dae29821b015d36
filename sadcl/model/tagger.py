"""The tagger: a network with its preprocessing, class names, calibration and thresholds."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from sadcl.data.images import decode
from sadcl.data.images.normalise import normalise
from sadcl.data.images.resize import squash
from sadcl.data.shards.batches import Batch
from sadcl.errors import SadclError
from sadcl.model import device as devices
from sadcl.model.heads import HeadOutput

Photo = str | Path | bytes | Image.Image
Floats = npt.NDArray[np.float32]

BATCH = 32
AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class Tagger:
    """Predicts labels of photos, with the pixels that evaluation computes from the same files.

    Args:
        network: a ``Network``, or a module with its interface (an ONNX session).
        head: JSON head of the weights file.
        device: compute device; by default ``SADCL_DEVICE``, else a GPU, else the CPU.
    """

    def __init__(self, network: nn.Module, head: dict[str, Any], device: torch.device | None = None) -> None:
        self.device = device or devices.pick()
        self.network = network.to(self.device).eval()
        self.head = head
        self.classes: tuple[str, ...] = tuple(head["classes"])
        calibration = head.get("calibration") or {"slope": 1.0, "bias": 0.0}
        self.slope, self.bias = (torch.as_tensor(calibration[name], dtype=torch.float32) for name in ("slope", "bias"))
        self.thresholds: Floats = np.asarray(head.get("thresholds") or [0.5] * len(self.classes), np.float32)

    def predict(self, images: Sequence[Photo], threshold: float | None = None) -> list[list[tuple[str, float]]]:
        """List each photo's classes above their thresholds with their probabilities, the likeliest first.

        Args:
            images: paths, bytes or PIL images.
            threshold: in 0 to 1, for all classes, instead of the model's own thresholds.

        Raises:
            SadclError: a photo can't be read; the message names it.
        """
        bounds = self.thresholds if threshold is None else np.full_like(self.thresholds, threshold)
        return [
            [(self.classes[j], float(row[j])) for j in np.argsort(-row, kind="stable") if row[j] > bounds[j]]
            for row in self.scores(images)
        ]

    def scores(self, images: Sequence[Photo]) -> Floats:
        """Compute probabilities [N, C] in float32, calibrated where the model has a calibration.

        Args:
            images: paths, bytes or PIL images; they are read and scored 32 at a time.

        Raises:
            SadclError: a photo can't be read; the message names it.
        """
        logits = torch.from_numpy(self.logits(images))
        probabilities: Floats = (self.slope * logits + self.bias).sigmoid().numpy()
        return probabilities

    def logits(self, images: Sequence[Photo]) -> Floats:
        """Compute logits [N, C] in float32, before calibration and sigmoid.

        Args:
            images: paths, bytes or PIL images; they are read and scored 32 at a time.

        Raises:
            SadclError: a photo can't be read; the message names it.
        """
        if isinstance(images, Photo):
            raise SadclError("One photo was passed where a list is expected", fix="Put it into a list: [photo]")
        parts = [
            self._forward(images[i : i + BATCH], i, attention=False).logits.float().cpu().numpy()
            for i in range(0, len(images), BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes)), np.float32)

    def attention(self, image: Photo) -> Floats:
        """Compute the attention map of each label [C, h, w]; each map sums to 1.

        Raises:
            SadclError: the photo can't be read, or the model's head has no attention.
        """
        weights = self.attention_or_none(image)
        if weights is None:
            raise SadclError(
                "This model has no attention", where=self.head["model"].get("head"), fix="Use a head that gives maps"
            )
        return weights

    def attention_or_none(self, image: Photo) -> Floats | None:
        """Compute the attention map of each label [C, h, w]; None where the model's head has none.

        Raises:
            SadclError: the photo can't be read.
        """
        maps = self._forward([image], 0, attention=True).attention
        return None if maps is None else maps[0].float().cpu().numpy()

    def _forward(self, images: Sequence[Photo], first: int, attention: bool) -> HeadOutput:
        """Run the network on one batch; ``first`` is the number of its first photo, for error messages."""
        shape = self.head["preprocessing"]
        side = int(shape["side"])
        pixels = np.stack([squash(_open(image, i, side), side) for i, image in enumerate(images, first + 1)])
        ready = normalise(pixels, tuple(shape["mean"]), tuple(shape["std"])).to(self.device)
        with torch.inference_mode():
            out: HeadOutput = self.network(ready, attention=attention)
        return out


def logits(network: nn.Module, batches: Iterable[Batch], device: torch.device, precision: str = "32-true") -> Floats:
    """Compute logits [N, C] of prepared photos, in the precision of training.

    Args:
        network: in evaluation mode, on ``device``.
        batches: in order.
        device: compute device.
        precision: as Lightning names it (``bf16-mixed``).

    Returns:
        float32 [N, C]; [0, 0] where there is no batch.
    """
    lower, own = AUTOCAST.get(precision), next((p.dtype for p in network.parameters()), torch.float32)
    parts = []
    with torch.inference_mode(), torch.autocast(device.type, lower, enabled=lower is not None):
        for batch in batches:
            parts.append(network(batch.images.to(device, own)).logits.float().cpu().numpy())
    values: Floats = np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
    return values


def sigmoid(values: npt.NDArray[Any]) -> Floats:
    """Probabilities of logits, computed in float64 and rounded to float32."""
    scores: Floats = Tensor.sigmoid(torch.as_tensor(values, dtype=torch.float64)).numpy().astype(np.float32)
    return scores


def _open(image: Photo, number: int, side: int) -> np.ndarray:
    """Decode a photo as training and evaluation do: a large JPEG at reduced size, no side below ``side``.

    Args:
        image: path, bytes or PIL image.
        number: position of the photo in the call, from 1; names photos without a path in errors.
        side: least side, in pixels.
    """
    where = getattr(image, "filename", "") or f"photo {number}"
    if isinstance(image, Image.Image):
        return np.array(decode.upright(image, where))
    if isinstance(image, bytes):
        return decode.pixels(image, at_least=side, where=where)
    if not isinstance(image, str | Path):
        raise SadclError(
            f"A photo is a path, bytes or a PIL image, but this is {type(image).__name__}",
            where=where,
            fix="Give one of these",
        )
    try:
        data = Path(image).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SadclError(f"The photo can't be read: {reason}", where=image, fix="Check the path") from None
    return decode.pixels(data, at_least=side, where=image)
