"""The quantised network of ``make bench`` is one that sadcl loads."""

from pathlib import Path

import torch

from benchmarks.runtimes import quantise
from sadcl.weights import export, onnx_network
from tests.weights.small_models import CLASSES, model


def test_a_network_of_bytes_is_loaded_and_scores(tmp_path: Path) -> None:
    tagger = model(head="pooling")
    side = int(tagger.head["preprocessing"]["side"])
    images = torch.randn(4, 3, side, side)
    export.export_onnx(tagger, tmp_path / "whole.onnx")
    quantise(tmp_path / "whole.onnx", tmp_path / "small.onnx", [images])
    scores = [onnx_network.OnnxNetwork(tmp_path / name)(images).logits for name in ("whole.onnx", "small.onnx")]
    assert scores[1].shape == (4, len(CLASSES))
    assert torch.allclose(scores[0].sigmoid(), scores[1].sigmoid(), atol=0.1)
