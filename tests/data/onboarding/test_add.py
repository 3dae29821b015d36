"""`sadcl data add`: detected formats, the files of the project afterwards, and refusals that change nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from sadcl import params, pipeline
from sadcl.data import sources
from sadcl.data.onboarding.add import add
from sadcl.data.onboarding.detect import detect_source
from sadcl.errors import SadclError


def photo(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(path, "JPEG")


def photos(root: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        photo(root / name, seed)
    return root


def csv(root: Path, where: str = "labels.csv", folder: str = "photos/") -> Path:
    photos(root, *(f"photos/{i}.jpg" for i in range(10)))
    rows = [f"{folder}{i}.jpg,{'cat;dog' if i % 2 else 'cat'}" for i in range(9)]
    (root / where).write_text("\n".join(["file,labels", *rows, f"{folder}9.jpg,"]))
    return root


def instances(*names: str) -> str:
    value = {
        "images": [{"id": name, "file_name": name} for name in names],
        "annotations": [{"image_id": name, "category_id": 1} for name in names],
        "categories": [{"id": 1, "name": "cat"}],
    }
    return json.dumps(value)


def wide(root: Path) -> Path:
    photos(root, "p/1.jpg", "p/2.jpg")
    (root / "labels.csv").write_text("file,cat,camera\n1.jpg,1,x\n2.jpg,0,y\n")
    return root


def parquet(root: Path) -> Path:
    photos(root, "1.jpg")
    pq.write_table(pa.table({"file": ["1.jpg"], "labels": [["cat"]]}), root / "labels.parquet")
    return root


def jsonl(root: Path) -> Path:
    for split in ("train", "validation"):
        photos(root, f"{split}/{split}.jpg")
        (root / split / "metadata.jsonl").write_text(json.dumps({"file_name": f"{split}.jpg", "labels": ["cat"]}))
    return root


def coco(root: Path) -> Path:
    photos(root, "train2017/1.jpg", "val2017/2.jpg", "annotations/about.jpg")
    for split, name in (("train", "1.jpg"), ("val", "2.jpg")):
        (root / f"annotations/instances_{split}2017.json").write_text(instances(name))
    return root


def yolo(root: Path) -> Path:
    photos(root, "images/1.jpg")
    (root / "labels").mkdir()
    (root / "labels/1.txt").write_text("0 0 0 1 1")
    (root / "data.yaml").write_text("train: images\nnames: [cat]")
    return root


def tasks(root: Path) -> Path:
    photos(root, "photos/1.jpg")
    task = {
        "data": {"image": "/data/upload/1/0a1b2c3d-1.jpg"},
        "annotations": [{"result": [{"value": {"choices": ["cat"]}}]}],
    }
    (root / "export.json").write_text(json.dumps([task]))
    return root


KNOWN: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "csv": (csv, {"format": "csv", "annotations": {"train": "labels.csv"}, "images": {"train": "."}}),
    "csv, photos in a folder": (
        lambda root: csv(root, folder=""),
        {"format": "csv", "annotations": {"train": "labels.csv"}, "images": {"train": "photos"}},
    ),
    "csv, a column a class": (
        wide,
        {"format": "csv", "annotations": {"train": "labels.csv"}, "images": {"train": "p"}, "slices": ["camera"]},
    ),
    "parquet": (parquet, {"format": "parquet", "annotations": {"train": "labels.parquet"}, "images": {"train": "."}}),
    "folder": (
        lambda root: photos(root, "cat/1.jpg"),
        {"format": "folder", "annotations": {}, "images": {"train": "."}},
    ),
    "folder, splits": (
        lambda root: photos(root, "train/cat/1.jpg", "val/cat/2.jpg"),
        {"format": "folder", "annotations": {}, "images": {"train": "train", "test": "val"}},
    ),
    "jsonl": (
        jsonl,
        {
            "format": "jsonl",
            "annotations": {"train": "train/metadata.jsonl", "test": "validation/metadata.jsonl"},
            "images": {"train": "train", "test": "validation"},
        },
    ),
    "coco": (
        coco,
        {
            "format": "coco",
            "annotations": {
                "train": "annotations/instances_train2017.json",
                "test": "annotations/instances_val2017.json",
            },
            "images": {"train": "train2017", "test": "val2017"},
        },
    ),
    "yolo": (yolo, {"format": "yolo", "annotations": {"train": "data.yaml"}, "images": {}}),
    "labelstudio": (
        tasks,
        {"format": "labelstudio", "annotations": {"train": "export.json"}, "images": {"train": "photos"}},
    ),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_formats_are_detected(tmp_path: Path, kind: str) -> None:
    make, expected = KNOWN[kind]
    assert detect_source(make(tmp_path)).ingest == expected


def test_add_makes_an_empty_folder_a_project_with_the_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, project = csv(tmp_path / "source"), tmp_path / "project"
    (source / ".hidden").write_text("")
    project.mkdir()
    monkeypatch.chdir(project)
    before = {path: path.stat() for path in source.rglob("*")}
    output = "\n".join(add(source, "mine"))
    assert "10 photos of 2 classes" in output
    assert "dvc repro" in output
    assert {path: path.stat()[:7] for path in source.rglob("*")} == {path: stat[:7] for path, stat in before.items()}
    assert (Path("data/raw/mine/photos/3.jpg")).read_bytes() == (source / "photos/3.jpg").read_bytes()
    assert not Path("data/raw/mine/.hidden").exists()
    settings = params.load(path="recipes/mine.yaml")
    assert "# the head linear uses nothing of what follows" in Path("recipes/mine.yaml").read_text()
    assert "# the head linear is fitted without epochs" in Path("recipes/mine.yaml").read_text()
    assert params.load() == settings
    assert settings.ingest.annotations == {"train": "labels.csv"}
    assert settings.register_.name == "mine"
    assert settings.validate_.min_positives == {"train": 1, "select": 0, "test": 0}  # of 4 dogs
    assert settings.validate_.max_unlabelled == 0.2
    assert settings.gate.published is None
    assert settings.pretrain.batch < 6
    assert [stage.name for stage in pipeline.stages()][:3] == ["ingest", "validate", "prepare"]
    assert "data/raw/mine" in "".join(pipeline.stale()["ingest"]) or "ingest" in pipeline.stale()
    photo(source / "photos/3.jpg", 99)  # the copy is one
    assert (Path("data/raw/mine/photos/3.jpg")).read_bytes() != (source / "photos/3.jpg").read_bytes()


def test_a_second_source_may_start_from_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    add(csv(tmp_path / "source"), "mine")
    recipe = yaml.safe_load(Path("recipes/mine.yaml").read_text())
    recipe["model"]["side"] = 64
    Path("recipes/other.yaml").write_text(yaml.safe_dump(recipe))
    output = "\n".join(add(photos(tmp_path / "tree", "no/1.jpg", "yes/2.jpg"), "1e3", like="other"))
    assert "sadcl recipe 1e3" in output
    assert params.load().ingest.source == "mine"
    settings = params.load(path="recipes/1e3.yaml")
    assert (settings.model.side, settings.ingest.source, settings.ingest.format) == (64, "1e3", "folder")


def refused(words: str, source: Path, name: str = "mine") -> None:
    before = sorted(map(str, Path().rglob("*")))
    with pytest.raises(SadclError, match=words):
        add(source, name)
    assert sorted(map(str, Path().rglob("*"))) == before


def test_refusals_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, project = csv(tmp_path / "source"), tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    refused("no valid name", source, "../mine")
    refused("no such file or folder", tmp_path / "nowhere")
    refused("has no labels", photos(tmp_path / "flat", "1.jpg"))
    (source / "photos/2.jpg").unlink()
    refused("1 of 10 photos is missing; the first is 'photos/2.jpg'", source)
    refused("1 of 10 photos", source / "labels.csv")
    photo(source / "photos/2.jpg")
    (source / "more.csv").write_bytes((source / "labels.csv").read_bytes())
    refused("more than one file of labels: labels.csv, more.csv", source)
    huge = photos(tmp_path / "huge", "cat/1.jpg")
    os.truncate(huge / "cat/1.jpg", 10**13)  # sparse: it takes no room itself
    refused("too little room for the photos: 10000.1 GB are needed", huge)
    Path("thesis.doc").write_text("")
    refused("no dvc.yaml here, .*thesis.doc", photos(tmp_path / "tree", "cat/1.jpg"))


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    source = photos(tmp_path / "tree", "cat/1.jpg")
    add(source, "mine")
    refused("name is taken", source)
    Path("recipes/other.yaml").write_text("mine")
    refused("name is taken", source, "other")
    assert Path("recipes/other.yaml").read_text() == "mine"


def test_a_failure_of_dvc_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    pipeline.start()
    Path("dvc.yaml").write_text("stages: [")
    with pytest.raises(SadclError):
        add(photos(tmp_path / "tree", "cat/1.jpg"), "mine")
    assert not Path("data/raw/mine").exists()
    assert not Path("recipes/mine.yaml").exists()
    assert not Path("params.yaml").exists()


def test_the_stages_are_those_of_the_installed_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Created a project" in pipeline.start()
    assert subprocess.run(["git", "rev-parse"], check=False).returncode == 0
    assert pipeline.start() == ""
    code = json.loads(Path("sadcl.json").read_text())
    Path("sadcl.json").write_text(json.dumps({**code, "code": {**code["code"], "ingest": "older"}}))
    assert "to the installed sadcl" in pipeline.start()
    assert json.loads(Path("sadcl.json").read_text()) == code
    Path("sadcl.json").write_text(json.dumps({**code, "code": {}}))
    Path("dvc.yaml").write_text(Path("dvc.yaml").read_text() + "# mine\n")
    with pytest.raises(SadclError, match=r"dvc\.yaml was edited"):
        pipeline.start()


def test_a_folder_next_to_split_folders_is_refused(tmp_path: Path) -> None:
    photos(tmp_path, "train/cat/1.jpg", "val/cat/2.jpg", "unsorted/3.jpg")
    (tmp_path / "notes").mkdir()
    with pytest.raises(SadclError, match="train and val are splits, but unsorted is not"):
        detect_source(tmp_path)
    (tmp_path / "unsorted/3.jpg").unlink()
    assert detect_source(tmp_path).ingest["images"] == {"train": "train", "test": "val"}


def test_a_class_with_a_wrong_cell_is_refused(tmp_path: Path) -> None:
    photos(tmp_path, *(f"{i}.jpg" for i in range(5)))
    rows = [f"{i}.jpg,{i % 2},{'often' if i == 3 else 1},outdoors" for i in range(5)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,cat,dog,place", *rows]))
    with pytest.raises(SadclError, match=r"'dog'.*'often'.*line 5"):
        detect_source(tmp_path)


def test_added_and_skipped_files_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, project = photos(tmp_path / "source", "cat/1.jpg", "dog/2.JFIF"), tmp_path / "project"
    photos(tmp_path, "elsewhere/3.jpg")
    (source / "bird").symlink_to("../elsewhere")
    for name in ("cat/film.mov", "horse.psd", "weights.pt"):
        (source / name).write_text("")
    project.mkdir()
    monkeypatch.chdir(project)
    shown: list[str] = []
    assert "3 photos of 3 classes" in "\n".join(add(source, "mine", show=shown.append))
    output = " ".join(" ".join(shown).split())
    assert "Classes 3 bird 1 3.jpg cat 1 1.jpg dog 1 2.JFIF" in output
    assert "Left out 3 files" in output
    assert "'cat/film.mov', 'horse.psd', 'weights.pt'" in output
    copied = sorted(path.name for path in Path("data/raw/mine").rglob("*") if path.is_file())
    assert copied == ["1.jpg", "2.JFIF", "3.jpg"]


def test_an_unprotected_list_can_be_edited_without_changing_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    pipeline.start()
    subprocess.run([sys.executable, "-m", "dvc", "config", "cache.type", "hardlink"], check=True)
    output = "\n".join(add(csv(tmp_path / "source"), "mine"))
    command = "dvc unprotect data/raw/mine/labels.csv"
    assert command in output
    before = Path("data/raw/mine/labels.csv").read_bytes()
    subprocess.run([sys.executable, "-m", *command.split()], check=True)
    with Path("data/raw/mine/labels.csv").open("a") as labels:
        labels.write("\nmore.jpg,cat\n")
    assert before in [path.read_bytes() for path in Path(".dvc/cache").rglob("*") if path.is_file()]


def test_a_failed_copy_leaves_nothing_of_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    add(photos(tmp_path / "tree", "cat/1.jpg"), "first")
    gitignore = Path("data/raw/.gitignore").read_text()
    with (Path("dvc.yaml")).open("a") as stages:
        stages.write("  taken:\n    cmd: make\n    outs: [data/raw/mine]\n")
    with pytest.raises(SadclError):
        add(photos(tmp_path / "tree", "cat/1.jpg"), "mine")
    assert Path("data/raw/.gitignore").read_text() == gitignore
    assert not list(Path("data/raw").glob("mine*"))
    assert not Path("recipes/mine.yaml").exists()


def test_a_file_name_that_is_too_long_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(f"file,labels\n{'x' * 300}.jpg,cat\n")
    with pytest.raises(SadclError, match="1 of 1 photo is missing"):
        detect_source(tmp_path)


def test_the_recipe_reads_what_the_preview_showed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    source = photos(tmp_path / "source", *(f"a/{i}.jpg" for i in range(6)))
    rows = [f"{i}.jpg,/m/0{i % 2},1" for i in range(6)]
    (source / "a/labels.csv").write_text("\n".join(["ImageID,LabelName,Confidence", *rows, "0.jpg,/m/01,1"]))
    (source / "a/class-descriptions.csv").write_text("/m/00,Cup\n/m/01,Plate\n")
    shown: list[str] = []
    assert add(source, "mine", dry_run=True, show=shown.append) == []
    assert not list(project.iterdir())
    assert [line.split() for line in shown[-3:-1]] == [
        ["Plate", "4", "0.jpg,", "1.jpg,", "3.jpg"],
        ["Cup", "3", "0.jpg,", "2.jpg,", "4.jpg"],
    ]
    add(source, "mine")
    read = sources.read_source(project / "data/raw/mine", params.load(path="recipes/mine.yaml").ingest)
    assert read == detect_source(source).source
