"""Sources whose photos a manifest lists: readers find them there, and not on the disk."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sadcl import params
from sadcl.cli import app
from sadcl.data import listed_photos, manifest, sources
from sadcl.data.images.inspect import MISSING, inspect
from sadcl.data.onboarding.detect import detect_source
from sadcl.data.sources.photo_files import list_photos
from sadcl.errors import SadclError

CSV = {"format": "csv", "annotations": {"train": "labels.csv"}, "images": {"train": "."}}


def listed(source: Path, *names: str, place: str = "s3://photos/2024/") -> Path:
    source.mkdir(parents=True, exist_ok=True)
    manifest.write(source / "photos.parquet", place, [(name, 9, f"etag of {name}") for name in sorted(names)])
    return source


def read(source: Path, **settings: object) -> sources.Source:
    return sources.read_source(source, params.Ingest.model_validate({"source": "own", **CSV, **settings}))


@pytest.mark.parametrize(("name", "photo"), [
    ("a/1.jpg", "a/1.jpg"),
    ("A/1.JPEG", "a/1.jpg"),
    ("1.jpg", "a/1.jpg"),
    ("s3://photos/2024/2.jpg", "2.jpg"),
    ("https://photos.s3.amazonaws.com/2024/b/2.jpg?X-Amz-Signature=1", "b/2.jpg"),
    ("s3://elsewhere/2023/4.jpg", "2023/4.jpg"),
])  # fmt: skip
def test_names_in_a_list_are_looked_up_in_the_manifest(name: str, photo: str, tmp_path: Path) -> None:
    source = listed(tmp_path, "a/1.jpg", "2.jpg", "b/2.jpg")
    (source / "labels.csv").write_text(f"file,labels\n{name},cat\n")
    loaded = read(source)
    assert [image.file for image in loaded.images] == [photo]
    assert not loaded.substitutions or not name.startswith("s3://")  # an address is no other name


def test_a_listed_photo_has_its_address_and_another_is_missing(tmp_path: Path) -> None:
    source = listed(tmp_path / "own", "a/1.jpg")
    photo = listed_photos.locate(source, "a/1.jpg")
    assert photo == listed_photos.ListedPhoto("s3://photos/2024/a/1.jpg", 9, "etag of a/1.jpg", "own")
    assert inspect(listed_photos.locate(source, "a/2.jpg")).problem == MISSING
    assert listed_photos.find(tmp_path, "own/a/1.jpg") == photo


def test_folders_of_photos_are_those_of_the_manifest(tmp_path: Path) -> None:
    source = listed(tmp_path, "cats/1.jpg", "cats/old/2.jpg", "catsup/3.jpg")
    assert list_photos(source, "cats/") == ["cats/1.jpg", "cats/old/2.jpg"]
    assert len(list_photos(source, ".")) == 3
    with pytest.raises(SadclError, match="The folder of photos is missing"):
        list_photos(source, "dogs")


def test_a_new_list_is_read(tmp_path: Path) -> None:
    source = listed(tmp_path, "1.jpg")
    assert not listed_photos.is_present(source, "2.jpg")
    listed(source, "1.jpg", "2.jpg")
    assert listed_photos.is_present(source, "2.jpg")


def test_a_table_of_labels_may_have_the_name_of_the_manifest(tmp_path: Path) -> None:
    pq.write_table(pa.table({"file": ["1.jpg"], "labels": ["cat"]}), tmp_path / "photos.parquet")
    (tmp_path / "1.jpg").touch()
    source = read(tmp_path, format="parquet", annotations={"train": "photos.parquet"})
    assert [image.file for image in source.images] == ["1.jpg"]
    assert listed_photos.locate(tmp_path, "1.jpg") == tmp_path / "1.jpg"


@pytest.mark.parametrize("content", [b"", b"PAR1 no such luck PAR1"])
def test_a_damaged_manifest_is_named_with_what_restores_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/photos.parquet").write_bytes(content)
    with pytest.raises(SadclError, match=r"The manifest can't be read.*dvc checkout .*own\.dvc"):
        listed_photos.of_source(tmp_path / "own")


def test_a_manifest_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SadclError, match=r"lists no address of S3.*photos\.parquet"):
        listed_photos.of_source(listed(tmp_path, "1.jpg", place="/home/me/photos"))


@pytest.mark.parametrize("kind", ["csv", "coco", "yolo"])
def test_a_format_is_detected_although_the_photos_are_elsewhere(kind: str, tmp_path: Path) -> None:
    labels, names = tmp_path / "labels", [f"photos/images/{i}.jpg" for i in range(4)]
    labels.mkdir()
    if kind == "csv":
        (labels / "labels.csv").write_text("file,labels\n" + "".join(f"{i}.jpg,cat\n" for i in range(4)))
    elif kind == "coco":
        images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(4)]
        annotations = [{"image_id": i, "category_id": 1} for i in range(4)]
        value = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
        (labels / "all.json").write_text(json.dumps(value))
    else:
        (labels / "data.yaml").write_text("train: photos/images\nnames: [cat]\n")
        (labels / "photos/labels").mkdir(parents=True)
        for i in range(4):
            (labels / f"photos/labels/{i}.txt").write_text("0 0 0 1 1")
    with listed_photos.assumed(labels, listed(tmp_path / "elsewhere", *names) / "photos.parquet"):
        detected = detect_source(labels)
    assert [image.file for image in detected.source.images] == names
    assert {image.labels for image in detected.source.images} == {(0,)}


def test_names_of_folders_on_s3_are_no_labels(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    manifest_file = listed(tmp_path / "elsewhere", "cat/1.jpg", "dog/2.jpg") / "photos.parquet"
    with listed_photos.assumed(labels, manifest_file), pytest.raises(SadclError, match="There is no list of labels"):
        detect_source(labels)


def test_an_address_as_path_is_refused_and_the_option_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["data", "add", "s3://photos/2024", "--name", "own"])
    assert "address of their photos as --photos" in str(result.exception)


def test_photos_elsewhere_must_be_on_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.csv").write_text("file,labels\n1.jpg,cat\n")
    result = CliRunner().invoke(app, ["data", "add", "labels.csv", "--photos", "/mnt/photos", "--name", "own"])
    assert isinstance(result.exception, SadclError)
    assert "Write s3://BUCKET/FOLDER" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]
