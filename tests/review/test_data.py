"""The part of a version's page about its data: photos added, removed, relabelled, look-alikes, validation."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sadcl import SadclError, files, layout
from sadcl.data.photo_list import read_photo_list
from sadcl.data.table import METADATA_KEY, LookAlike
from sadcl.evaluation import scores
from sadcl.review import compare_worker, data_changes
from tests.report import conftest as report
from tests.review.conftest import TRAIN, TRAIN_3, Browser, text, write_photo_table

CLASSES = ("cat", "<b>dog</b>", "kite")


def truth(root: Path) -> scores.Scores:
    """Two test photos."""
    photos = [report.picture(root / f"raw/{i}.jpg", i) for i in range(2)]
    targets = np.array([[True, False, False], [False, True, False]])
    digests = [files.digest(photo) for photo in photos]
    return scores.Scores(["photo 0", "photo 1"], digests, CLASSES, targets, np.zeros_like(targets))


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Path]:
    """Tables of a version, of the champion and of the project, which knows the champion's labels."""
    labels = truth(tmp_path)
    pairs = [LookAlike("photo 0", "train 1", "mirrored", 0.98)]
    for name, train in (("version", TRAIN_3), ("champion", TRAIN), ("project", TRAIN)):
        write_photo_table(tmp_path / f"{name}.parquet", tmp_path, train, labels, pairs)
    return {name: tmp_path / f"{name}.parquet" for name in ("version", "champion", "project")}


def test_page_shows_photos_that_were_added_removed_and_relabelled(rita: Browser) -> None:
    page = rita.get("/versions/3").text
    shown = text(page)
    assert "train 4 4 1 1" in shown
    assert "Since the champion: 1 relabelled, 0 moved to another split." in shown
    assert "Added: 1 train 4.jpg kite" in shown
    assert "Removed: 1" in shown
    assert "train 2.jpg" in shown
    assert "Relabelled: 1 train 0.jpg cat → cat, kite" in shown
    assert "This project has all of these photos with the same labels." in shown
    picture = rita.get("/versions/3/data/relabelled/0.jpg")
    assert picture.status_code == 200, text(picture.text)
    assert Image.open(io.BytesIO(picture.content)).size == (80, 60)
    for missing in ("relabelled/1", "removed/0", "nonsense/0"):
        assert rita.get(f"/versions/3/data/{missing}.jpg").status_code == 404


def test_photo_of_other_bytes_is_not_shown(rita: Browser, promoted: Path) -> None:
    rita.get("/versions/3")
    (promoted / "raw/train 4.jpg").write_bytes((promoted / "raw/train 1.jpg").read_bytes())
    shutil.rmtree(promoted / layout.REVIEW_CACHE / "pictures", ignore_errors=True)
    assert rita.get("/versions/3/data/added/0.jpg").status_code != 200


def test_version_whose_photos_the_project_does_not_have(tables: dict[str, Path]) -> None:
    value = data_changes.compare(tables["version"], tables["champion"], tables["project"])
    assert value["counts"] == {
        "added": 1, "removed": 1, "relabelled": 1, "moved": 0, "test_here": 0, "unknown": 1, "other_labels": 1,
    }  # fmt: skip
    [unknown] = value["examples"]["unknown"]
    assert (unknown["file"], unknown["path"]) == ("train 4.jpg", "")
    [other] = value["examples"]["other_labels"]
    assert (other["labels"], other["labels_before"]) == (["cat", "kite"], ["cat"])


def test_a_test_photo_of_the_project_that_the_version_trained_on_is_named(tables: dict[str, Path]) -> None:
    stored = pq.read_table(tables["version"])
    splits = stored["split"].to_pylist()
    rewritten(tables["version"], split=pa.array(["train", *splits[1:]]))
    value = data_changes.compare(tables["version"], None, tables["project"])
    assert [photo["file"] for photo in value["examples"]["test_here"]] == ["0.jpg"]


def test_look_alikes_come_from_the_project_where_it_has_the_photos(tables: dict[str, Path]) -> None:
    value = data_changes.compare(tables["champion"], None, tables["project"])
    [pair] = value["look_alikes"]
    assert (pair["test"]["file"], pair["other"]["file"], pair["transform"], pair["here"]) == (
        "0.jpg", "train 1.jpg", "mirrored", True,
    )  # fmt: skip
    assert value["counts"]["unknown"] == value["counts"]["other_labels"] == 0
    alone = data_changes.compare(tables["version"], None, None)
    assert [pair["here"] for pair in alone["look_alikes"]] == [False]


def test_many_photos_are_compared_in_a_child_with_an_equal_result(
    tables: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = (tables["version"], tables["champion"], tables["project"])
    direct = data_changes.compare(*paths)
    monkeypatch.setattr(compare_worker, "MAX_IMMEDIATE", 1)
    assert compare_worker.compare_tables(*paths) == json.loads(json.dumps(direct))


def test_version_without_a_table_says_so(rita: Browser, promoted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sadcl.registry import artifacts

    monkeypatch.setattr(artifacts, "PHOTOS", "evidence/none.parquet")
    assert "This version was registered without its table of photos." in text(rita.get("/versions/3").text)


def rewritten(path: Path, **columns: Any) -> Path:
    """The table with other columns."""
    stored = pq.read_table(path)
    for name, values in columns.items():
        stored = stored.set_column(stored.column_names.index(name), name, values)
    pq.write_table(stored, path)
    return path


def test_damaged_and_hostile_tables_are_refused_with_a_reason(tables: dict[str, Path]) -> None:
    rows = pq.read_metadata(tables["version"]).num_rows
    long = pa.array(["x" * 30_000_000] * rows)  # a small file: the text stands there once
    with pytest.raises(SadclError, match="texts of column 'file' would take more than"):
        read_photo_list(rewritten(tables["version"], file=long))
    with pytest.raises(SadclError, match="a label has no class"):
        read_photo_list(rewritten(tables["champion"], labels=pa.array([[-1]] * rows, pa.list_(pa.int32()))))
    about = json.loads(pq.read_schema(tables["project"]).metadata[METADATA_KEY])
    about["look_alikes"][0][3] = float("nan")
    odd = pq.read_table(tables["project"]).replace_schema_metadata({METADATA_KEY: json.dumps(about).encode()})
    pq.write_table(odd, tables["project"])
    with pytest.raises(SadclError, match="a similarity is not from 0 to 1"):
        read_photo_list(tables["project"])
    with pytest.raises(SadclError, match="a split is unknown"):
        read_photo_list(rewritten(tables["project"], split=pa.array(["nowhere"] * rows)))
    about = pq.read_table(tables["version"]).select(["sha256"]).replace_schema_metadata({METADATA_KEY: b"[["})
    pq.write_table(about, tables["version"])
    with pytest.raises(SadclError, match="The table of photos is damaged"):
        read_photo_list(tables["version"])


def test_validation_shows_rules_that_fail_and_those_with_exceptions(rita: Browser) -> None:
    shown = text(rita.get("/versions/3").text)
    assert (
        "Most photos have a label; 2 do not. Photos are sharp, but 1 breaks this rule. "
        "1 of 3 rules hold without exception" in shown
    )
    assert "Photos can be read." not in shown
