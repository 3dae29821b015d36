"""What the memory keeps, and what class prototypes are."""

import torch

from sadcl.model.memory import Memory
from sadcl.model.prototypes import prototypes


def test_every_slot_starts_as_the_prototypes() -> None:
    start = torch.randn(3, 4)
    assert torch.equal(Memory(start, 5).tensor, start.expand(5, 3, 4))


def test_only_present_and_sure_features_are_taken_and_a_short_batch_uses_the_first_slots() -> None:
    memory = Memory(torch.zeros(2, 3), 4)
    features = torch.arange(12.0).view(2, 2, 3) + 1
    targets = torch.tensor([[True, True], [False, True]])
    scores = torch.tensor([[0.9, 0.8], [0.99, 0.81]])
    memory.update(features, targets, scores, 0.8)
    assert torch.equal(memory.tensor[0, 0], features[0, 0])
    assert torch.equal(memory.tensor[1, 1], features[1, 1])
    kept = [memory.tensor[0, 1], memory.tensor[1, 0], memory.tensor[2], memory.tensor[3]]
    assert not any(part.any() for part in kept)


def batches() -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    features = torch.tensor([[[1.0], [5.0]], [[3.0], [7.0]], [[8.0], [9.0]]])
    scores = torch.tensor([[0.9, 0.1], [0.95, 0.2], [0.5, 0.99]])
    targets = torch.tensor([[True, True], [True, True], [True, False]])
    return [(features[:2], scores[:2], targets[:2]), (features[2:], scores[2:], targets[2:])]


def test_a_prototype_is_the_mean_of_the_sure_photos_or_of_all_where_none_is_sure() -> None:
    vectors, counts = prototypes(batches(), 2, 1, 0.85, "mean")
    assert vectors.flatten().tolist() == [2.0, 6.0]
    assert counts.tolist() == [2, 2]


def test_the_released_rule_divides_by_all_positives() -> None:
    vectors, counts = prototypes(batches(), 2, 1, 0.85, "released")
    assert torch.allclose(vectors.flatten(), torch.tensor([4 / 3, 0.0]))
    assert counts.tolist() == [2, 0]


def test_a_class_without_photos_has_a_zero_prototype_on_no_photo() -> None:
    vectors, counts = prototypes([(torch.ones(2, 3, 4), torch.ones(2, 3), torch.zeros(2, 3).bool())], 3, 4, 0.5, "mean")
    assert not vectors.any()
    assert not counts.any()
