"""What training does with its data, its schedule and its mishaps."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from sadcl import params
from sadcl.data.shards.batches import TrainingBatches
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation import inference
from sadcl.model import tagger
from sadcl.model.heads import HEADS
from sadcl.training import fit, schedule
from sadcl.weights import checkpoint, file_head, loader, training_photos
from tests.paths import REPOSITORY

WHOLE = ["conv_stem", "bn1", "blocks", "conv_head", "bn2"]
"""Parts of EfficientNet-Lite0."""


def changed(section: str, **values: object) -> params.Params:
    raw = params.read_settings()
    raw[section] |= values
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    return params.load()


def test_the_schedule_is_the_papers() -> None:
    settings = params.load(path=REPOSITORY / "recipes/demo.yaml").pretrain
    settings = settings.model_copy(update={"lr": 5e-5, "backbone_lr": 1.0, "epochs": 80, "warmup": 0.2})
    _, cycle = schedule.optimiser(nn.Linear(2, 2), settings, steps=10)
    rates, betas = [], []
    for _ in range(800):
        rates.append(cycle.get_last_lr()[0])
        betas.append(cycle.optimizer.param_groups[0]["betas"][0])
        cycle.optimizer.step()
        if len(rates) < 800:
            cycle.step()
    assert rates[0] == pytest.approx(2e-6)
    assert max(rates) == pytest.approx(5e-5)
    assert rates.index(max(rates)) == 159
    assert rates[-1] == pytest.approx(2e-10)
    assert (betas[0], min(betas), betas[-1]) == pytest.approx((0.95, 0.85, 0.95))


@pytest.mark.parametrize("epochs", range(1, 12))
def test_a_short_training_has_a_schedule_whatever_its_warm_up(epochs: int) -> None:
    settings = params.load(path=REPOSITORY / "recipes/demo.yaml").pretrain
    settings = settings.model_copy(update={"epochs": epochs, "warmup": 0.2})
    _, cycle = schedule.optimiser(nn.Linear(2, 2), settings, steps=1)
    for _ in range(max(epochs, 2) - 1):
        cycle.optimizer.step()
        cycle.step()
    assert 0 < cycle.get_last_lr()[0] < settings.lr


def test_training_stops_when_it_is_past_its_best() -> None:
    def rows(raw: list[float], averaged: list[float]) -> list[dict[str, float]]:
        pairs = zip(raw, averaged, strict=True)
        return [{"select_mAP_raw": r, "select_mAP_ema": e, "select_mAP": max(r, e)} for r, e in pairs]

    rising = rows([1, 3, 2, 2, 2], [1, 2, 3, 4, 5])
    past = rows([1, 3, 2, 2, 2], [1, 5, 4, 4, 4])
    assert not schedule.should_stop(rising, 2)
    assert schedule.should_stop(past, 2)
    assert not schedule.should_stop(past, 3)
    assert not schedule.should_stop(past, None)


def test_a_loss_that_is_no_number_names_step_and_images_and_keeps_the_last_state(project: Path) -> None:
    settings = changed("pretrain", lr=1e25)
    with pytest.raises(SadclError, match=r"not finite.*images \d+") as caught:
        fit.pretrain(settings, Path("data/shards"))
    assert "epoch" in str(caught.value.where)
    assert not Path("models").exists()


def test_weights_that_are_no_numbers_are_never_stored(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of a step may be a number, and its gradient too large to take."""
    monkeypatch.setenv("SADCL_STATE_SECONDS", "0")
    with pytest.raises(SadclError, match="weights are not finite"):
        fit.pretrain(changed("pretrain", lr=1e41), Path("data/shards"))
    assert not list(Path(".sadcl").rglob("state.pt"))


