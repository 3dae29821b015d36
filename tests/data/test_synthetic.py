"""The synthetic data set agrees with its description."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask

from sadcl import params
from sadcl.data import sources, synthetic
from tests.paths import REPOSITORY

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # inside pycocotools.mask.decode
SIZES = {"train": 60, "select": 12, "test": 25}


@pytest.fixture(scope="module")
def scenes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "scenes"
    synthetic.generate(folder, 5, SIZES)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def instances(folder: Path, split: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / f"annotations/instances_{split}.json").read_text())
    return value


def label_sets(count: int) -> np.ndarray:
    matrix = np.zeros((count, len(synthetic.NAMES)), dtype=bool)
    for row, rng in zip(matrix, (np.random.default_rng([3, i]) for i in range(count)), strict=True):
        row[synthetic._labels(rng)] = True
    return matrix


def test_same_seed_same_bytes_and_another_seed_others(scenes_folder: Path, tmp_path: Path) -> None:
    synthetic.generate(tmp_path / "again", 5, SIZES)
    assert digests(tmp_path / "again") == digests(scenes_folder)
    synthetic.generate(tmp_path / "other", 6, {"train": 3})
    another = digests(tmp_path / "other")
    assert all(digests(scenes_folder)[name] != digest for name, digest in another.items())


def test_a_smaller_set_is_the_start_of_a_larger_one(scenes_folder: Path, tmp_path: Path) -> None:
    synthetic.generate(tmp_path / "few", 5, {"train": 4})
    photos = {name: digest for name, digest in digests(tmp_path / "few").items() if name.endswith(".jpg")}
    assert len(photos) == 4
    assert photos.items() <= digests(scenes_folder).items()


def test_processes_make_the_same_scenes(scenes_folder: Path, tmp_path: Path) -> None:
    synthetic.generate(tmp_path / "many", 5, {"test": 520})
    many = digests(tmp_path / "many")
    assert len(many) == 521
    for name, digest in digests(scenes_folder).items():
        if name.startswith("images/test"):
            assert many[name] == digest


def test_it_is_read_back_like_any_coco_set(scenes_folder: Path) -> None:
    recipe = params.load("ingest", path=REPOSITORY / "recipes/demo.yaml")
    source = sources.read_source(scenes_folder, recipe.ingest)
    assert source.classes == synthetic.NAMES
    assert {split: sum(image.split == split for image in source.images) for split in SIZES} == SIZES
    assert all(image.labels and (scenes_folder / image.file).is_file() for image in source.images)


def test_boxes_areas_and_masks_agree(scenes_folder: Path) -> None:
    value = instances(scenes_folder, "train")
    ids = [annotation["id"] for split in SIZES for annotation in instances(scenes_folder, split)["annotations"]]
    assert len(ids) == len(set(ids))
    by_image: dict[int, int] = {}
    for annotation in value["annotations"]:
        code = annotation["segmentation"]
        assert mask.decode(code).shape == (synthetic.SIDE, synthetic.SIDE)
        assert float(mask.area(code)) == annotation["area"] > 0
        assert mask.toBbox(code).tolist() == annotation["bbox"]
        assert annotation["iscrowd"] == 0
        assert 8 <= max(annotation["bbox"][2:]) <= 50
        by_image[annotation["image_id"]] = by_image.get(annotation["image_id"], 0) + 1
    assert set(by_image) == {image["id"] for image in value["images"]}
    assert set(by_image.values()) <= {1, 2, 3, 4, 5}


def test_digits_stand_off_their_ground(scenes_folder: Path) -> None:
    """Compares ink with the margin around its box in the photo, where no other digit is."""
    value, contrasts = instances(scenes_folder, "train"), []
    inks: dict[int, list[np.ndarray]] = {}
    for annotation in value["annotations"]:
        inks.setdefault(annotation["image_id"], []).append(mask.decode(annotation["segmentation"]).astype(bool))
    for image in value["images"]:
        light = np.asarray(Image.open(scenes_folder / "images/train" / image["file_name"])) / 255 @ synthetic.LUMINANCE
        ground = ~np.any(inks[image["id"]], axis=0)
        for ink in inks[image["id"]]:
            rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
            near = np.zeros_like(ground)
            near[max(rows[0] - 3, 0) : rows[-1] + 4, max(columns[0] - 3, 0) : columns[-1] + 4] = True
            contrasts.append(abs(np.median(light[ink]) - np.median(light[near & ground])))
    assert np.quantile(contrasts, 0.1) >= synthetic.CONTRAST
    assert min(contrasts) > 0.2


def test_no_drawing_is_in_two_splits() -> None:
    labels = np.repeat(np.arange(10), 40)
    indexes = synthetic.split_drawings(labels, 7)
    everything = np.concatenate([part for parts in indexes.values() for part in parts])
    assert sorted(everything.tolist()) == list(range(400))
    for split, share in synthetic.SHARES.items():
        assert [len(part) for part in indexes[split]] == [round(40 * share)] * 10
        assert all((labels[part] == label).all() for label, part in enumerate(indexes[split]))


def test_labels_follow_the_table() -> None:
    matrix = label_sets(4000)
    shares = matrix.mean(axis=0)
    assert 2.5 < matrix.sum(axis=1).mean() < 2.8
    assert 0.02 < shares[9] < 0.04
    assert shares.min() == shares[9]
    assert shares.max() > 0.35
    for i, j in synthetic.APART:
        assert not (matrix[:, i] & matrix[:, j]).any()
    for i, j in synthetic.TOGETHER:
        assert (matrix[:, i] & matrix[:, j]).mean() > 1.25 * shares[i] * shares[j]


def test_digits_cover_each_other_only_so_far() -> None:
    drawings = synthetic._drawings(1)["train"]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        digits = synthetic._place(rng, [(label, drawings[label]) for label in (0, 3, 5, 8, 2)])
        visible = synthetic._visible(digits)
        for digit, ink in zip(digits, visible, strict=True):
            assert ink.sum() >= (1 - synthetic.OVERLAP) * (digit.alpha > 0.5).sum()
            assert digit.left >= 0
            assert digit.top >= 0
            assert digit.left + digit.alpha.shape[1] <= synthetic.SIDE
            assert digit.top + digit.alpha.shape[0] <= synthetic.SIDE
            assert synthetic.SIZE[0] * 0.8 <= max(digit.alpha.shape) <= synthetic.SIZE[1] * 1.3


def test_an_interruption_leaves_the_old_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic.generate(tmp_path / "s", 1, {"train": 2})
    before = digests(tmp_path / "s")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "_instances", fail)
    with pytest.raises(KeyboardInterrupt):
        synthetic.generate(tmp_path / "s", 2, {"train": 2})
    assert digests(tmp_path / "s") == before
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
