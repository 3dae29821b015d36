"""A frozen backbone's feature maps: stored once, the same as the photos, for every training."""

from importlib import metadata
from pathlib import Path

import pytest
import torch
import yaml

from sadcl import layout, params
from sadcl.data.shards.batches import evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.model import tagger
from sadcl.model.network import Network
from sadcl.prototypes.collect import class_prototypes
from sadcl.training import feature_cache, fit

FROZEN = ["conv_stem", "bn1", "blocks", "conv_head", "bn2"]


def settings(views: int | None = 2, frozen: list[str] = FROZEN, seed: int = 1) -> params.Params:
    raw = params.read_settings()
    raw["model"] |= {"frozen": frozen, "freeze_batch_norm": True, "weights": "package"}
    for stage in ("pretrain", "train"):
        raw[stage]["augmentation"] |= {"views": views}
    Path("params.yaml").write_text(yaml.safe_dump(raw | {"seed": seed}))
    return params.load()


def cached() -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in layout.FEATURE_CACHE.glob("*.npy")}


def test_scores_from_maps_are_those_from_photos(project: Path) -> None:
    torch.manual_seed(3)
    model, shards, cpu = settings().model, Shards(Path("data/shards/select")), torch.device("cpu")
    network = Network(model, 10).eval()
    from_maps = feature_cache.FeatureMaps(network, model, cpu).evaluation(shards, model, 3)
    logits = tagger.logits(network, from_maps, cpu)
    expected = tagger.logits(network, evaluation_batches(shards, model, 3), cpu)
    assert abs(expected).max() > 0.1
    torch.testing.assert_close(torch.tensor(logits), torch.tensor(expected), atol=2e-3, rtol=2e-3)


def test_maps_of_a_vision_transformer_are_its_own(project: Path) -> None:
    frozen = ["cls_token", "pos_embed", "patch_embed", "blocks", "norm"]
    model = settings(frozen=FROZEN).model.model_copy(
        update={"backbone": "test_vit", "weights": "random", "side": 64, "frozen": tuple(frozen)}
    )
    torch.manual_seed(3)
    network, shards, cpu = Network(model, 10).eval(), Shards(Path("data/shards/select")), torch.device("cpu")
    from_maps = feature_cache.FeatureMaps(network, model, cpu).evaluation(shards, model, 3)
    expected = tagger.logits(network, evaluation_batches(shards, model, 3), cpu)
    torch.testing.assert_close(
        torch.tensor(tagger.logits(network, from_maps, cpu)), torch.tensor(expected), atol=2e-3, rtol=2e-3
    )


def test_views_and_splits_are_computed_once_for_every_seed_and_both_stages(project: Path, tmp_path: Path) -> None:
    shards = Path("data/shards")
    fit.pretrain(settings(), shards).save(tmp_path)
    before = cached()
    assert len(before) == 3  # two views of train, and select
    fitted = fit.pretrain(settings(seed=2), shards)
    assert cached() == before
    assert len(fitted.history) == 3
    class_prototypes(tmp_path / "weights.safetensors", shards / "train", settings().prototypes)
    assert len(cached()) == 4  # train as it is
    assert {name: at for name, at in cached().items() if name in before} == before


def test_maps_of_other_code_or_libraries_are_computed_anew(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, shards, cpu = settings().model, Shards(Path("data/shards/select")), torch.device("cpu")
    network = Network(model, 10)
    for number, name in enumerate(("now", "now", "another version"), 1):
        version = metadata.version
        if name != "now":
            monkeypatch.setattr(metadata, "version", lambda library: f"{version(library)}.1")  # noqa: B023
            feature_cache._software.cache_clear()
        feature_cache.FeatureMaps(network, model, cpu).pooled(shards, model)
        assert len(cached()) == (1 if number < 3 else 2)
    feature_cache._software.cache_clear()


def test_cached_maps_train_a_network_in_double_precision(project: Path) -> None:
    chosen = settings()
    chosen = chosen.model_copy(update={"pretrain": chosen.pretrain.model_copy(update={"precision": "64-true"})})
    fitted = fit.pretrain(chosen, Path("data/shards"))
    assert len(fitted.history) == 3
    assert len(cached()) == 3  # two views of train, and select: none is computed a second time


def test_another_view_is_another_epochs_augmentation(project: Path) -> None:
    chosen, shards = settings(), Shards(Path("data/shards/train"))
    network = Network(chosen.model, 10)
    source = feature_cache.FeatureMaps(network, chosen.model, torch.device("cpu"))
    first, second, again = (source.view(shards, chosen.pretrain.augmentation, n) for n in (0, 1, 0))
    assert (first != second).any()
    assert (first == again).all()


@pytest.mark.parametrize(
    ("backbone", "frozen"),
    [("tf_efficientnet_lite0", FROZEN[:2]), ("tf_efficientnet_lite0", [*FROZEN[:2], "blocks.0", "blocks.1"]),
     ("test_resnet", ["conv1", "bn1", "layer1"]), ("test_convnext", ["stem", "stages.0"])],
)  # fmt: skip
def test_maps_after_frozen_parts_give_the_scores_and_gradients_of_photos(
    backbone: str, frozen: list[str], project: Path
) -> None:
    model = settings(frozen=FROZEN[:2]).model.model_copy(
        update={"backbone": backbone, "weights": "random", "frozen": tuple(frozen), "head": "pooling", "side": 64}
    )
    torch.manual_seed(3)
    network, shards, cpu = Network(model, 10).eval(), Shards(Path("data/shards/select")), torch.device("cpu")
    results = []
    for batches in (
        evaluation_batches(shards, model, 4),
        feature_cache.FeatureMaps(network, model, cpu).evaluation(shards, model, 4),
    ):
        network.zero_grad()
        logits = network(next(iter(batches)).images).logits
        logits.square().sum().backward()
        gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        results.append((logits.detach(), torch.cat(gradients)))
    (logits, gradient), (cached_logits, cached_gradient) = results
    torch.testing.assert_close(cached_logits, logits, atol=2e-3, rtol=2e-3)
    assert torch.nn.functional.cosine_similarity(cached_gradient, gradient, dim=0) > 0.999


def test_a_training_with_cached_stages_ends_like_one_with_photos(project: Path) -> None:
    """Without augmentation both trainings see the same photos, and differ by the rounding of float16 alone."""
    losses = []
    for views in (1, None):
        chosen = settings(views=views, frozen=[*FROZEN[:2], "blocks.0", "blocks.1"])
        plain = chosen.pretrain.augmentation.model_copy(update={"kind": "none", "flip": False})
        chosen = chosen.model_copy(update={"pretrain": chosen.pretrain.model_copy(update={"augmentation": plain})})
        losses.append([epoch["loss"] for epoch in fit.pretrain(chosen, Path("data/shards")).history])
    assert len(cached()) == 2  # train and select
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)


def test_frozen_parts_that_do_not_come_first_are_refused(project: Path) -> None:
    with pytest.raises(SadclError, match="can't be cached apart") as error:
        fit.pretrain(settings(frozen=["blocks.3"]), Path("data/shards"))
    assert "augmentation.views to null" in str(error.value.fix)
    assert not cached()
