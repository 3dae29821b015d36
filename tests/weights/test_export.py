"""Export to ONNX and torch.export: equal scores, self-contained files, one error message where it fails."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch

import sadcl
from sadcl import files, params
from sadcl.data import table
from sadcl.data.images.normalise import normalise
from sadcl.data.images.resize import squash
from sadcl.data.shards import reader, writer
from sadcl.errors import SadclError
from sadcl.model.heads import HeadOutput
from sadcl.weights import export, loader
from tests.paths import REPOSITORY
from tests.weights.small_models import CLASSES, KINDS, Exported, model, photos

EACH_KIND = [pytest.param(kind, marks=pytest.mark.slow if "Lite0" in kind else ()) for kind in KINDS]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("kind", EACH_KIND)
def test_onnx_file_gives_the_original_scores_and_attention(exported: Exported, kind: str, count: int) -> None:
    original, folder = exported(kind)
    loaded, images = sadcl.load(folder / "weights.onnx"), photos(count)
    np.testing.assert_allclose(loaded.scores(images), original.scores(images), rtol=0, atol=1e-4)
    np.testing.assert_allclose(loaded.attention(images[0]), original.attention(images[0]), atol=1e-4)


@pytest.mark.parametrize("kind", EACH_KIND)
def test_torch_export_file_gives_the_original_scores(exported: Exported, kind: str) -> None:
    original, folder = exported(kind)
    extra_files = {"sadcl": ""}
    program = torch.export.load(folder / "weights.pt2", extra_files=extra_files).module()
    head = json.loads(extra_files["sadcl"])
    assert (head["classes"], head["thresholds"]) == (CLASSES, [0.0, 1.0, 0.5, 0.25])
    shape = head["preprocessing"]
    for count in (1, 2, 5):
        pixels = np.stack([squash(np.asarray(photo), shape["side"]) for photo in photos(count)])
        scores = program(normalise(pixels, shape["mean"], shape["std"]))[0].sigmoid()
        np.testing.assert_allclose(scores.numpy(), original.scores(photos(count)), rtol=0, atol=1e-4)


def test_exported_files_contain_classes_and_thresholds(exported: Exported) -> None:
    original, folder = exported("sarl")
    loaded = sadcl.load(folder)
    assert loaded.classes == tuple(CLASSES)
    assert loaded.thresholds.tolist() == [0.0, 1.0, 0.5, 0.25]
    assert loaded.head["preprocessing"] == original.head["preprocessing"]
    [before], [after] = original.predict(photos(1)), loaded.predict(photos(1))
    assert [name for name, _ in before] == [name for name, _ in after]


def test_onnx_file_has_named_inputs_outputs_and_head(exported: Exported) -> None:
    proto = onnx.load(exported("sarl")[1] / "weights.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 18)]

    def shape(value: Any) -> list[Any]:
        return [value.name, *(entry.dim_param or entry.dim_value for entry in value.type.tensor_type.shape.dim)]

    assert [shape(value) for value in proto.graph.input] == [["images", "batch", 3, 64, 64]]
    assert [shape(value) for value in proto.graph.output] == [
        ["logits", "batch", 4],
        ["attention", "batch", 4, 4, 4],
    ]
    head = json.loads({entry.key: entry.value for entry in proto.metadata_props}["sadcl"])
    assert head["classes"] == CLASSES


def test_export_is_silent_and_equal_weights_give_equal_bytes(
    exported: Exported, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, folder = exported("csra")
    capfd.readouterr()
    list(export.report(model([0.0, 1.0, 0.5, 0.25], **KINDS["csra"]), tmp_path, tmp_path / "no shards"))
    sadcl.load(tmp_path / "weights.onnx").scores(photos(1))
    assert capfd.readouterr() == ("", "")
    data = (tmp_path / "weights.onnx").read_bytes()
    assert data == (folder / "weights.onnx").read_bytes()
    assert str(REPOSITORY).encode() not in data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["weights.onnx", "weights.pt2"]


@pytest.mark.parametrize("library", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_library_is_named(
    exported: Exported, tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, folder = exported("pooling")
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(SadclError, match=f"needs {library}, .*pip install 'sadcl\\[export\\]'"):
        sadcl.load(folder) if library == "onnxruntime" else export.export_onnx(original, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


class DataDependent(torch.nn.Module):
    """A head with a branch that depends on the photo, which no fixed graph can express."""

    def forward(self, feature_map: torch.Tensor, attention: bool = False) -> HeadOutput:
        del attention
        pooled = feature_map.mean((2, 3))[:, :4]
        return HeadOutput(pooled if float(pooled.sum()) > 0 else -pooled)


class Random(torch.nn.Module):
    """A head whose scores differ at every call."""

    def forward(self, feature_map: torch.Tensor, attention: bool = False) -> HeadOutput:
        del attention
        return HeadOutput(torch.randn_like(feature_map.mean((2, 3))[:, :4]))


@pytest.mark.parametrize(("head", "words"), [(DataDependent(), "can't be exported"), (Random(), "scores differ by")])
def test_failed_export_leaves_an_earlier_one_as_it_is(
    tmp_path: Path, head: torch.nn.Module, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = model(head="pooling", two_layers=True)
    odd.network.head = head
    (tmp_path / "weights.onnx").write_text("of an earlier export")
    with pytest.raises(SadclError, match=f"{words}.*register.runtime: torch"):
        list(export.report(odd, tmp_path, tmp_path / "no shards"))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["of an earlier export"]
    assert capfd.readouterr() == ("", "")


def test_export_of_an_export_is_refused(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="is an export already"):
        list(export.report(sadcl.load(exported("sarl")[1]), tmp_path, tmp_path / "no shards"))


def test_export_does_not_change_the_model(tmp_path: Path) -> None:
    double = model(head="pooling", two_layers=True)
    double.network.double()
    before = {name: value.clone() for name, value in double.network.state_dict().items()}
    export.export_onnx(double, tmp_path / "a.onnx")
    for name, value in double.network.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])
    assert loader.read_head(tmp_path / "a.onnx")["thresholds"] is None


def test_difference_compares_both_models_on_test_photos(exported: Exported, tmp_path: Path) -> None:
    original, folder = exported("ml_decoder")
    test = prepared(tmp_path)
    assert 0 <= export.difference(original, sadcl.load(folder), test, batch=3) < 1e-5
    with pytest.raises(SadclError, match=r"scores differ by .*data/test"):
        export.difference(model(seed=1, **KINDS["ml_decoder"]), sadcl.load(folder), test)


def test_each_step_of_an_export_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sadcl.progress.LOG_SECONDS", 0.0)
    list(export.report(model(head="pooling", two_layers=True), tmp_path, tmp_path / "nowhere"))
    assert re.findall(r"export: (\d/3), .* left", capsys.readouterr().out) == ["1/3", "2/3", "3/3"]


def test_report_names_files_and_the_largest_difference(tmp_path: Path) -> None:
    prepared(tmp_path)
    small = model(head="pooling", two_layers=True)
    lines = list(export.report(small, tmp_path / "out", tmp_path / "data/test"))
    assert lines[0].startswith("On 7 test photos no score of the ONNX file differs by more than ")
    written = [str(tmp_path / f"out/weights.{kind}") for kind in ("onnx", "pt2")]
    assert [line.split(" (")[0] for line in lines[1:]] == written
    assert "noise only" in next(export.report(small, tmp_path / "out", tmp_path / "nowhere"))
    earlier = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    small.network.train()  # batch norms then use the batch's statistics, as the export never does
    with pytest.raises(SadclError, match="differ by"):
        list(export.report(small, tmp_path / "out", tmp_path / "data/test"))
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == earlier


def prepared(root: Path) -> reader.Shards:
    """Seven test photos in shards."""
    rows = []
    for i, photo in enumerate(photos(7)):
        file = root / f"{i}.png"
        photo.save(file)
        rows.append(
            {
                "image_id": str(i), "file": file.name, "split": "test", "labels": [0], "ignored": [],
                "width": photo.width, "height": photo.height, "bytes": file.stat().st_size,
                "brightness": 99.0, "sharpness": 9.0, "phash": 1,
                "sha256": files.digest(file), "problem": None,
            }
        )  # fmt: skip
    writer.write_shards(
        table.Table(pd.DataFrame(rows), tuple(CLASSES), ".", {}), root, root / "data", params.Prepare(), 1
    )
    return reader.Shards(root / "data/test")