def test_batches_without_a_single_positive_train(project: Path) -> None:
    from sadcl.data.ingest import ingest
    from sadcl.data.shards import writer
    from sadcl.stages import prototypes

    settings = params.load()
    table = ingest(project, "data/raw/scenes", settings.ingest, 7, project / "cache", 1)
    table.frame["labels"] = [[] if split == "train" else row for row, split in table.frame[["labels", "split"]].values]
    writer.write_shards(table, project, Path("data/shards"), settings.prepare, 1)
    fit.pretrain(settings, Path("data/shards")).save(Path("models/pretrain"))
    prototypes.main()
    paths = (Path("data/shards"), Path("models/pretrain/weights.safetensors"), Path("models/prototypes.safetensors"))
    fitted = fit.train(settings, *paths)
    assert {row["sample_to_sample"] for row in fitted.history} == {0.0}


def test_without_a_select_split_the_last_epoch_is_stored(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sadcl.data.ingest import ingest
    from sadcl.data.shards import writer

    raw = params.read_settings()
    del raw["ingest"]["annotations"]["select"]
    raw["ingest"]["select_fraction"] = 0
    settings = params.parse(raw, "here")
    table = ingest(project, "data/raw/scenes", settings.ingest, 7, project / "cache", 1)
    writer.write_shards(table, project, project / "all", settings.prepare, 1)
    fitted = fit.pretrain(settings, project / "all")
    assert fitted.head["epoch"] == settings.pretrain.epochs
    assert fitted.head["select"] is None
    assert fitted.head["best"] == "ema"
    assert fitted.best_select is None
    fitted.save(project / "fitted")
    assert "select" not in (project / "fitted/history.csv").read_text()
    assert "no select split" in capsys.readouterr().out


def test_a_select_split_without_labels_is_refused_before_training(project: Path) -> None:
    from sadcl.data.ingest import ingest
    from sadcl.data.shards import writer

    settings = params.load()
    table = ingest(project, "data/raw/scenes", settings.ingest, 7, project / "cache", 1)
    rows = table.frame[["labels", "split"]].values
    table.frame["labels"] = [[] if split == "select" else labels for labels, split in rows]
    writer.write_shards(table, project, project / "unlabelled", settings.prepare, 1)
    with pytest.raises(SadclError, match="No photo of the select split has a label"):
        fit.pretrain(settings, project / "unlabelled")


@pytest.mark.parametrize("missing", ["models/pretrain/weights.safetensors", "models/prototypes.safetensors"])
def test_a_missing_file_of_an_earlier_stage_is_named(project: Path, missing: str) -> None:
    from sadcl.stages import prototypes

    settings, shards = params.load(), Path("data/shards")
    fit.pretrain(settings, shards).save(Path("models/pretrain"))
    prototypes.main()
    Path(missing).unlink()
    with pytest.raises(SadclError, match=r"weights file is missing.*dvc repro") as caught:
        fit.train(settings, shards, Path("models/pretrain/weights.safetensors"), Path("models/prototypes.safetensors"))
    assert str(caught.value.where) == missing


def test_a_batch_beyond_the_photos_counts_the_photos(project: Path) -> None:
    settings, shards = params.load(), Shards(Path("data/shards/train"))
    batches = TrainingBatches(shards, settings.model, settings.pretrain.augmentation, 1000, 1)
    assert (batches.batch, batches.steps) == (len(shards), 1)


@pytest.mark.parametrize("best", ["raw", "ema"])
def test_stage_2_and_prototypes_start_from_the_weights_that_scored_better(best: str, project: Path) -> None:
    from sadcl.stages import prototypes

    settings = changed("train", lr=1e-12, weight_decay=0.0)
    fit.pretrain(settings, Path("data/shards")).save(Path("models/pretrain"))
    file = Path("models/pretrain/weights.safetensors")
    tensors, head = checkpoint.load_tensors(file)
    for name, tensor in tensors.items():
        if not name.startswith(best) and tensor.is_floating_point():
            tensor.zero_()
    checkpoint.save(file, tensors, {**head, "best": best})
    prototypes.main()
    assert checkpoint.load_tensors(Path("models/prototypes.safetensors"))[0]["prototypes"].std(0).max() > 0
    second = fit.train(settings, Path("data/shards"), file, Path("models/prototypes.safetensors"))
    for which in ("raw", "ema"):
        queries = second.tensors[f"{which}.network.head.queries"]
        torch.testing.assert_close(queries, tensors[f"{best}.network.head.queries"])


def test_the_average_of_stage_2_begins_at_the_weights_of_stage_1(project: Path) -> None:
    from sadcl.stages import prototypes

    settings = changed("train", lr=0.01, backbone_lr=1.0, ema_epochs=1000.0)
    fit.pretrain(settings, Path("data/shards")).save(Path("models/pretrain"))
    file = Path("models/pretrain/weights.safetensors")
    prototypes.main()
    second = fit.train(settings, Path("data/shards"), file, Path("models/prototypes.safetensors"))
    tensors, head = checkpoint.load_tensors(file)
    start = tensors[f"{head['best']}.network.head.queries"]
    raw, average = (second.tensors[f"{which}.network.head.queries"] for which in ("raw", "ema"))
    assert (average - start).abs().max() < 0.01 * (raw - start).abs().max()


@pytest.mark.parametrize(("frozen", "views", "is_told"), [
    (WHOLE, None, True), (WHOLE, 1, False), (["conv_stem", "bn1"], None, False),
])  # fmt: skip
def test_a_frozen_backbone_that_is_computed_in_each_epoch_is_named(
    frozen: object, views: int | None, is_told: bool, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = params.read_settings()
    raw["model"]["frozen"] = frozen
    raw["pretrain"]["augmentation"]["views"] = views
    fit.pretrain(params.parse(raw, "here"), Path("data/shards"))
    assert ("no part of the backbone learns" in capsys.readouterr().out) == is_told


def test_weights_say_what_they_stand_on(project: Path) -> None:
    fitted = fit.pretrain(params.load(), Path("data/shards"))
    fitted.save(Path("models/pretrain"))
    head = file_head.read_head(Path("models/pretrain/weights.safetensors"))
    assert head["classes"][0] == "zero"
    assert len(training_photos.load(head)) == 20
    assert head["preprocessing"]["side"] == 32
    assert set(head["inputs"]) >= {"train", "select", "train_list"}
    history = Path("models/pretrain/history.csv").read_text().splitlines()
    assert history[0].startswith("epoch,loss,classification,")
    assert len(history) == 1 + 3


def test_a_model_is_used_at_the_side_at_which_it_was_scored(project: Path) -> None:
    fit.pretrain(changed("model", test_side=64), Path("data/shards")).save(Path("models/pretrain"))
    file, test = Path("models/pretrain/weights.safetensors"), Shards(Path("data/shards/test"))
    assert file_head.read_head(file)["preprocessing"]["side"] == 64
    assert file_head.read_head(file)["model"]["side"] == 32
    evaluated = tagger.sigmoid(inference.score_champion(file, test, 4).logits["champion"])
    np.testing.assert_allclose(loader.load_tagger(file).scores([test.jpeg(i) for i in range(6)]), evaluated, atol=1e-6)


@pytest.mark.parametrize("head", sorted({*HEADS} - {"sarl"}))
def test_every_head_is_trained_stored_and_used(head: str, project: Path) -> None:
    fitted = fit.pretrain(changed("model", head=head), Path("data/shards"))
    fitted.save(Path("models/pretrain"))
    model, test = loader.load_tagger("models/pretrain"), Shards(Path("data/shards/test"))
    assert model.head["model"]["head"] == head
    scores = model.scores([test.jpeg(i) for i in range(6)])
    assert scores.std(0).max() > 0
    np.testing.assert_allclose(loader.load_tagger("models/pretrain").scores([test.jpeg(0)]), scores[:1], atol=1e-6)
