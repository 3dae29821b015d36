"""The linear probe: logistic regression, its choice of L2, and the network that it becomes."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from sadcl import params
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation.metrics import evaluate
from sadcl.stages import pretrain, prototypes, train
from sadcl.stages import probe as stage
from sadcl.training import fit
from sadcl.training import logistic_regression as probe
from sadcl.training.logistic_regression import Labelled
from sadcl.training.probe import fit_network
from sadcl.weights import file_head, loader, training_photos

N, K, C = 120, 6, 3


def labelled(seed: int, photos: int = N) -> Labelled:
    """Photos whose labels follow from their features with noise; features of very different sizes."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(photos, K))
    direction = np.random.default_rng(0).normal(size=(K, C))
    targets = features @ direction + rng.normal(size=(photos, C)) > 0.3
    sizes, means = np.geomspace(0.01, 100, K), np.linspace(-5, 500, K)
    return Labelled((features * sizes + means).astype(np.float32), targets, np.zeros((photos, C), bool))


def logits(fitted: probe.LogisticRegression, photos: Labelled) -> Tensor:
    return torch.from_numpy(photos.features).double() @ fitted.weight.double().T + fitted.bias.double()


NONE = labelled(0, 0)


@pytest.mark.parametrize("strength", [1.0, 0.1, 0.01])
def test_each_class_is_the_logistic_regression_of_scikit_learn(
    strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "DEFAULT_STRENGTH", strength)
    train = labelled(1)
    fitted_logits = logits(probe.fit(train, NONE), train)
    standardised = (train.features - train.features.mean(0)) / train.features.std(0)
    for j in range(C):
        reference = LogisticRegression(C=1 / (strength * N), tol=1e-8, max_iter=1000)
        expected = reference.fit(standardised, train.targets[:, j]).decision_function(standardised)
        torch.testing.assert_close(fitted_logits[:, j], torch.from_numpy(expected).double(), atol=5e-3, rtol=1e-3)


def test_unknown_labels_change_nothing() -> None:
    train, rng = labelled(1), np.random.default_rng(5)
    ignored = rng.random((N, C)) < 0.3
    without_ignored = probe.fit(Labelled(train.features, train.targets & ~ignored, ignored), NONE)
    with_ignored = probe.fit(Labelled(train.features, train.targets | ignored, ignored), NONE)
    torch.testing.assert_close(without_ignored.weight, with_ignored.weight)
    assert not torch.allclose(without_ignored.weight, probe.fit(train, NONE).weight)


def test_select_chooses_the_strength() -> None:
    train, select = labelled(1, 30), labelled(2)
    fitted = probe.fit(train, select, strengths=(100.0, 1.0, 0.1, 0.01))
    assert set(fitted.select_map) == {100.0, 1.0, 0.1, 0.01}
    assert fitted.select_map[fitted.strength] == max(fitted.select_map.values())
    alone = probe.fit(train, select, strengths=(fitted.strength,))
    torch.testing.assert_close(logits(fitted, select), logits(alone, select), atol=0.02, rtol=0.02)


def test_a_feature_that_never_changes_counts_nothing() -> None:
    train = labelled(1)
    constant = np.concatenate([train.features, np.full((N, 1), 7, np.float32)], axis=1)
    fitted = probe.fit(Labelled(constant, train.targets, train.ignored), NONE)
    assert float(fitted.weight[:, -1].abs().max()) == 0
    torch.testing.assert_close(fitted.weight[:, :-1], probe.fit(train, NONE).weight)


def test_a_feature_that_differs_by_rounding_alone_counts_nothing() -> None:
    train = labelled(1)
    rounding = (np.full((N, 1), 7.7) + np.random.default_rng(3).normal(size=(N, 1)) * 1e-7).astype(np.float32)
    fitted = probe.fit(Labelled(np.concatenate([train.features, rounding], 1), train.targets, train.ignored), NONE)
    assert float(fitted.weight[:, -1].abs().max()) == 0


def test_a_select_split_without_a_known_positive_chooses_nothing() -> None:
    train, select = labelled(1), labelled(2)
    fitted = probe.fit(train, Labelled(select.features, select.targets, np.ones_like(select.targets)))
    assert fitted.strength == probe.DEFAULT_STRENGTH
    assert fitted.select_map == {}
    torch.testing.assert_close(fitted.weight, probe.fit(train, NONE).weight)


