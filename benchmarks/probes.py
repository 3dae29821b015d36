"""Pairs for ``make bench`` on frozen backbones: the linear probe, and training on maps of all or the first stages."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from benchmarks.pairs import POSITIVE, Pair
from sadcl import params
from sadcl.model.losses import asymmetric
from sadcl.model.network import Network
from sadcl.training import logistic_regression
from sadcl.training.logistic_regression import Labelled


def probe(N: int = 1_700, K: int = 1_280, C: int = 80) -> Pair:
    """Logistic regression of all labels at once, against scikit-learn's for one label at a time."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(N, K)).astype(np.float32)
    scores = features @ rng.normal(size=(K, C)) / K**0.5 + rng.normal(size=(N, C))
    targets = scores > np.quantile(scores, 1 - POSITIVE, axis=0)
    train, none = Labelled(features, targets, np.zeros_like(targets)), Labelled(features[:0], targets[:0], targets[:0])
    strength = logistic_regression.DEFAULT_STRENGTH

    def sadcl() -> float:
        fitted = logistic_regression.fit(train, none)
        return loss(features @ fitted.weight.numpy().T + fitted.bias.numpy(), fitted.weight.numpy() * deviation)

    def plain() -> float:
        models = [LogisticRegression(C=1 / (strength * N)).fit(standardised, targets[:, j]) for j in range(C)]
        weight = np.concatenate([model.coef_ for model in models])
        return loss(standardised @ weight.T + np.concatenate([model.intercept_ for model in models]), weight)

    def loss(logits: np.ndarray, weight: np.ndarray) -> float:
        entropy = np.logaddexp(0, np.where(targets, -logits, logits)).sum() / N
        return float(entropy + strength / 2 * (weight**2).sum())

    deviation = features.std(axis=0)
    standardised = (features - features.mean(axis=0)) / deviation
    loss_here, loss_sklearn = sadcl(), plain()
    if loss_here > loss_sklearn * 1.001:
        raise AssertionError(f"The probe's loss is {loss_here}, above {loss_sklearn}")
    return sadcl, plain


def cached_pooling() -> Pair:
    """One update of a pooling head on cached maps, against computing the maps."""
    return cached_step("pooling")


def cached_step(head: str = "sarl", B: int = 50, C: int = 80) -> Pair:
    """One update of a head on a frozen backbone's cached maps, against computing the maps."""
    model = params.load(path=params.RECIPES / "coco-mini.yaml").model
    model = model.model_copy(update={"head": head, "weights": "random"})
    torch.manual_seed(0)
    network = Network(model, C).train()
    images = torch.randn(B, 3, model.side, model.side).contiguous(memory_format=torch.channels_last)
    targets = torch.rand(B, C) < POSITIVE
    with torch.inference_mode():
        maps = network.backbone(images).permute(0, 2, 3, 1).half().numpy()

    def step(batch: torch.Tensor) -> None:
        network.zero_grad()
        asymmetric(network(batch).logits, targets, 4.0).backward()

    def sadcl() -> None:
        step(torch.from_numpy(maps.astype(np.float32)).permute(0, 3, 1, 2))

    return sadcl, lambda: step(images)


def cached_stages(B: int = 50, C: int = 10) -> Pair:
    """One update of the demo's stage 1 from cached maps of the frozen stages, against computing them."""
    model = params.load(path=params.RECIPES / "demo.yaml").model.model_copy(update={"weights": "random"})
    torch.manual_seed(0)
    network = Network(model, C)
    prefix = network.backbone.split(model.side)
    network.train()
    images = torch.randn(B, 3, model.side, model.side).contiguous(memory_format=torch.channels_last)
    targets = torch.rand(B, C) < POSITIVE
    with torch.inference_mode():
        maps = prefix.compute(network.backbone.body, images).permute(0, 2, 3, 1).half().numpy()

    def step(batch: torch.Tensor) -> None:
        network.zero_grad()
        asymmetric(network(batch).logits, targets, 4.0).backward()

    return lambda: step(torch.from_numpy(maps.astype(np.float32)).permute(0, 3, 1, 2)), lambda: step(images)
