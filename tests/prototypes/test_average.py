"""What class prototypes are, against loops over their rules."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sadcl.prototypes.average import prototypes

torch.set_num_threads(1)
Batches = list[tuple[Tensor, Tensor, Tensor]]


def by_loops(batches: Batches, C: int, D: int, threshold: float, rule: str) -> tuple[list[Tensor], list[int]]:
    vectors, counts = [], []
    for j in range(C):
        shown = [(f[i, j].double(), s[i, j]) for f, s, y in batches for i in range(len(f)) if y[i, j]]
        sure = [vector for vector, score in shown if score > threshold]
        chosen = sure or ([vector for vector, _ in shown] if rule == "mean" else [])
        divisor = len(chosen) if rule == "mean" else len(shown)
        vectors.append(sum(chosen, torch.zeros(D, dtype=torch.float64)) / max(divisor, 1))
        counts.append(len(chosen))
    return vectors, counts


def two_batches() -> Batches:
    features = torch.tensor([[[1.0], [5.0]], [[3.0], [7.0]], [[8.0], [9.0]]])
    scores = torch.tensor([[0.9, 0.1], [0.95, 0.2], [0.5, 0.99]])
    targets = torch.tensor([[True, True], [True, True], [True, False]])
    return [(features[:2], scores[:2], targets[:2]), (features[2:], scores[2:], targets[2:])]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(1, 5), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from(["mean", "released"])
)
def test_prototypes_follow_their_rule(seed: int, C: int, density: float, rule: str) -> None:
    rng = torch.Generator().manual_seed(seed)
    batches = [
        (
            torch.randn(B, C, 3, generator=rng),
            torch.rand(B, C, generator=rng),
            torch.rand(B, C, generator=rng) < density,
        )
        for B in torch.randint(1, 5, (2,), generator=rng).tolist()
    ]
    vectors, counts = prototypes(iter(batches), C, 3, 0.6, rule)
    expected, expected_counts = by_loops(batches, C, 3, 0.6, rule)
    torch.testing.assert_close(vectors, torch.stack(expected).float())
    assert counts.tolist() == expected_counts


def test_a_prototype_is_the_mean_of_the_sure_photos_or_of_all_where_none_is_sure() -> None:
    vectors, counts = prototypes(two_batches(), 2, 1, 0.85, "mean")
    assert vectors.flatten().tolist() == [2.0, 6.0]
    assert counts.tolist() == [2, 2]


def test_the_released_rule_divides_by_all_positives() -> None:
    vectors, counts = prototypes(two_batches(), 2, 1, 0.85, "released")
    assert torch.allclose(vectors.flatten(), torch.tensor([4 / 3, 0.0]))
    assert counts.tolist() == [2, 0]


@pytest.mark.parametrize("batches", [[], [(torch.ones(2, 3, 4), torch.ones(2, 3), torch.zeros(2, 3).bool())]])
def test_a_class_without_photos_has_a_zero_prototype_on_no_photo(batches: Batches) -> None:
    vectors, counts = prototypes(batches, 3, 4, 0.5, "mean")
    assert vectors.shape == (3, 4)
    assert not vectors.any()
    assert not counts.any()


def test_many_photos_lose_no_precision() -> None:
    feature = torch.full((1000, 1, 1), 0.1)
    one = torch.ones(1000, 1)
    vectors, counts = prototypes(((feature, one, one.bool()) for _ in range(200)), 1, 1, 0.5, "mean")
    assert float(vectors) == pytest.approx(float(torch.tensor(0.1)), abs=1e-9)
    assert int(counts) == 200_000
