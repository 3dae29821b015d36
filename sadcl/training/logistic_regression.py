"""Logistic regression of many labels on pooled features, with the L2 that a second split chooses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sadcl.evaluation import metrics
from sadcl.model import tagger
from sadcl.training.optimisers import LBFGS

STRENGTHS = (1.0, 0.3, 0.1, 0.03)
"""Weights of L2 to choose from, relative to the mean loss over photos, from strong to weak."""
DEFAULT_STRENGTH = 0.3
"""Weight of L2 where no select split chooses it."""
MOST_PHOTOS = 100_000
"""Photos that are fitted on: more change little, and their features would not fit into memory."""
ITERATIONS = 200
"""Most iterations of L-BFGS for one strength."""


@dataclass(frozen=True)
class Labelled:
    """Pooled features of photos with their labels.

    Attributes:
        features: [N, K].
        targets: [N, C], present.
        ignored: [N, C], neither present nor absent.
    """

    features: NDArray[np.float32]
    targets: NDArray[np.bool_]
    ignored: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class LogisticRegression:
    """A linear classifier of pooled features, logits = features @ weight.T + bias.

    Attributes:
        weight: [C, K].
        bias: [C].
        strength: weight of L2 that was chosen.
        select_map: mAP on select in percent by strength; empty without a select split.
    """

    weight: Tensor
    bias: Tensor
    strength: float
    select_map: dict[float, float]


def fit(train: Labelled, select: Labelled, seed: int = 0, strengths: Sequence[float] = STRENGTHS) -> LogisticRegression:
    """Fit one logistic regression per class on standardised features, with the L2 that scores best on select.

    The loss is the mean over photos of the sum over classes of binary cross-entropy, plus half the strength times the
    squared norm of the weights of standardised features; ignored entries take no part. Each strength starts from the
    solution of the stronger one before.

    Args:
        train: at most ``MOST_PHOTOS`` of them are drawn.
        select: chooses the strength; without a known positive label the strength is ``DEFAULT_STRENGTH``.
        seed: of the draw.
        strengths: weights of L2.
    """
    rows = np.arange(len(train))
    if len(rows) > MOST_PHOTOS:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), MOST_PHOTOS, replace=False))
    features, targets, known = train.features[rows], train.targets[rows], ~train.ignored[rows]
    # sums of many float32 values would lose the deviation of features with large means
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = np.sqrt(((features - mean.astype(np.float32)) ** 2).mean(axis=0, dtype=np.float64))
    # a feature that never changes says nothing; dividing by its rounding errors would
    scale = np.where(deviation > 1e-6 * np.abs(mean), deviation, np.inf)
    standardised = torch.from_numpy((features - mean.astype(np.float32)) / scale.astype(np.float32))
    parameters = torch.zeros(targets.shape[1], features.shape[1] + 1)
    y, counted = torch.from_numpy(targets).float(), torch.from_numpy(known).float()

    def loss(logits: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, y, counted, reduction="sum") / len(rows)

    candidates, select_map = {}, {}
    # without a known positive no strength is better than another
    chooses = bool((select.targets & ~select.ignored).any())
    for strength in sorted(strengths, reverse=True) if chooses else (DEFAULT_STRENGTH,):
        parameters = minimise(loss, parameters, standardised, strength)
        candidates[strength] = _unstandardised(parameters, mean, scale)
        if chooses:
            weight, bias = candidates[strength]
            scores = tagger.sigmoid(select.features @ weight.numpy().T + bias.numpy())
            select_map[strength] = float(metrics.evaluate(scores, select.targets, select.ignored)["mAP"])
    # of equal ones the strongest, which comes first
    best = max(candidates, key=lambda strength: select_map.get(strength, 0.0))
    weight, bias = candidates[best]
    return LogisticRegression(weight, bias, best, select_map)


def minimise(loss: Callable[[Tensor], Tensor], start: Tensor, features: Tensor, strength: float) -> Tensor:
    """Minimise a loss of linear classifiers with L2 by L-BFGS.

    Args:
        loss: of logits [N, C].
        start: [C, K + 1]; the last column is the bias, on which L2 does not act.
        features: [N, K], standardised.
        strength: weight of L2; half of it times the squared norm of the weights is added.

    Returns:
        Weights and biases, as ``start``.
    """
    parameters = start.clone().requires_grad_()
    optimiser = LBFGS(
        [parameters], max_iter=ITERATIONS, tolerance_change=1e-7, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        weight, bias = parameters[:, :-1], parameters[:, -1]
        value = loss(features @ weight.T + bias) + strength / 2 * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return parameters.detach()


def _unstandardised(parameters: Tensor, mean: NDArray[np.float64], scale: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Weight [C, K] and bias [C] for features as they are."""
    # in float64: features of some backbones have means a thousand times their deviation
    weight = parameters[:, :-1].double() / torch.from_numpy(scale).double()
    bias = parameters[:, -1].double() - weight @ torch.from_numpy(mean).double()
    return weight.float(), bias.float()
