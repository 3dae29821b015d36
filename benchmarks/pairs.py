"""Pairs of implementations for ``make bench``: sadcl's, and a plain one."""

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
    """Sample-to-sample and its gradient on activated entries, against all 2BC entries of batch and memory."""
    torch.manual_seed(0)
    features = torch.randn(2 * B, C, E, requires_grad=True)
    present = torch.rand(2 * B, C) < POSITIVE
    names = torch.arange(C).expand(2 * B, C)

    def sadcl() -> None:
        features.grad = None
        sample_to_sample(features[present], names[present]).backward()

    def plain() -> None:
        features.grad = None
        dense_sample_to_sample(features, present, 0.2).backward()

    return sadcl, plain


def dense_sample_to_sample(features: Tensor, present: Tensor, temperature: float) -> Tensor:
    """Sample-to-sample over all entries [2B, C, E], activated or not, with masks."""
    names = torch.arange(present.shape[1]).expand(present.shape)
    x, positive, label = F.normalize(features.flatten(0, 1), dim=1), present.flatten(), names.flatten()
    similar = (x @ x.T / temperature).masked_fill(torch.eye(len(x), dtype=torch.bool), -torch.inf)
    share = similar - similar.masked_fill(~positive, -torch.inf).logsumexp(1, keepdim=True)
    pair = (label[:, None] == label) & positive & positive[:, None]
    pair.fill_diagonal_(False)
    return (-share.masked_fill(~pair, 0).sum(1) / pair.sum(1).clamp(min=1))[positive].mean()


def contrast_500() -> Pair:
    """Sample-to-sample with 500 classes; the plain implementation would need over 8 GB."""
    return contrast(C=500)


def memory() -> Pair:
    """Update of the memory with 200 features, against a Python loop."""
    torch.manual_seed(0)
    B, C, D = 32, 80, 2048
    bank, slots = Memory(torch.zeros(C, D), B), torch.zeros(B, C, D)
    features, targets, scores = torch.randn(B, C, D), torch.zeros(B, C, dtype=torch.bool), torch.rand(B, C)
    targets.view(-1)[torch.randperm(B * C)[:200]] = True
    scores[targets] = 0.9

    positives = targets.nonzero(as_tuple=True)

    def sadcl() -> None:
        bank.update(activated(features, positives), positives, activated(scores, positives), 0.8)

    def plain() -> None:
        for i, j in zip(*(index.tolist() for index in positives), strict=True):
            if scores[i, j] > 0.8:
                slots[i, j] = features[i, j]

    return sadcl, plain


def _coco() -> tuple[np.ndarray, np.ndarray]:
    """Scores and targets of the size of COCO's validation split."""
    rng = np.random.default_rng(0)
    return rng.random((40_137, 80), np.float32), rng.random((40_137, 80)) < POSITIVE


def figures() -> Pair:
    """All metrics, against the evaluation of released codes: scores through a text file, then loops."""
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
        order, hits, at_hits = np.argsort(-table[:, j]), 0, []
        for rank, i in enumerate(order, 1):
            if table[i, C + j] > 0:
                hits += 1
                at_hits.append(hits / rank)
            predicted, present = table[i, j] > 0.5, table[i, C + j] > 0
            counts[j][0] += predicted and present
            counts[j][1] += predicted
            counts[j][2] += present
        for k in range(len(at_hits) - 2, -1, -1):
            at_hits[k] = max(at_hits[k], at_hits[k + 1])
        precisions.append(sum(at_hits) / len(at_hits))
    return 100 * sum(precisions) / C, counts


def bootstrap(draws: int = 100) -> Pair:
    """All metrics on resamples of COCO's validation split, against a loop that repeats rows."""
    scores, targets = _coco()
    scores = scores.astype(float)
    counts = multiplicities(len(scores), draws, 0)

    def plain() -> None:
        for drawn in counts.T:
            rows = np.repeat(np.arange(len(scores)), drawn)
            evaluate(scores[rows], targets[rows])

    return lambda: resampled(scores, targets, multiplicities(len(scores), draws, 0)), plain


def bootstrap_1000() -> Pair:
    """A thousand resamples, as in the gate for each model."""
    return bootstrap(1000)


def average_precision() -> Pair:
    """All metrics of COCO's validation split, against scikit-learn's average precision alone."""
    scores, targets = _coco()
    return (
        lambda: evaluate(scores, targets),
        lambda: [average_precision_score(targets[:, j], scores[:, j]) for j in range(targets.shape[1])],
    )
