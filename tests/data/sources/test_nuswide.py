"""NUS-WIDE: its lists and label files, its CSV form, random splits, and missing photos."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sadcl import params
from sadcl.data import sources
from sadcl.data.ingest import ingest
from sadcl.data.sources import nuswide
from sadcl.errors import SadclError

LISTS = {"train": "ImageList/TrainImagelist.txt", "test": "ImageList/TestImagelist.txt"}
LABELS = {"Train": [("sky", "clouds"), ("zebra",), (), ("airport", "sky")], "Test": [("sky",), (), ("tree",)]}
"""Of four images to train on and three to test on; the third and the sixth have none."""


def settings(**changes: Any) -> params.Ingest:
    defaults = {"source": "nus", "format": "nuswide", "annotations": LISTS, "images": {"train": "Flickr"}}
    return params.Ingest.model_validate({**defaults, **changes})


def names(part: str) -> list[str]:
    return [rf"actor\{i:04d}_{part}.jpg" for i in range(len(LABELS[part]))]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The official tree, with every photo."""
    source = tmp_path / "nus"
    (source / "ImageList").mkdir(parents=True)
    (source / "Groundtruth/TrainTestLabels").mkdir(parents=True)
    (source / "Flickr/actor").mkdir(parents=True)
    for part, rows in LABELS.items():
        (source / f"ImageList/{part}Imagelist.txt").write_text("".join(f"{name} \r\n" for name in names(part)))
        for concept in nuswide.CLASSES:
            flags = "".join(f"{int(concept in row)}\n" for row in rows)
            (source / f"Groundtruth/TrainTestLabels/Labels_{concept}_{part}.txt").write_text(flags)
        for name in names(part):
            Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(source / "Flickr" / name.replace("\\", "/"))
    return tmp_path


def labels(source: sources.Source) -> dict[str, tuple[str, set[str]]]:
    return {image.image_id: (image.split, {source.classes[i] for i in image.labels}) for image in source.images}


def official() -> dict[str, tuple[str, set[str]]]:
    return {
        name.replace("\\", "/"): (part.lower(), set(row))
        for part, rows in LABELS.items()
        for name, row in zip(names(part), rows, strict=True)
    }


def test_the_official_lists(root: Path) -> None:
    source = sources.read_source(root / "nus", settings())
    assert len(source.classes) == 81
    assert source.classes == tuple(sorted(source.classes))
    assert labels(source) == official()
    assert source.images[0].file == "Flickr/actor/0000_Train.jpg"
    assert source.gone == []


def ingested(root: Path, **changes: Any) -> Any:
    return ingest(root, "nus", settings(**{"select_fraction": 0.0, **changes}), 1, root / ".cache", workers=1)


def test_missing_photos_are_reported_and_skipped_but_count_for_the_protocol(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "nus/Flickr/actor/0001_Train.jpg").unlink()
    (root / "nus/Flickr/actor/0002_Train.jpg").unlink()  # without a label, so nobody misses it
    protocol = {"train": {"images": 3}, "test": {"images": 2}}
    table = ingested(root, keep_unlabelled=False, protocol=protocol)
    assert "1 of 5 photos is missing and skipped: Flickr/actor/0001_Train.jpg\n" in capsys.readouterr().out
    assert sorted(table.frame["image_id"]) == [
        f"actor/{name}.jpg" for name in ("0000_Test", "0000_Train", "0002_Test", "0003_Train")
    ]
    assert table.protocol["train"]["images"] == 2
    with pytest.raises(SadclError, match=r"expected 3 .* but the source has 4 "):
        ingested(root, protocol=protocol)


def test_no_existing_photo_is_an_error(root: Path) -> None:
    with pytest.raises(SadclError, match=r"None of the 7 photos exists.*ingest\.images"):
        sources.read_source(root / "nus", settings(images={"train": "elsewhere"}))


