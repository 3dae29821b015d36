"""``make bench``: what the project's own code costs beside the plain way, as ratios of medians in one run."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from sadcl import params, processes

REPEATS = 5
SHARDS = Path("data/shards")

Pair = tuple[Callable[[], object], Callable[[], object]]


def main() -> None:
    """Time both sides of each pair in turns, and print the ratio of their medians."""
    processes.before_torch()
    print(f"{'':52}{'ours, s':>10}{'plain, s':>10}{'plain / ours':>14}")
    pairs = {
        "sample-to-sample, 64 photos, 80 classes, 3 labels": losses,
        "AP of 80 classes on 40,137 photos, beside scikit-learn": average_precision,
        "a step at stride 16, ended beside dilated": step,
        "an epoch of photos, beside a plain DataLoader": photos,
    }
    for name, make in pairs.items():
        if make is photos and not (SHARDS / "train" / "index.json").exists():
            print(f"{name:52}{'no data/shards here: run make demo first':>34}")
            continue
        ours, plain = (statistics.median(side) for side in timed(*make()))
        print(f"{name:52}{ours:10.3f}{plain:10.3f}{plain / ours:14.1f}", flush=True)


def timed(ours: Callable[[], object], plain: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Seconds of each side, in turns after one round that does not count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(REPEATS + 1):
        for side, kept in zip((ours, plain), seconds, strict=True):
            started = time.perf_counter()
            side()
            if turn:
                kept.append(time.perf_counter() - started)
    return seconds


def losses() -> Pair:
    """The loss and its gradient on activated entries, and over all entries of batch and memory at once."""
    import torch
    from torch.nn import functional as F

    from sadcl.model.losses import sample_to_sample

    B, C, E = 64, 80, 128
    features = torch.randn(2 * B, C, E, requires_grad=True)
    present = torch.rand(2 * B, C) < 3 / C
    names = torch.arange(C).expand(2 * B, C)

    def ours() -> None:
        sample_to_sample(features[present], names[present]).backward()

    def plain() -> None:
        x, there, label = F.normalize(features.flatten(0, 1), dim=1), present.flatten(), names.flatten()
        similar = (x @ x.T / 0.2).masked_fill(torch.eye(len(x), dtype=torch.bool), -torch.inf)
        share = similar - similar.masked_fill(~there, -torch.inf).logsumexp(1, keepdim=True)
        pair = (label[:, None] == label) & there & there[:, None]
        pair.fill_diagonal_(False)
        (-share.masked_fill(~pair, 0).sum(1) / pair.sum(1).clamp(min=1))[there].mean().backward()

    return ours, plain


def average_precision() -> Pair:
    """All figures of COCO's validation split, and scikit-learn's average precision alone."""
    import numpy as np
    from sklearn.metrics import average_precision_score

    from sadcl.evaluation.metrics import evaluate

    rng = np.random.default_rng(0)
    scores, targets = rng.random((40_137, 80), np.float32), rng.random((40_137, 80)) < 0.036
    return (
        lambda: evaluate(scores, targets),
        lambda: [average_precision_score(targets[:, j], scores[:, j]) for j in range(targets.shape[1])],
    )


def step() -> Pair:
    """Forward and backward of a batch of 50 scenes, with both ways to stride 16."""
    import torch

    from sadcl.model.network import Network

    model = params.load(path=params.RECIPES / "scenes.yaml").model
    images = torch.randn(50, 3, model.side, model.side).contiguous(memory_format=torch.channels_last)

    def one(dilated: bool) -> Callable[[], object]:
        network = Network(model.model_copy(update={"dilated": dilated}), 10).train()
        network = network.to(memory_format=torch.channels_last)
        return lambda: network(images).logits.mean().backward()

    return one(False), one(True)


def photos() -> Pair:
    """Training photos decoded, augmented and batched by our threads, and by torch's worker processes."""
    import io

    import numpy as np
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from sadcl.data import augment
    from sadcl.data.loading import TrainingBatches
    from sadcl.data.shards import Shards

    settings, shards = params.load("model", "pretrain", "seed"), Shards(SHARDS / "train")
    model, fit = settings.model, settings.pretrain
    transform = augment.transform(fit.augmentation, model.side)
    mean, std = torch.tensor(model.mean)[:, None, None], torch.tensor(model.std)[:, None, None]

    class Plain(Dataset[torch.Tensor]):
        def __len__(self) -> int:
            return len(shards)

        def __getitem__(self, row: int) -> torch.Tensor:
            pixels = transform(Image.open(io.BytesIO(shards.jpeg(row))).convert("RGB"), np.random.default_rng(row))
            return (torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float() / 255 - mean) / std

    batches = TrainingBatches(shards, model, fit.augmentation, fit.batch, settings.seed, keep_bytes=0)
    loader = DataLoader(Plain(), fit.batch, shuffle=True, num_workers=processes.workers())
    return lambda: sum(1 for _ in batches.epoch(0)), lambda: sum(1 for _ in loader)


if __name__ == "__main__":
    main()
