"""A project as the stages leave it, with a tiny network, real MLflow (sqlite), real git and DVC."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sadcl import files, layout, params
from sadcl.evaluation import scores
from sadcl.evaluation.gate.verdict import settings_digest
from sadcl.registry import client
from sadcl.registry.promote import promote
from sadcl.registry.publish import publish
from sadcl.weights import loader
from tests.paths import REPOSITORY

Networks = Callable[[int], Path]

CLASSES = ("cat", "dog", "kite")
NAME = "tiny"


class ProjectStates:
    """One project folder for the whole session, and the states that tests begin from.

    A registry notes where its files lie, so a state is not copied elsewhere but restored in place.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a project"
        self.states = folder / "states"

    def save(self, state: str) -> None:
        """Save the project as a state."""
        shutil.copytree(self.root, self.states / state)

    def restore(self, state: str) -> None:
        """Restore a state of the project; the database is written through SQLite, since MLflow keeps it open."""
        folder = self.states / state
        mirror(folder, self.root, keep={".sadcl"})
        mirror(folder / ".sadcl/mlartifacts", self.root / ".sadcl/mlartifacts")
        with (
            closing(sqlite3.connect(folder / layout.MLFLOW_DATABASE)) as source,
            closing(sqlite3.connect(self.root / layout.MLFLOW_DATABASE)) as target,
        ):
            source.backup(target)


def mirror(source: Path, target: Path, keep: Collection[str] = ()) -> None:
    """Make a folder equal to another, and write only what differs in size or time.

    Args:
        source: read; may be missing, and is empty then.
        target: changed.
        keep: names in ``target`` that stay as they are.
    """
    target.mkdir(parents=True, exist_ok=True)
    wanted = {entry.name: entry for entry in os.scandir(source)} if source.is_dir() else {}
    present = {entry.name: entry for entry in os.scandir(target)}
    for name, entry in present.items():
        if name not in keep and (name not in wanted or entry.is_dir() != wanted[name].is_dir()):
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
    for name, entry in wanted.items():
        if name in keep:
            continue
        path = target / name
        if entry.is_dir():
            mirror(Path(entry.path), path)
        elif not path.exists() or stamp(path) != stamp(entry):
            path.unlink(missing_ok=True)
            shutil.copy2(entry.path, path)


def stamp(file: "Path | os.DirEntry[str]") -> tuple[int, int, int]:
    """What changes when a file is written."""
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_mode


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> ProjectStates:
    """A project with git, DVC and an empty registry; created once, since a new registry costs seconds."""
    return create_project_states(tmp_path_factory.mktemp("registry"), _settings())


