"""A model that onnxruntime computes, in the registry: the file that was judged is the one that is stored and used."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sadcl
from sadcl import files
from sadcl.errors import SadclError
from sadcl.evaluation.gate import champion
from sadcl.registry import artifacts, schema
from sadcl.registry.client import connect, registry_address
from sadcl.registry.promote import promote, rollback
from sadcl.registry.publish import publish
from sadcl.registry.sync import sync
from sadcl.weights.onnx_network import OnnxNetwork

Networks = Callable[[int], Path]
Stages = Callable[..., None]

STRANGER = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/tiny/1")
rows = model.predict(pd.DataFrame({"image": [sys.argv[2]]})).to_dict("records")
print(json.dumps({"rows": rows, "timm": "timm" in sys.modules}))
"""


@pytest.fixture
def photo() -> bytes:
    """A photo of noise."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(file, format="JPEG")
    return file.getvalue()


@pytest.fixture
def judged(project: Path, stages: Stages, onnx: Networks) -> Path:
    """A project whose model onnxruntime computes, registered."""
    stages(served=onnx(1))
    assert publish().words == "tiny version 1 is registered and has the alias challenger."
    return project


def test_the_file_that_was_judged_is_registered_pinned_and_used(
    judged: Path, photo: bytes, networks: Networks, onnx: Networks
) -> None:
    with connect() as client:
        version = client.get_model_version("tiny", "1")
    digest = files.digest(onnx(1))
    assert (artifacts.pins(version)[artifacts.ONNX], version.tags[schema.WEIGHTS]) == (digest, digest)
    assert artifacts.WEIGHTS not in artifacts.pins(version)
    model = sadcl.load("models:/tiny@challenger")
    assert isinstance(model.network, OnnxNetwork)
    np.testing.assert_array_equal(model.scores([photo]), sadcl.load(onnx(1)).scores([photo]))
    np.testing.assert_allclose(model.scores([photo]), sadcl.load(networks(1)).scores([photo]), rtol=0, atol=1e-4)
    assert publish().new is False


def test_a_stranger_needs_no_network_of_torch(judged: Path, tmp_path: Path, photo: bytes, onnx: Networks) -> None:
    (tmp_path / "photo.jpg").write_bytes(photo)
    process = subprocess.run(
        [sys.executable, "-c", STRANGER, registry_address(), str(tmp_path / "photo.jpg")],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout)
    [expected] = sadcl.load(onnx(1)).predict([photo])
    assert answer["rows"][0]["labels"] == [name for name, _ in expected]
    assert answer["rows"][0]["probabilities"] == pytest.approx([probability for _, probability in expected], abs=1e-6)
    assert not answer["timm"]
    [wanted] = (judged / ".sadcl/mlartifacts").rglob("requirements.txt")
    assert "onnxruntime==" in wanted.read_text()


def test_a_changed_onnx_file_is_not_loaded(judged: Path) -> None:
    [path] = (judged / ".sadcl/mlartifacts").rglob("weights.onnx")
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(SadclError, match="has changed since the version was registered"):
        sadcl.load("models:/tiny/1")


def test_the_same_weights_by_another_runtime_are_another_model(
    registered: Path, stages: Stages, onnx: Networks
) -> None:
    stages(served=onnx(1))
    published = publish()
    assert (published.version, published.alias, published.new) == ("2", "challenger", True)


def test_a_model_that_was_judged_by_torch_is_not_registered_for_onnx(
    project: Path, stages: Stages, onnx: Networks
) -> None:
    stages(served=onnx(1))
    by_onnx = (project / "params.yaml").read_text()
    stages()
    (project / "params.yaml").write_text(by_onnx)
    with pytest.raises(SadclError, match=r"judged another runtime, but register.runtime is onnx.*dvc repro"):
        publish()


def test_an_onnx_file_that_is_gone_is_a_sentence(project: Path, stages: Stages, onnx: Networks) -> None:
    stages(served=onnx(1))
    (project / "models/served/weights.onnx").unlink()
    with pytest.raises(SadclError, match=r"models/served/weights.onnx is missing.*dvc repro"):
        publish()


def test_weights_trained_after_the_judgement_are_noticed(project: Path, stages: Stages, onnx: Networks) -> None:
    stages(served=onnx(1))
    figures, verdict, served = (
        project / name for name in ("reports/metrics.json", "reports/verdict.json", "models/served/weights.onnx")
    )
    contents = {path: path.read_bytes() for path in (figures, verdict, served)}
    stages(seed=2, served=onnx(1))
    for path, data in contents.items():
        path.write_bytes(data)
    with pytest.raises(SadclError, match=r"metrics.json is about other weights .* than models/train/weights"):
        publish()


def test_a_champion_by_onnx_is_stored_found_and_followed(
    judged: Path, photo: bytes, stages: Stages, onnx: Networks
) -> None:
    promote(1, "the first", first=True)
    assert {path.name for path in Path("data/champion").iterdir()} >= {"weights.onnx", "scores.parquet"}
    promoted_champion = champion.read_champion()
    assert promoted_champion is not None
    assert champion.weights_file(promoted_champion) == Path("data/champion/weights.onnx")
    expected = sadcl.load(onnx(1)).scores([photo])
    for uri in ("models:/tiny-production@champion", "data/champion"):
        np.testing.assert_array_equal(sadcl.load(uri).scores([photo]), expected)
    assert sync() is False
    Path("data/champion/weights.onnx").unlink()
    assert sync() is True
    stages()
    by_torch(judged)
    publish()
    promote(2, "back to torch")
    assert {path.name for path in Path("data/champion").iterdir()} >= {"weights.safetensors", "scores.parquet"}
    assert not Path("data/champion/weights.onnx").exists()
    rollback("and forth")
    assert Path("data/champion/weights.onnx").exists()


def by_torch(root: Path) -> None:
    """Settings as they were."""
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("runtime: onnx", "runtime: torch"))
