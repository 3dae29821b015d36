"""What ``make bench`` compares: the project's own code, and the same thing written the plain way."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor
from torch.nn import functional as F

from sadcl.evaluation.bootstrap import multiplicities, resampled
from sadcl.evaluation.metrics import evaluate
from sadcl.model.losses import sample_to_sample
from sadcl.model.memory import Memory, activated

POSITIVE = 0.036
"""Share of the labels that are present in COCO."""

Side = Callable[[], object]
Pair = tuple[Side, Side]


def contrast(B: int = 32, C: int = 80, E: int = 1024) -> Pair:
    """Sample-to-sample and its gradient on activated entries, and over all 2BC entries of batch and memory."""
    torch.manual_seed(0)
    features = torch.randn(2 * B, C, E, requires_grad=True)
    present = torch.rand(2 * B, C) < POSITIVE
    names = torch.arange(C).expand(2 * B, C)

    def ours() -> None:
        features.grad = None
        sample_to_sample(features[present], names[present]).backward()

    def plain() -> None:
        features.grad = None
        dense_sample_to_sample(features, present, 0.2).backward()

    return ours, plain


def dense_sample_to_sample(features: Tensor, present: Tensor, temperature: float) -> Tensor:
    """The formula over all entries [2B, C, E], activated or not, with masks."""
    names = torch.arange(present.shape[1]).expand(present.shape)
    x, there, label = F.normalize(features.flatten(0, 1), dim=1), present.flatten(), names.flatten()
    similar = (x @ x.T / temperature).masked_fill(torch.eye(len(x), dtype=torch.bool), -torch.inf)
    share = similar - similar.masked_fill(~there, -torch.inf).logsumexp(1, keepdim=True)
    pair = (label[:, None] == label) & there & there[:, None]
    pair.fill_diagonal_(False)
    return (-share.masked_fill(~pair, 0).sum(1) / pair.sum(1).clamp(min=1))[there].mean()


def contrast_500() -> Pair:
    """The same with 500 classes; the plain way would need over 8 GB."""
    return contrast(C=500)


def memory() -> Pair:
    """The memory takes 200 features; and one by one in a Python loop."""
    torch.manual_seed(0)
    B, C, D = 32, 80, 2048
    bank, kept = Memory(torch.zeros(C, D), B), torch.zeros(B, C, D)
    features, targets, scores = torch.randn(B, C, D), torch.zeros(B, C, dtype=torch.bool), torch.rand(B, C)
    targets.view(-1)[torch.randperm(B * C)[:200]] = True
    scores[targets] = 0.9

    positives = targets.nonzero(as_tuple=True)

    def ours() -> None:
        bank.update(activated(features, positives), positives, activated(scores, positives), 0.8)

    def plain() -> None:
        for i, j in zip(*(at.tolist() for at in positives), strict=True):
            if scores[i, j] > 0.8:
                kept[i, j] = features[i, j]

    return ours, plain


def _coco() -> tuple[np.ndarray, np.ndarray]:
    """Scores and targets of the size of COCO's validation split."""
    rng = np.random.default_rng(0)
    return rng.random((40_137, 80), np.float32), rng.random((40_137, 80)) < POSITIVE


def figures() -> Pair:
    """All figures, and the pass that released codes have: scores through a text file, then loops."""
    scores, targets = _coco()
    return lambda: evaluate(scores, targets), lambda: plain_figures(scores, targets)


def plain_figures(scores: np.ndarray, targets: np.ndarray) -> tuple[float, list[list[int]]]:
    """mAP by a loop over classes and images, and the counts behind precision and recall by another."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scores.txt"
        np.savetxt(file, np.concatenate([scores, targets], axis=1))
        rows = [[float(value) for value in line.split()] for line in file.read_text().splitlines()]
    table = np.array(rows)
    C = scores.shape[1]
    precisions, counts = [], [[0, 0, 0] for _ in range(C)]
    for j in range(C):
        order, found, at_hits = np.argsort(-table[:, j]), 0, []
        for rank, i in enumerate(order, 1):
            if table[i, C + j] > 0:
                found += 1
                at_hits.append(found / rank)
            said, there = table[i, j] > 0.5, table[i, C + j] > 0
            counts[j][0] += said and there
            counts[j][1] += said
            counts[j][2] += there
        for k in range(len(at_hits) - 2, -1, -1):
            at_hits[k] = max(at_hits[k], at_hits[k + 1])
        precisions.append(sum(at_hits) / len(at_hits))
    return 100 * sum(precisions) / C, counts


def bootstrap(draws: int = 100) -> Pair:
    """All figures on resamples of COCO's validation split, and the loop that writes each resample out."""
    scores, targets = _coco()
    scores = scores.astype(float)
    counts = multiplicities(len(scores), draws, 0)

    def plain() -> None:
        for drawn in counts.T:
            rows = np.repeat(np.arange(len(scores)), drawn)
            evaluate(scores[rows], targets[rows])

    return lambda: resampled(scores, targets, multiplicities(len(scores), draws, 0)), plain


def bootstrap_1000() -> Pair:
    """A thousand resamples, as the gate takes them for each model."""
    return bootstrap(1000)


def average_precision() -> Pair:
    """All figures of COCO's validation split, and scikit-learn's average precision alone."""
    scores, targets = _coco()
    return (
        lambda: evaluate(scores, targets),
        lambda: [average_precision_score(targets[:, j], scores[:, j]) for j in range(targets.shape[1])],
    )
