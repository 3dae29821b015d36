"""Using a registered model: from sadcl, from MLflow, in a process that knows nothing of the project."""

import ast
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sadcl
from sadcl.errors import SadclError
from sadcl.registry import load
from sadcl.registry.client import ADDRESS, connect, registry_address
from sadcl.registry.model_files import REQUIRED
from sadcl.registry.promote import promote


@pytest.fixture
def photo() -> bytes:
    """A photo of noise."""
    pixels = np.random.default_rng(1).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG")
    return file.getvalue()


STRANGER = """
import json, pickle, sys, warnings
warnings.simplefilter("ignore")
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])

class Refused(pickle.Unpickler):
    def __init__(self, *_, **__):
        raise AssertionError("something was unpickled")

pickle.Unpickler = pickle.load = pickle.loads = Refused
model = mlflow.pyfunc.load_model("models:/tiny/1")
predictions = model.predict(pd.DataFrame({"image": [open(sys.argv[2], "rb").read(), sys.argv[2]]}))
import sadcl
code = [module.__file__ for name, module in list(sys.modules.items()) if name.startswith("sadcl.")]
print(json.dumps({"rows": predictions.to_dict("records"), "package": sadcl.__file__, "code": code}))
"""


def test_a_program_without_sadcl_is_advised_to_install_it(registered: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['sadcl'] = None\n" + STRANGER
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.run(
        [sys.executable, "-c", code, registry_address(), "photo.jpg"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "This model is computed by the package sadcl; install the version that artifacts/code.json names" in (
        process.stderr
    )


def test_a_stranger_loads_and_predicts_without_pickle(
    registered: Path, tmp_path: Path, photo: bytes, networks: Callable[[int], Path]
) -> None:
    (tmp_path / "photo.jpg").write_bytes(photo)
    process = subprocess.run(
        [sys.executable, "-c", STRANGER, registry_address(), str(tmp_path / "photo.jpg")],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout)
    expected_labels = sadcl.load(networks(1)).predict([photo])[0]
    for row in answer["rows"]:
        assert row["labels"] == [name for name, _ in expected_labels]
        assert row["probabilities"] == pytest.approx([probability for _, probability in expected_labels], abs=1e-5)
    assert answer["package"] == sadcl.__file__
    named = _imported([Path(file) for file in answer["code"]])
    unneeded = {"requests": "errors of MLflow's client, which brings it"}
    unneeded["pillow_heif"] = "reads HEIC where it is installed"
    assert named - set(REQUIRED) == set(unneeded)


def test_addresses_of_the_registry_give_the_model(
    registered: Path, photo: bytes, networks: Callable[[int], Path]
) -> None:
    expected = sadcl.load(networks(1)).scores([photo])
    promote(1, "the first", first=True)
    for uri in ("models:/tiny/1", "models:/tiny-production/1", "models:/tiny-production@champion"):
        assert sadcl.load(uri).scores([photo]).tolist() == expected.tolist()
    assert sadcl.load("models/train").classes == ("cat", "dog", "kite")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("models:/tiny/7", "no version 7 of tiny"),
        ("models:/tiny@champion", "No version of tiny has the alias champion"),
        ("models:/other/1", "no version 1 of other"),
        ("models:/tiny", "not the address of a model"),
        ("models:/tiny/latest", "A version is a number"),
    ],
)
def test_an_address_that_leads_nowhere_is_a_sentence(registered: Path, address: str, words: str) -> None:
    with pytest.raises(SadclError, match=words):
        load.load(address)


def test_changed_weights_are_not_loaded(registered: Path) -> None:
    [path] = (registered / ".sadcl/mlartifacts").rglob("weights.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(SadclError, match="has changed since the version was registered"):
        load.load("models:/tiny@challenger")


def test_a_project_without_registry_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    with pytest.raises(SadclError, match="Nothing is registered yet"):
        load.load("models:/tiny/1", root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_photo_is_named_by_its_row(registered: Path, photo: bytes) -> None:
    import mlflow
    import pandas as pd

    with connect() as client:
        model = mlflow.pyfunc.load_model(client.get_model_version_download_uri("tiny", "1")).unwrap_python_model()
    with pytest.raises(SadclError, match=r"must be bytes or a path, but it is float \(row 1 of column 'image'\)"):
        model.predict(None, pd.DataFrame({"image": [photo, 0.5]}))
    with pytest.raises(SadclError, match="no column 'image'"):
        model.predict(None, pd.DataFrame({"photo": [photo]}))
    assert len(model.predict(None, pd.DataFrame({"image": []}))) == 0


def _imported(code: list[Path]) -> set[str]:
    """Distributions that files import, anywhere in them."""
    nodes = [node for file in code for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    homes = metadata.packages_distributions()
    imported = {min(homes[name], key=len).lower() for module in modules if (name := module.partition(".")[0]) in homes}
    return imported - {"sadcl"}
