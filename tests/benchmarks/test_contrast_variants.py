"""Variants of the contrastive losses against loops written out, and in a real training."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional as F

from benchmarks.contrast_variants import QUEUE, VARIANTS, derangement, supervised_contrast
from sadcl import params
from sadcl.data.shards.batches import Batch
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.memory import Memory
from sadcl.prototypes.collect import class_prototypes
from sadcl.training import fit
from sadcl.training.distributed import Gather
from sadcl.training.objective import DualContrastive
from sadcl.weights import checkpoint, file_head
from tests.training.test_objective import DEMO, B, C, D, E, Net

TAU = 0.3


def terms(x: Tensor, classes: Sequence[int], photos: Sequence[int] | None = None) -> dict[int, list[float]]:
    """Losses of the anchors with a positive, by class; with ``photos``, other labels of a photo are left out."""
    x, by_class = F.normalize(x.double(), dim=1), {}
    for r in range(len(x)):
        others = [a for a in range(len(x)) if a != r]
        positives = [a for a in others if classes[a] == classes[r]]
        if photos is not None:
            others = [a for a in others if photos[a] != photos[r] or classes[a] == classes[r]]
        if positives:
            total = sum(math.exp(x[r] @ x[a] / TAU) for a in others)
            logs = [math.log(math.exp(x[r] @ x[p] / TAU) / total) for p in positives]
            by_class.setdefault(classes[r], []).append(-sum(logs) / len(logs))
    return by_class


def objective(name: str | None, seed: int = 0) -> tuple[DualContrastive, Batch]:
    """An objective on a network without hidden state, and a batch of six photos."""
    torch.manual_seed(seed)
    settings = params.load(path=DEMO).train.model_copy(
        update={
            "contrast_warmup_epochs": 0.0, "sample_temperature": TAU, "memory_threshold": 0.5,
            "sample_to_sample": 0.5, "prototype_to_sample": 0.5,
        }
    )  # fmt: skip
    module = DualContrast(Net(), torch.randn(C, D), E)  # type: ignore[arg-type]
    contrast = DualContrastive if name is None else VARIANTS[name]
    objective = contrast(module, Memory(module.prototypes, B), settings, Gather(Fabric(accelerator="cpu")))
    return objective, batch_of(torch.rand(B, C) < 0.5)


def batch_of(targets: Tensor) -> Batch:
    photos, labels = targets.nonzero(as_tuple=True)
    none = torch.zeros(len(targets), C, dtype=torch.bool)
    return Batch(torch.randn(len(targets), 3), targets, none, [""] * B, np.arange(B), (photos, labels), (len(photos),))


X, CLASSES, PHOTOS = (
    torch.randn(9, 4, generator=torch.manual_seed(3)),
    [0, 0, 1, 1, 1, 2, 0, 3, 3],
    [0, 1, 1, 2, 2, 0, 3, 3, 0],
)


def test_without_a_change_it_is_the_loss_of_the_method() -> None:
    losses = [loss for group in terms(X, CLASSES).values() for loss in group]
    assert float(supervised_contrast(X, torch.tensor(CLASSES), TAU)) == pytest.approx(sum(losses) / len(losses))


def test_weighted_by_class_each_class_counts_once() -> None:
    means = [sum(group) / len(group) for group in terms(X, CLASSES).values()]
    computed = supervised_contrast(X, torch.tensor(CLASSES), TAU, by_class=True)
    assert len(means) == 3  # class 2 has a single entry
    assert float(computed) == pytest.approx(sum(means) / len(means))


def test_other_labels_of_a_photo_are_no_negatives() -> None:
    photos = torch.tensor(PHOTOS)
    losses = [loss for group in terms(X, CLASSES, PHOTOS).values() for loss in group]
    computed = supervised_contrast(X, torch.tensor(CLASSES), TAU, left_out=photos[:, None] == photos)
    assert float(computed) == pytest.approx(sum(losses) / len(losses))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_without_a_positive_the_loss_is_zero_with_a_graph(count: int) -> None:
    x = torch.randn(count, 4, requires_grad=True)
    for by_class in (False, True):
        loss = supervised_contrast(x, torch.arange(count), TAU, by_class=by_class)
        loss.backward()
        assert float(loss.detach()) == 0


@pytest.mark.parametrize("name", ["class_weighted", "other_photos"])
def test_a_step_compares_the_entries_of_batch_and_memory(name: str) -> None:
    variant, batch = objective(name)
    computed = variant.losses(variant.module, batch, 1.0)["sample_to_sample"].detach()
    out = variant.module(batch.images, variant.memory.tensor[batch.positives])
    x = torch.cat([out.embeddings[batch.positives], out.memory_embeddings]).detach()
    photos, classes = (part.tolist() for part in batch.positives)
    if name == "class_weighted":
        means = [sum(losses) / len(losses) for losses in terms(x, classes * 2).values()]
    else:
        alone = [*photos, *range(100, 100 + len(photos))]
        means = [loss for losses in terms(x, classes * 2, alone).values() for loss in losses]
    assert float(computed) == pytest.approx(sum(means) / len(means), rel=1e-5)


def test_anchors_by_class_are_a_setting_of_the_package() -> None:
    variant, batch = objective("class_weighted")
    plain, _ = objective(None)
    plain.settings = plain.settings.model_copy(update={"sample_anchors": "by_class"})
    losses, expected = (one.losses(one.module, batch, 1.0) for one in (plain, variant))
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name])
    plain.settings = plain.settings.model_copy(update={"sample_anchors": "equal"})
    paper = plain.losses(plain.module, batch, 1.0)["sample_to_sample"]
    assert not torch.isclose(paper, expected["sample_to_sample"])


def test_a_queue_holds_the_last_confident_features_of_its_class() -> None:
    variant, _ = objective("class_queue")
    prototypes = variant.module.prototypes.detach()
    expected = {j: [prototypes[j]] * QUEUE for j in range(C)}
    for _ in range(4):
        batch = batch_of(torch.rand(B, C) < 0.6)
        stored, classes = variant.memory_entries(batch.positives)
        for j in batch.positives[1].unique().tolist():
            computed = {tuple(row.tolist()) for row in stored[classes == j]}
            assert computed == {tuple(row.tolist()) for row in expected[j]}
            assert int((classes == j).sum()) == QUEUE
        with torch.no_grad():
            out = variant.module(batch.images)
        variant.losses(variant.module, batch, 1.0)
        variant.after_step()
        for i, j in zip(*(part.tolist() for part in batch.positives), strict=True):
            if float(out.logits[i, j].sigmoid()) > 0.5:
                expected[j] = [*expected[j][1:], out.features[i, j].detach()]
    assert any(len({id(row) for row in rows}) == QUEUE for rows in expected.values())  # some went round


def test_a_queue_comes_back_from_a_state() -> None:
    variant, batch = objective("class_queue")
    other, _ = objective("class_queue", seed=1)
    variant.losses(variant.module, batch, 1.0)
    variant.after_step()
    other.restore(variant.state())
    for original, restored in zip(*(each.memory_entries(batch.positives) for each in (variant, other)), strict=True):
        assert torch.equal(original, restored)


def test_shuffled_names_change_the_contrast_alone() -> None:
    plain, batch = objective(None)
    variant, _ = objective("shuffled")
    roles = variant.roles  # type: ignore[attr-defined]
    # the method itself, on features and prototypes that are swapped by hand
    with torch.no_grad():
        out = plain.module(batch.images)
    swapped = torch.zeros(B, C, dtype=torch.bool)
    for i, j in zip(*(part.tolist() for part in batch.positives), strict=True):
        swapped[i, roles[j]] = True
    moved = batch_of(swapped)
    moved = Batch(batch.images, moved.targets, moved.ignored, [], batch.rows, moved.positives, batch.shares)
    contrast, shuffled = (each.losses(each.module, b, 1.0) for each, b in ((plain, moved), (variant, batch)))
    for name in ("sample_to_sample", "prototype_to_sample"):
        torch.testing.assert_close(shuffled[name], contrast[name])
    same, _ = objective(None)
    untouched = same.losses(same.module, batch, 1.0)
    torch.testing.assert_close(shuffled["classification"], untouched["classification"])
    assert not torch.allclose(shuffled["prototype_to_sample"], untouched["prototype_to_sample"])
    variant.after_step()
    for i, j in zip(*(part.tolist() for part in batch.positives), strict=True):
        feature = out.features if float(out.logits[i, j].sigmoid()) > 0.5 else variant.module.prototypes.expand(B, C, D)
        torch.testing.assert_close(variant.memory.tensor[i, j], feature[i, roles[j]])


def test_shuffled_names_are_drawn_from_the_seed() -> None:
    drawn = [objective("shuffled", seed)[0].roles.tolist() for seed in (0, 0, 1, 2, 3)]  # type: ignore[attr-defined]
    assert drawn[0] == drawn[1]
    assert len({tuple(roles) for roles in drawn}) > 1


def test_no_class_stays_at_its_place() -> None:
    for seed in range(20):
        drawn = derangement(7, torch.Generator().manual_seed(seed)).tolist()
        assert sorted(drawn) == list(range(7))
        assert all(role != j for j, role in enumerate(drawn))


@pytest.fixture
def start(project: Path) -> tuple[params.Params, Path, Path]:
    """Stage 1 of one epoch: settings, weights and prototypes."""
    raw = params.load(path=project / "params.yaml")
    settings = raw.model_copy(
        update={
            "pretrain": raw.pretrain.model_copy(update={"epochs": 1}),
            "train": raw.train.model_copy(update={"epochs": 1, "memory_threshold": 0.1, "contrast_warmup_epochs": 0.0}),
        }
    )
    fit.pretrain(settings, Path("data/shards")).save(Path("first"))
    first, file = Path("first/weights.safetensors"), Path("prototypes.safetensors")
    prototypes, _ = class_prototypes(first, Path("data/shards/train"), settings.prototypes)
    about = {name: file_head.read_head(first)[name] for name in ("classes", "model", "preprocessing")}
    checkpoint.save(file, {"prototypes": prototypes}, {**about, "stage": "prototypes"})
    return settings, first, file


def test_each_variant_trains_with_a_loss_of_its_own(start: tuple[params.Params, Path, Path]) -> None:
    settings, first, prototypes = start
    names, losses = [], set()
    for contrast in (DualContrastive, *VARIANTS.values()):
        fitted = fit.train(settings, Path("data/shards"), first, prototypes, contrast=contrast)
        names.append(fitted.head["inputs"].get("contrast"))
        losses.add(fitted.history[0]["loss"])
        fitted.state.remove()
    assert names == [None, *(variant.__name__ for variant in VARIANTS.values())]
    assert len(losses) == len(names)


def test_a_projector_trained_alone_leaves_the_network_as_without_contrast(
    start: tuple[params.Params, Path, Path],
) -> None:
    settings, first, prototypes = start
    computed = []
    for changes in ({"projector_epochs": 100.0}, {"sample_to_sample": 0.0, "prototype_to_sample": 0.0}):
        own = settings.model_copy(update={"train": settings.train.model_copy(update=changes)})
        fitted = fit.train(own, Path("data/shards"), first, prototypes)
        computed.append(fitted.tensors)
        fitted.state.remove()
    names = [name for name in computed[0] if ".network." in name]
    assert names
    assert all(torch.equal(computed[0][name], computed[1][name]) for name in names)
    assert not torch.equal(computed[0]["raw.prototypes"], computed[1]["raw.prototypes"])