def test_a_large_split_is_fitted_on_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    train = labelled(1)
    whole = probe.fit(train, NONE)
    monkeypatch.setattr(probe, "MOST_PHOTOS", 60)
    part = probe.fit(train, NONE, seed=3)
    assert not torch.allclose(part.weight, whole.weight)
    torch.testing.assert_close(part.weight, probe.fit(train, NONE, seed=3).weight)


def test_the_stage_writes_a_network_that_predicts_as_the_probe(project: Path) -> None:
    line = stage.main()
    file = Path("models/probe/weights.safetensors")
    head = file_head.read_head(file)
    assert f"select mAP {head['select']['ema']:.2f}" in line
    assert len(training_photos.load(head)) == 20
    rows = Path("models/probe/history.csv").read_text().splitlines()
    assert rows[0] == "strength,select_mAP"
    assert len(rows) == 1 + len(probe.STRENGTHS)
    select = Shards(Path("data/shards/select"))
    scores = loader.load_tagger(file).scores([select.jpeg(i) for i in range(len(select))])
    _, fitted, _ = fit_network(params.load().model, params.load().seed, Shards(Path("data/shards/train")), select)
    assert fitted.strength == head["settings"]["strength"]
    assert evaluate(scores, select.targets)["mAP"] == pytest.approx(head["select"]["ema"], abs=0.5)


def test_equal_photos_give_equal_bytes(project: Path) -> None:
    stage.main()
    first = Path("models/probe/weights.safetensors").read_bytes()
    stage.main()
    assert Path("models/probe/weights.safetensors").read_bytes() == first


def test_a_linear_head_goes_through_all_stages_of_training(project: Path) -> None:
    raw = params.read_settings()
    raw["model"]["head"] = "linear"
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    lines = [stage.main(), pretrain.main(), prototypes.main(), train.main()]
    assert lines[1].startswith("Linear probe with select mAP")
    assert "has no label-level features" in lines[2]
    assert "has no stage 2" in lines[3]
    files_of = [Path(f"models/{name}/weights.safetensors") for name in ("probe", "pretrain", "train")]
    photo = [Shards(Path("data/shards/select")).jpeg(0)]
    first, *others = (loader.load_tagger(file).scores(photo) for file in files_of)
    for scores in others:
        np.testing.assert_array_equal(scores, first)
    assert Path("models/train/history.csv").read_text() == Path("models/pretrain/history.csv").read_text()
    Path("models/pretrain/history.csv").unlink()
    with pytest.raises(SadclError, match=r"The file is missing .*pretrain.history.csv"):
        train.main()


def test_tuning_refuses_a_head_without_stage_2(project: Path) -> None:
    from sadcl.tuning import study

    raw = params.read_settings()
    raw["model"]["head"] = "linear"
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(SadclError, match="Tuning searches stage 2, which the head linear does not have"):
        study._check_ready(Path())


def test_a_pooling_head_starts_from_the_probe_and_trains_on(project: Path) -> None:
    """At a rate of nearly zero, training ends where it starts: at the scores of the probe."""
    raw, photos = params.read_settings(), [Shards(Path("data/shards/select")).jpeg(i) for i in range(3)]
    stage.main()
    expected = loader.load_tagger(Path("models/probe/weights.safetensors")).scores(photos)
    raw["model"] |= {"head": "pooling", "weights": "models/probe/weights.safetensors", "freeze_batch_norm": True}
    raw["pretrain"] |= {"epochs": 1, "lr": 1e-12}

    def scores(head_start: str) -> np.ndarray:
        settings = params.parse({**raw, "model": raw["model"] | {"head_start": head_start}}, where="here")
        fit.pretrain(settings, Path("data/shards")).save(Path("models/started"))
        return loader.load_tagger(Path("models/started/weights.safetensors")).scores(photos)

    np.testing.assert_allclose(scores("probe"), expected, atol=1e-4)
    assert np.abs(scores("random") - expected).max() > 0.1


def test_a_head_whose_classifier_reads_other_features_does_not_start_from_the_probe(project: Path) -> None:
    raw = params.read_settings()
    raw["model"]["head_start"] = "probe"
    with pytest.raises(SadclError, match=r"The head sarl can't start from the linear probe.*model\.head_start"):
        fit.pretrain(params.parse(raw, where="here"), Path("data/shards"))
