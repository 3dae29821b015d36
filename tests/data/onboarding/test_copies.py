"""Copies of `sadcl data add`: their room on the disk, links in a source, and files that change meanwhile."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sadcl import params, pipeline
from sadcl.data import sources
from sadcl.data.onboarding.add import SPARE, add
from sadcl.data.onboarding.detect import detect_source
from sadcl.errors import SadclError
from tests.data.onboarding.folders import photos


def linked_yolo(root: Path) -> Path:
    """A YOLO set whose labels of val are a link to another folder, with a link to the set itself in it."""
    photos(root, [f"set/images/{split}/{i}.jpg" for split in ("train", "val") for i in range(4)])
    for folder in ("set/labels/train", "elsewhere"):
        (root / folder).mkdir(parents=True)
        for i in range(4):
            (root / folder / f"{i}.txt").write_text(f"{i % 2} 0.5 0.5 1 1\n")
    (root / "set/labels/val").symlink_to("../../elsewhere")
    (root / "elsewhere/again").symlink_to("../set")
    (root / "set/data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat, dog]\n")
    return root / "set"


def test_room_for_the_copy_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, project = photos(tmp_path / "tree", ["cat/1.jpg"]), tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    pipeline.start()
    free = SPARE + (source / "cat/1.jpg").stat().st_size * 3 // 2
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    subprocess.run([sys.executable, "-m", "dvc", "config", "cache.type", "copy"], check=True)
    with pytest.raises(SadclError, match="too little room for the photos and DVC's copy of them"):
        add(source, "mine")
    assert not Path("data/raw/mine").exists()
    subprocess.run([sys.executable, "-m", "dvc", "config", "cache.type", "hardlink"], check=True)
    assert add(source, "mine")


def test_a_label_file_that_is_a_broken_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, project = linked_yolo(tmp_path), tmp_path / "project"
    (source / "labels/train/notes.txt").symlink_to("nowhere.txt")
    project.mkdir()
    monkeypatch.chdir(project)
    with pytest.raises(SadclError, match=r"The file can't be read.*notes\.txt"):
        add(source, "mine")
    assert not list(project.iterdir())


def test_linked_label_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, project = linked_yolo(tmp_path), tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    add(source, "mine")
    read = sources.read_source(project / "data/raw/mine", params.load(path="recipes/mine.yaml").ingest)
    assert read == detect_source(source).source
    assert all(image.labels for image in read.images)


@pytest.mark.parametrize("target", ["../../elsewhere", "../extra"])
def test_linked_annotations_are_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    source, project = photos(tmp_path / "set", [f"JPEGImages/{i}.jpg" for i in range(4)]), tmp_path / "project"
    for folder, numbers in (("Annotations", (0, 1)), (f"Annotations/{target}", (2, 3))):
        (source / folder).mkdir()
        for i in numbers:
            text = f"<annotation><object><name>{'cat' if i % 2 else 'dog'}</name></object></annotation>"
            (source / folder / f"{i}.xml").write_text(text)
    (source / "Annotations/more").symlink_to(target)
    project.mkdir()
    monkeypatch.chdir(project)
    assert "4 photos of 2 classes" in "\n".join(add(source, "mine"))


def test_a_copy_with_other_labels_than_the_preview_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, project = linked_yolo(tmp_path), tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)

    def edit(line: str) -> None:
        (source / "labels/train/2.txt").write_text("1 0.5 0.5 1 1\n")

    with pytest.raises(SadclError, match=r"than the preview; the first is 'images/train/2\.jpg'"):
        add(source, "mine", show=edit)
    assert not list((project / "data/raw").glob("mine*"))
    assert not Path("recipes/mine.yaml").exists()