def drawn(root: Path, **changes: Any) -> dict[str, str]:
    source = sources.read_source(root / "nus", settings(keep_unlabelled=False, random_test=2, **changes))
    return {image.image_id: image.split for image in [*source.images, *source.gone]}


def test_random_splits_depend_on_lists_and_seed_only(root: Path) -> None:
    splits = drawn(root)
    assert sorted(splits.values()) == ["test", "test", "train", "train", "train"]
    assert "actor/0002_Train.jpg" not in splits  # no label
    (root / "nus/Flickr/actor/0000_Train.jpg").unlink()
    assert drawn(root) == splits
    assert any(drawn(root, random_seed=seed) != splits for seed in range(1, 5))
    with pytest.raises(SadclError, match="leave none of 7"):
        sources.read_source(root / "nus", settings(random_test=7))


def write_csv(root: Path, rows: list[tuple[str, ...]]) -> params.Ingest:
    with open(root / "nus/nus_wid_data.csv", "w", newline="") as file:
        csv.writer(file).writerows([("filepath", "label", "split_name"), *rows])
    return settings(annotations={"train": "nus_wid_data.csv"}, images={"train": "Flickr/actor"})


def test_the_csv_form(root: Path) -> None:
    rows = [
        ("0000_Train.jpg", "['clouds', 'sky']", "train"),
        ("0001_Train.jpg", "['zebra']", "val"),
        ("0002_Train.jpg", "[]", "val"),
    ]
    assert labels(sources.read_source(root / "nus", write_csv(root, rows))) == {
        "0000_Train.jpg": ("train", {"clouds", "sky"}),
        "0001_Train.jpg": ("test", {"zebra"}),
        "0002_Train.jpg": ("test", set()),
    }


BAD_ROWS = {
    "unknown concept": (("0000_Train.jpg", "['unicorn']", "train"), "'unicorn' is not one of the 81.*line 2"),
    "no list": (("0000_Train.jpg", "sky", "train"), "not a list of concepts"),
    "unknown split": (("0000_Train.jpg", "['sky']", "dev"), "not file, labels"),
    "too short": (("0000_Train.jpg", "['sky']"), "not file, labels"),
    "no file": (("", "['sky']", "train"), "names no file"),
    "leaves": (("../../../x.jpg", "['sky']", "train"), "leaves the data root"),
    "a field without end": (("x" * 1_000_000, "['sky']", "train"), "not CSV"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_rows_are_refused_with_their_line(root: Path, name: str) -> None:
    row, words = BAD_ROWS[name]
    with pytest.raises(SadclError, match=words) as caught:
        sources.read_source(root / "nus", write_csv(root, [row]))
    assert len(str(caught.value)) < 600


def test_lists_and_labels_must_belong_together(root: Path) -> None:
    path = root / "nus/Groundtruth/TrainTestLabels/Labels_sky_Train.txt"
    whole = path.read_text()
    for content, words in (
        (whole + "1\n", "5 labels, and the list of images 4 lines"),
        (whole.replace("1", "2"), "'2', which is not 0 or 1"),
        (whole.replace("1", "yes"), "'yes', which is not 0 or 1"),
    ):
        path.write_text(content)
        with pytest.raises(SadclError, match=rf"{words}.*Labels_sky_Train"):
            sources.read_source(root / "nus", settings())
    path.write_bytes(b"\xff\n")
    with pytest.raises(SadclError, match="UTF-8"):
        sources.read_source(root / "nus", settings())
    path.unlink()
    with pytest.raises(SadclError, match="missing"):
        sources.read_source(root / "nus", settings())


def test_lists_that_are_no_lists_of_nus_wide(root: Path) -> None:
    for annotations, words in (
        ({**LISTS, "train": "ImageList/Imagelist.txt"}, "not one of NUS-WIDE's two lists"),
        ({"train": LISTS["train"]}, "one for test, or one CSV"),
        ({**LISTS, "train": LISTS["test"]}, "in train and in test"),
    ):
        with pytest.raises(SadclError, match=words):
            sources.read_source(root / "nus", settings(annotations=annotations))