def create_project_states(
    folder: Path, settings: dict[str, Any], prepare: Callable[[Path], None] = lambda root: None
) -> ProjectStates:
    """Create a project with git, DVC and an empty registry, and its state `empty`.

    Args:
        folder: empty.
        settings: of the project.
        prepare: adds files before the state is saved.
    """
    created = ProjectStates(folder)
    created.root.mkdir()
    for command in (
        ["git", "init", "--quiet"],
        ["git", "config", "user.name", "Ann"],
        ["git", "config", "user.email", "ann@example.org"],
        [sys.executable, "-m", "dvc", "init", "--quiet"],
    ):
        subprocess.run(command, cwd=created.root, check=True, capture_output=True)
    (created.root / "params.yaml").write_text(yaml.safe_dump(settings))
    files.write_json(created.root / "data/champion.json", None)
    prepare(created.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(client.ADDRESS, raising=False)
        client.check_connection(created.root)
    created.save("empty")
    return created


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    """Weights files of a tiny tagger; another seed, another model."""
    import torch

    from sadcl import params
    from sadcl.model.network import Network
    from sadcl.weights import checkpoint

    folder = tmp_path_factory.mktemp("networks")
    settings = params.Model(**_settings()["model"])
    head: dict[str, Any] = {
        "format": 1, "stage": "train", "classes": list(CLASSES), "model": settings.model_dump(mode="json"),
        "preprocessing": {"side": settings.side, "mean": list(settings.mean), "std": list(settings.std)},
        "settings": {}, "epoch": 1, "best": "ema", "select": None, "seen": [], "thresholds": None,
        "inputs": {"train": "a" * 64, "select": "b" * 64}, "device": "cpu", "precision": "32-true",
    }  # fmt: skip

    def make(seed: int) -> Path:
        path = folder / f"{seed}.safetensors"
        if not path.exists():
            torch.manual_seed(seed)
            state = Network(settings, len(CLASSES), start=False).state_dict()
            tensors = {f"{which}.network.{name}": t for which in ("ema", "raw") for name, t in state.items()}
            checkpoint.save(path, {name: tensor.clone() for name, tensor in tensors.items()}, {**head, "seed": seed})
        return path

    return make


@pytest.fixture(scope="session")
def onnx(networks: Networks) -> Networks:
    """ONNX files of the same networks."""
    from sadcl.weights import export

    def make(seed: int) -> Path:
        path = networks(seed).with_suffix(".onnx")
        if not path.exists():
            export.export_onnx(loader.load_tagger(networks(seed)), path)
        return path

    return make


@pytest.fixture(scope="session")
def states(new_project: ProjectStates, networks: Networks) -> ProjectStates:
    """The states `registered` (version 1 challenges) and `promoted` (it is champion, version 2 challenges)."""
    new_project.restore("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(client.ADDRESS, raising=False)
        patch.chdir(new_project.root)
        write_stage_outputs(new_project.root, networks(1), mAP=80)
        publish()
        new_project.save("registered")
        promote(1, "the first", first=True)
        write_stage_outputs(new_project.root, networks(2), mAP=81)
        publish()
        new_project.save("promoted")
    return new_project


@pytest.fixture
def project_states(states: ProjectStates, monkeypatch: pytest.MonkeyPatch) -> ProjectStates:
    """The states, with the project as working directory."""
    monkeypatch.delenv(client.ADDRESS, raising=False)
    monkeypatch.chdir(states.root)
    return states


@pytest.fixture
def project(project_states: ProjectStates) -> Path:
    """A project whose registry is empty."""
    project_states.restore("empty")
    return project_states.root


@pytest.fixture
def registered(project_states: ProjectStates) -> Path:
    """A project whose first model challenges."""
    project_states.restore("registered")
    return project_states.root


@pytest.fixture
def promoted(project_states: ProjectStates) -> Path:
    """A project whose version 1 is champion, and whose version 2 challenges."""
    project_states.restore("promoted")
    return project_states.root


@pytest.fixture
def stages(project_states: ProjectStates, networks: Networks) -> Callable[..., None]:
    """Write files as the stages would: a model, its figures, its verdict."""
    return lambda seed=1, **facts: write_stage_outputs(project_states.root, networks(seed), **facts)


def write_stage_outputs(
    root: Path, weights: Path, verdict: str = "pass", mAP: float = 80.0, served: Path | None = None
) -> None:
    """Write the outputs of the stages for one model, which an ONNX file ``served`` computes if there is one."""
    for folder in ("models/train", "models/served"):
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir(parents=True)
    shutil.copy(weights, root / "models/train/weights.safetensors")
    shutil.copy(served or weights, root / "models/served" / f"weights{(served or weights).suffix}")
    for stage in ("pretrain", "train"):
        rows = "epoch,loss,lr,select_mAP\n1,0.5,0.001,70.5\n2,0.25,0.0005,\n"
        files.write_text(root / f"models/{stage}/history.csv", rows)
    digest = files.digest(served or weights)
    digests = {"weights": digest, "test_list": "1" * 64, "labels": "2" * 64, "shards": "3" * 64}
    digests["train_weights"] = files.digest(weights)
    if served is not None:
        settings = _settings()
        settings["register"]["runtime"] = "onnx"
        (root / "params.yaml").write_text(yaml.safe_dump(settings))
    figures = {"mAP": mAP, "CF1": 70.0, "top3": {"mAP": None, "CF1": 60.0}}
    metrics = {"sadcl": figures, "sarl": {**figures, "mAP": 75.0}, "images": 2, "chosen": "ema", "digests": digests}
    champion = files.read_json(root / "data/champion.json")
    judged = {"model": digest, "test": "1" * 64, "champion": champion and champion["weights"], "rules": []}
    own = params.load("gate", "evaluate", path=root / "params.yaml")
    judged |= {"digests": digests, "settings": settings_digest(own.gate, own.evaluate.threshold)}
    files.write_json(root / "reports/metrics.json", metrics)
    files.write_json(root / "reports/verdict.json", {**judged, "verdict": verdict, "words": f"It is a {verdict}."})
    files.write_json(root / "reports/validation.json", {"passed": True})
    files.write_text(root / "reports/report.html", "<p>report</p>")
    files.write_text(root / "dvc.lock", "schema: '2.0'\n")
    scores.write_scores(root / "reports/scores.parquet", _scores(int(weights.stem)))


def _scores(seed: int) -> scores.Scores:
    shape = (2, len(CLASSES))
    nobody = np.zeros(shape, dtype=bool)
    logits = {"sadcl": np.full(shape, seed, dtype=np.float32)}
    return scores.Scores(["1", "2"], ["c" * 64, "d" * 64], CLASSES, ~nobody, nobody, logits=logits)


def _settings() -> dict[str, Any]:
    """The recipe of the demo, with the smallest network there is."""
    text = (REPOSITORY / "recipes/demo.yaml").read_text(encoding="utf-8")
    settings: dict[str, Any] = json.loads(json.dumps(yaml.safe_load(text)))
    settings["register"]["name"] = NAME
    settings["model"] |= {
        "backbone": "test_efficientnet", "weights": "random", "output_stride": 32, "side": 64, "width": 16, "heads": 2,
        "feedforward": 16, "embedding": 8,
    }  # fmt: skip
    return settings
