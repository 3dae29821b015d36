"""Loading of models from weights files, ONNX files and folders."""

from pathlib import Path

import pytest

import sadcl
from sadcl.errors import SadclError
from sadcl.weights import loader
from tests.weights.small_models import Exported


def test_missing_and_torch_export_files_are_refused(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(SadclError, match=r"model file is missing \(.*none.onnx\)"):
        sadcl.load(tmp_path / "none.onnx")
    with pytest.raises(SadclError, match="for other programs"):
        sadcl.load(exported("sarl")[1] / "weights.pt2")


def test_weights_file_goes_before_the_onnx_file_of_a_folder(tmp_path: Path) -> None:
    assert loader.model_file(tmp_path) == tmp_path / "weights.safetensors"
    (tmp_path / "weights.onnx").touch()
    assert loader.model_file(tmp_path) == tmp_path / "weights.onnx"
    (tmp_path / "weights.safetensors").touch()
    assert loader.model_file(tmp_path) == tmp_path / "weights.safetensors"
