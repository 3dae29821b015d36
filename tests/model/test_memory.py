"""What the memory stores, and when it changes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sadcl.model.memory import Memory

torch.set_num_threads(1)


def update(
    memory: Memory, features: torch.Tensor, targets: torch.Tensor, scores: torch.Tensor, threshold: float
) -> None:
    """Update the memory from whole batches: features [B, C, D], targets and scores [B, C]."""
    positives = tuple(targets.nonzero().T)
    memory.update(features[positives], positives, scores[positives], threshold)


def test_every_slot_starts_as_the_prototypes() -> None:
    start = torch.randn(3, 4)
    memory = Memory(start, 5)
    assert torch.equal(memory.tensor, start.expand(5, 3, 4))
    memory.tensor[0] = 7
    assert not (start == 7).any()


def test_only_present_and_sure_features_are_taken_and_a_short_batch_uses_the_first_slots() -> None:
    memory = Memory(torch.zeros(2, 3), 4)
    features = torch.arange(12.0).view(2, 2, 3) + 1
    targets = torch.tensor([[True, True], [False, True]])
    scores = torch.tensor([[0.9, 0.8], [0.99, 0.81]])
    update(memory, features, targets, scores, 0.8)
    assert torch.equal(memory.tensor[0, 0], features[0, 0])
    assert torch.equal(memory.tensor[1, 1], features[1, 1])
    empty_slots = [memory.tensor[0, 1], memory.tensor[1, 0], memory.tensor[2], memory.tensor[3]]
    assert not any(part.any() for part in empty_slots)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 4), st.integers(0, 3))
def test_each_slot_holds_the_last_sure_feature_of_its_place_and_class(seed: int, B: int, C: int, updates: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    start = torch.randn(C, 2, generator=rng)
    memory, expected = Memory(start, B), {(i, j): start[j] for i in range(B) for j in range(C)}
    for _ in range(updates):
        short = int(torch.randint(1, B + 1, (), generator=rng))
        features, scores = torch.randn(short, C, 2, generator=rng), torch.rand(short, C, generator=rng)
        targets = torch.rand(short, C, generator=rng) < 0.5
        update(memory, features, targets, scores, 0.5)
        expected |= {(i, j): features[i, j] for i, j in targets.nonzero().tolist() if scores[i, j] > 0.5}
    assert all(torch.equal(memory.tensor[place], vector) for place, vector in expected.items())


def test_features_of_half_precision_are_stored_in_the_memorys_own_and_bring_no_graph() -> None:
    memory, features = Memory(torch.zeros(1, 2), 1), torch.ones(1, 1, 2, dtype=torch.bfloat16, requires_grad=True)
    update(memory, features, torch.ones(1, 1).bool(), torch.ones(1, 1), 0.5)
    assert memory.tensor.dtype == torch.float32
    assert not memory.tensor.requires_grad
    assert memory.tensor.all()


def test_an_update_belongs_after_the_backward_pass() -> None:
    weight = torch.ones(2, requires_grad=True)
    memory = Memory(torch.ones(1, 2), 1)
    taken = torch.full((1, 1, 2), 5.0), torch.ones(1, 1).bool(), torch.ones(1, 1), 0.5
    (memory.tensor * weight).sum().backward()
    update(memory, *taken)
    loss = (memory.tensor * weight).sum()
    update(memory, *taken)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_resumed_training_finds_the_memory_that_it_left() -> None:
    memory = Memory(torch.zeros(1, 2), 2)
    left = memory.state()
    update(memory, torch.ones(2, 1, 2), torch.ones(2, 1).bool(), torch.ones(2, 1), 0.5)
    assert not left.any()
    other = Memory(torch.zeros(1, 2), 2).to(torch.device("cpu"))
    other.restore(memory.state())
    assert torch.equal(other.tensor, memory.tensor)
