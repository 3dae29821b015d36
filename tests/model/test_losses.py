"""The losses against loops over their formulas, and the laws that follow from these."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sadcl.model.losses import asymmetric, prototype_to_sample, sample_to_sample

torch.set_num_threads(1)
cases = settings(max_examples=60, deadline=None)


def asymmetric_by_loops(
    logits: Tensor, targets: Tensor, negative: float, positive: float, ignored: Tensor, margin: float
) -> Tensor:
    total, count = logits.sum() * 0, 0
    for i in range(logits.shape[0]):
        for j in range(logits.shape[1]):
            if ignored[i, j]:
                continue
            p = torch.sigmoid(logits[i, j])
            right = p if targets[i, j] else (1 - p + margin).clamp(max=1)
            weight = (1 - right.detach()) ** (positive if targets[i, j] else negative)
            total = total - weight * torch.log(right.clamp(min=1e-5))
            count += 1
    return total / max(count, 1)


def sample_to_sample_by_loops(x: Tensor, classes: Tensor, t: float, by_class: bool) -> Tensor:
    x = torch.stack([v / v.norm() for v in x]) if len(x) else x
    terms: dict[int, list[Tensor]] = {}
    for r in range(len(x)):
        others = [a for a in range(len(x)) if a != r]
        positives = [p for p in others if classes[p] == classes[r]]
        if not positives:
            continue
        denominator = sum(torch.exp(x[r] @ x[a] / t) for a in others)
        shares = [torch.log(torch.exp(x[r] @ x[p] / t) / denominator) for p in positives]
        terms.setdefault(int(classes[r]), []).append(-torch.stack(shares).mean())
    if not terms:
        return x.sum() * 0
    means = [torch.stack(own).mean() for own in terms.values()]
    return torch.stack(means if by_class else [term for own in terms.values() for term in own]).mean()


def prototype_to_sample_by_loops(x: Tensor, c: Tensor, targets: Tensor, t: float, ignored: Tensor) -> Tensor:
    total = (x.sum() + c.sum()) * 0
    for j in range(len(c)):
        similarity = [x[i, j] @ c[j] / (x[i, j].norm() * c[j].norm()) for i in range(len(x))]
        counted = [i for i in range(len(x)) if not ignored[i, j]]
        positives = [i for i in counted if targets[i, j]]
        if positives:
            above = sum(torch.exp(similarity[i] / t) for i in positives)
            total = total - torch.log(above / sum(torch.exp(similarity[i] / t) for i in counted))
    return total / max(int((targets & ~ignored).sum()), 1)


@st.composite
def batches(draw: st.DrawFn) -> tuple[int, int, int, Tensor, Tensor, torch.Generator]:
    """B, C, E, targets with no, some or only positives, ignored, a generator."""
    B, C, E = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(2, 5))
    rng = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    density = draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))
    targets = torch.rand(B, C, generator=rng) < density
    ignored = torch.rand(B, C, generator=rng) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    return B, C, E, targets, ignored & ~targets if density < 1 else ignored, rng


def random(*shape: int, rng: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64).requires_grad_()


def agree(actual: Tensor, expected: Tensor, *inputs: Tensor) -> None:
    """Check that values and gradients agree within 1e-6."""
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-6)
    for a, b in zip(
        torch.autograd.grad(actual, inputs, retain_graph=True), torch.autograd.grad(expected, inputs), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)


@cases
@given(batches(), st.sampled_from([0.0, 0.3, 2.0, 4.0]), st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.05, 0.5]))
def test_asymmetric_is_its_formula(case, negative: float, positive: float, margin: float) -> None:
    B, C, _, targets, ignored, rng = case
    logits = random(B, C, rng=rng)
    loss = asymmetric(logits, targets, negative, positive, ignored, margin)
    agree(loss, asymmetric_by_loops(logits, targets, negative, positive, ignored, margin), logits)


@cases
@given(batches(), st.sampled_from([0.07, 0.2, 1.0]), st.booleans())
def test_sample_to_sample_is_its_formula(case, t: float, by_class: bool) -> None:
    _, _, E, targets, _, rng = case
    x = random(int(targets.sum()), E, rng=rng)
    classes = targets.nonzero()[:, 1]
    loss = sample_to_sample(x, classes, t, by_class)
    agree(loss, sample_to_sample_by_loops(x, classes, t, by_class), x)


@cases
@given(batches(), st.sampled_from([0.07, 0.2, 1.0]))
def test_prototype_to_sample_is_its_formula(case, t: float) -> None:
    B, C, E, targets, ignored, rng = case
    x, c = random(B, C, E, rng=rng), random(C, E, rng=rng)
    loss = prototype_to_sample(x, c, targets, t, ignored)
    agree(loss, prototype_to_sample_by_loops(x, c, targets, t, ignored), x, c)


@cases
@given(batches(), st.floats(0.1, 10))
def test_scaling_or_permuting_features_changes_nothing(case, scale: float) -> None:
    B, C, E, targets, ignored, rng = case
    x, c = random(B, C, E, rng=rng), random(C, E, rng=rng)
    rows, columns = torch.randperm(B, generator=rng), torch.randperm(C, generator=rng)
    plain = prototype_to_sample(x, c, targets, 0.1, ignored)
    moved = [v[rows][:, columns] for v in (x, targets, ignored)]
    torch.testing.assert_close(prototype_to_sample(moved[0] * scale, c[columns], moved[1], 0.1, moved[2]), plain)

    entries, classes = x[targets], targets.nonzero()[:, 1]
    order = torch.randperm(len(entries), generator=rng)
    torch.testing.assert_close(
        sample_to_sample(entries[order] * scale, columns.argsort()[classes[order]]), sample_to_sample(entries, classes)
    )


def test_binary_cross_entropy_is_the_case_without_focusing() -> None:
    logits = torch.linspace(-4, 4, 12, dtype=torch.float64).view(3, 4)
    targets = torch.arange(12).view(3, 4) % 3 == 0
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets.double())
    torch.testing.assert_close(asymmetric(logits, targets, 0.0), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_extreme_logits_stay_finite_under_autocast(dtype: torch.dtype) -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0]]).repeat(4, 1).requires_grad_()
    targets = torch.tensor([[False, True, True]]).repeat(4, 1)
    with torch.autocast("cpu", dtype=dtype):
        loss = asymmetric(logits.to(dtype), targets, 4.0)
        features = (torch.ones(4, 3, 8) * 1e3).requires_grad_()
        loss = loss + sample_to_sample(features[targets].to(dtype), targets.nonzero()[:, 1])
        loss = loss + prototype_to_sample(features.to(dtype), features[0].to(dtype), targets)
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


def test_a_batch_without_any_positive_gives_zero_with_a_graph() -> None:
    x, c = torch.randn(3, 4, 5, requires_grad=True), torch.randn(4, 5, requires_grad=True)
    none = torch.zeros(3, 4, dtype=torch.bool)
    loss = prototype_to_sample(x, c, none) + sample_to_sample(x[none], none.nonzero()[:, 1])
    loss.backward()
    assert float(loss.detach()) == 0
    assert x.grad is not None
    assert not x.grad.any()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_activated_entries_give_zero_with_a_graph(count: int) -> None:
    x = torch.randn(count, 3, requires_grad=True)
    loss = sample_to_sample(x, torch.arange(count))
    loss.backward()
    assert float(loss.detach()) == 0
    assert x.grad is not None
    assert not x.grad.any()


@cases
@given(batches())
def test_ignored_entries_get_no_gradient_and_change_nothing(case) -> None:
    B, C, E, targets, ignored, rng = case
    x, c, logits = random(B, C, E, rng=rng), random(C, E, rng=rng), random(B, C, rng=rng)

    def loss(x: Tensor, logits: Tensor) -> Tensor:
        return prototype_to_sample(x, c, targets, 0.1, ignored) + asymmetric(logits, targets, 4.0, 1.0, ignored)

    plain = loss(x, logits)
    of_x, of_logits = torch.autograd.grad(plain, (x, logits))
    assert not of_x[ignored].any()
    assert not of_logits[ignored].any()
    others = torch.where(ignored, 5.0, logits), torch.where(ignored[..., None], x.flip(-1) + 1, x)
    torch.testing.assert_close(loss(others[1], others[0]), plain)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_computes_in_full_precision_and_float64_stays(dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(0)
    x, c, logits = random(6, 4, 8, rng=rng), random(4, 8, rng=rng), random(6, 4, rng=rng)
    targets = torch.arange(24).view(6, 4) % 3 == 0

    def losses(kind: torch.dtype) -> list[Tensor]:
        features = x.to(kind)
        return [
            asymmetric(logits.to(kind), targets, 4.0),
            sample_to_sample(features[targets], targets.nonzero()[:, 1]),
            prototype_to_sample(features, c.to(kind), targets),
        ]

    plain = losses(torch.float32)
    with torch.autocast("cpu", dtype=dtype):
        lowered, exact = losses(torch.float32), losses(torch.float64)
    assert all(torch.equal(a, b) for a, b in zip(plain, lowered, strict=True))
    assert all(loss.dtype == torch.float64 for loss in exact)


def test_a_sure_mistake_costs_the_floor_and_a_sure_hit_nothing() -> None:
    logits, targets = torch.tensor([[-1e4, 1e4]]), torch.tensor([[True, True]])
    assert float(asymmetric(logits[:, :1], targets[:, :1], 0.0)) == pytest.approx(-math.log(1e-5))
    assert float(asymmetric(logits[:, 1:], targets[:, 1:], 0.0)) == 0


def test_features_of_a_class_that_lie_together_cost_less() -> None:
    apart = torch.eye(4)
    together = torch.tensor([[1.0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]])
    classes = torch.tensor([0, 0, 1, 1])
    assert sample_to_sample(together, classes) < sample_to_sample(apart, classes)
