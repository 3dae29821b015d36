"""The core without any extra: it predicts, and each command that needs more says which extra brings it."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import sadcl
from sadcl import extras, params
from sadcl.errors import SadclError
from sadcl.model.network import Network
from sadcl.project import doctor
from sadcl.weights import checkpoint
from tests.paths import REPOSITORY

CLASSES = ["cat", "dog", "kite"]
MODEL = params.Model(
    backbone="test_efficientnet", weights="random", side=64, mean=(0.5, 0.5, 0.5), std=(0.3, 0.3, 0.3),
    width=16, heads=2, feedforward=16, embedding=8, groups=3,
)  # fmt: skip


def write_weights(path: Path) -> None:
    """An untrained model, as a training writes it."""
    torch.manual_seed(0)
    network = Network(MODEL, len(CLASSES), start=False)
    preprocessing = {"side": MODEL.side, "mean": list(MODEL.mean), "std": list(MODEL.std)}
    head = {
        "stage": "train", "classes": CLASSES, "model": MODEL.model_dump(mode="json"), "thresholds": None,
        "preprocessing": preprocessing,
    }  # fmt: skip
    checkpoint.save(path, {f"ema.network.{name}": value for name, value in network.state_dict().items()}, head)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo and weights, and no project."""
    folder = tmp_path_factory.mktemp("core")
    write_weights(folder / "weights.safetensors")
    Image.linear_gradient("L").convert("RGB").save(folder / "photo.jpg")
    return folder


def core_only(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command where nothing can be imported but the core."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    program = REPOSITORY / "tests/install/core_only.py"
    return subprocess.run(
        [sys.executable, str(program), *arguments], cwd=folder, env=environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


METHOD = """
import sys
import numpy as np, torch, sadcl
from sadcl.model import dual_contrast, memory
from sadcl.training import fit
print(round(sadcl.evaluate(np.array([[0.9, 0.2], [0.1, 0.8]]), np.eye(2, dtype=bool))["mAP"]))
print(float(sadcl.losses.asymmetric(torch.full((1, 3), 20.0), torch.ones(1, 3), 4.0)) < 1e-4)
sys.argv = ["sadcl", "predict", "photo.jpg", "--model", "weights.safetensors", "--threshold", "0", "--json"]
from sadcl.cli import main
main()
"""


def test_core_has_the_method_and_predicts_from_a_weights_file(folder: Path) -> None:
    result = core_only(folder, "-c", METHOD)
    assert result.returncode == 0, result.stderr
    figure, converged, prediction = result.stdout.splitlines()
    assert (figure, converged) == ("100", "True")
    [expected] = sadcl.load(folder / "weights.safetensors").predict([folder / "photo.jpg"], 0.0)
    assert [(entry["label"], entry["probability"]) for entry in json.loads(prediction)["labels"]] == expected


def test_core_needs_no_project_for_doctor(folder: Path) -> None:
    result = core_only(folder, "doctor")
    assert (result.returncode, result.stdout) == (0, "There are no problems.\n"), result.stderr


@pytest.mark.parametrize(
    ("command", "library"),
    [
        ("init", "dvc"),
        ("data add . --name mine", "dvc"),
        ("open prefect", "prefect"),
        ("attention photo.jpg --model weights.safetensors", "matplotlib"),
        ("predict photo.jpg --model models:/mine@champion", "mlflow"),
    ],
)
def test_a_command_without_its_extra_names_it(folder: Path, command: str, library: str) -> None:
    before = sorted(folder.rglob("*"))
    result = core_only(folder, *command.split())
    sentence = f"This command needs {library}, which is not installed. Run `pip install 'sadcl[pipeline]'`."
    assert (result.returncode, result.stderr) == (2, f"sadcl: {sentence}\n")
    assert sorted(folder.rglob("*")) == before


def test_a_stage_without_its_extra_names_it(folder: Path) -> None:
    result = core_only(folder, "-c", "from sadcl.stages.__main__ import main; main('validate')")
    assert result.returncode == 2
    assert "which is not installed. Run `pip install 'sadcl[pipeline]'`." in result.stderr
    assert "Traceback" not in result.stderr


def test_a_flow_without_its_extra_names_it(folder: Path) -> None:
    result = core_only(folder, "-c", "import flows.retrain")
    assert result.returncode == 2
    assert result.stderr == "This command needs prefect, which is not installed. Run `pip install 'sadcl[pipeline]'`.\n"


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("great_expectations.core", "pipeline"),
        ("sklearn", "pipeline"),
        ("flask_wtf", "team"),
        ("onnxruntime", "export"),
        ("dvc_s3", "s3"),
    ],
)
def test_a_module_is_brought_by_the_extra_that_lists_its_distribution(module: str, extra: str) -> None:
    assert f"sadcl[{extra}]" in extras.explain(ModuleNotFoundError(name=module)).fix


def test_a_missing_core_package_points_to_the_environment() -> None:
    assert "environment" in extras.explain(ModuleNotFoundError(name="torch")).fix


def test_a_missing_module_of_the_package_itself_is_a_defect() -> None:
    with pytest.raises(ModuleNotFoundError):
        extras.explain(ModuleNotFoundError(name="sadcl.absent"))


def test_a_library_that_does_not_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cleanlab.py").write_text("raise ImportError('libc is too old', name='cleanlab')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cleanlab", raising=False)
    with pytest.raises(SadclError, match=r"needs cleanlab, which cannot be loaded \(libc is too old\)"):
        extras.load("cleanlab")


METADATA = """Metadata-Version: 2.4
Name: sadcl
Version: 0.1.0
Requires-Dist: absent-core
Requires-Dist: absent-elsewhere; python_version < "3"
Provides-Extra: pipeline
Requires-Dist: numpy<1; extra == "pipeline"
Requires-Dist: absent-pipeline; extra == "pipeline"
Provides-Extra: export
Requires-Dist: absent-export; extra == "export"
"""


@pytest.mark.parametrize("project", [False, True])
def test_doctor_asks_for_the_core_and_in_a_project_for_the_pipeline(
    project: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sadcl-0.1.0.dist-info").mkdir()
    (tmp_path / "sadcl-0.1.0.dist-info/METADATA").write_text(METADATA)
    if project:
        (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    findings = "\n".join(doctor.diagnose())
    assert "absent-core is missing; run `pip install sadcl`." in findings
    assert "but sadcl needs <1; run `pip install 'sadcl[pipeline]'`." in findings
    assert ("absent-pipeline is missing; run `pip install 'sadcl[pipeline]'`." in findings) == project
    assert "absent-e" not in findings


def imports(file: Path) -> set[str]:
    """Top-level modules that a file imports, those for types alone left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"sadcl", "flows"}


def test_every_imported_library_is_declared() -> None:
    users = [extra for extra, _ in extras.requirements() if extra not in ("all", "dev", "docs")]
    declared = {extras.canonical(needed.name) for extra, needed in extras.requirements() if extra in users}
    files = [file for package in ("sadcl", "flows") for file in (REPOSITORY / package).rglob("*.py")]
    imported = {module for file in files for module in imports(file)}
    assert {module for module in imported if extras.distribution_of(module) not in declared} == set()
