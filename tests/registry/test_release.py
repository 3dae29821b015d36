"""What is read from a project before anything of it is registered."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sadcl import files
from sadcl.errors import SadclError
from sadcl.registry import client
from sadcl.registry.release import CurvePoint, prepare


def test_a_release_is_read_without_a_registry(
    project: Path, stages: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages(mAP=81.5)
    monkeypatch.setenv(client.ADDRESS, "http://127.0.0.1:9")
    release = prepare(project)
    assert (release.metrics["mAP"], release.metrics["sarl/mAP"], release.metrics["top3/CF1"]) == (81.5, 75.0, 60.0)
    assert "top3/mAP" not in release.metrics
    assert CurvePoint("train/select_mAP", 1, 70.5) in release.curves
    assert {point.epoch for point in release.curves if point.name == "train/select_mAP"} == {1}
    assert (release.settings["train.lr"], release.settings["model.backbone"]) == ("0.0015", "test_efficientnet")
    assert (list(release.datasets), release.datasets["train"]) == (["test", "train"], "a" * 64)
    assert release.scores == files.digest("reports/scores.parquet")
    assert "| this model, SADCL | 81.50 | 70.00 | unknown |" in release.description
    assert release.lineage["sadcl.dvc_lock"] == files.digest("dvc.lock")


@pytest.mark.parametrize("text", ["{}", "[]", '{"digests": 1}'])
@pytest.mark.parametrize("file", ["reports/metrics.json", "reports/verdict.json"])
def test_figures_of_another_form_are_a_sentence(
    project: Path, stages: Callable[..., None], file: str, text: str
) -> None:
    stages()
    (project / file).write_text(text)
    with pytest.raises(SadclError, match="dvc repro"):
        prepare(project)


@pytest.mark.parametrize("file", ["reports/scores.parquet", "models/train/history.csv"])
def test_a_missing_file_is_named_before_the_registry_is_asked(
    project: Path, stages: Callable[..., None], monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    stages()
    (project / file).unlink()
    monkeypatch.setenv(client.ADDRESS, "http://127.0.0.1:9")
    with pytest.raises(SadclError, match=f"{file} is missing"):
        prepare(project)
