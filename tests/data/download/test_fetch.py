"""Fetching a public data set: it is complete and correct, or absent."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from sadcl import params, pipeline
from sadcl.data.download import datasets
from sadcl.data.download.datasets import DataSet, Original
from sadcl.data.download.fetch import fetch
from sadcl.errors import SadclError
from tests.data.download.flaky_server import BODY, QUICK, UNPACKED, Files, present, toy
from tests.data.download.test_archives import tree, zipped


def test_fetch_unpacks_records_and_tracks_a_data_set(server: Files, project: Path) -> None:
    sentence = fetch(toy(server), project, patience=QUICK)
    assert "tracked" in sentence
    assert tree(project / "data/raw/toy") == UNPACKED
    assert present(project) == ["toy", "toy.dvc", "toy.sources.json"]
    record = json.loads((project / "data/raw/toy.sources.json").read_text())
    (entry,) = record["files"]
    assert entry["from"] == f"{server.url}/photos.zip"
    assert entry["sha256"] == hashlib.sha256(server.files["photos.zip"]).hexdigest()
    assert "its makers" in entry["checked_by"]
    assert not (project / ".sadcl/downloads/toy").exists()  # archives are removed after unpacking


def test_fetch_from_a_folder_leaves_its_files(server: Files, project: Path, tmp_path: Path) -> None:
    fetch(toy(server), project, mirror=str(tmp_path), patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED
    assert (tmp_path / "photos.zip").exists()
    assert server.requests == []
    (entry,) = json.loads((project / "data/raw/toy.sources.json").read_text())["files"]
    assert entry["from"] == str(tmp_path / "photos.zip")  # and not the official address


def test_later_fetches_have_to_agree_with_the_record(server: Files, project: Path) -> None:
    data_set = toy(server, known=False)
    fetch(data_set, project, patience=QUICK)
    for path in ("toy", "toy.dvc"):
        (project / "data/raw" / path).rename(project / path)  # a clone has the record alone
    record = (project / "data/raw/toy.sources.json").read_text()
    server.files["photos.zip"] = server.files["photos.zip"][::-1]
    with pytest.raises(SadclError, match=r"has the wrong checksum.*the record of the first fetch"):
        fetch(data_set, project, patience=QUICK)
    assert present(project)[-1] == "toy.sources.json"
    server.files["photos.zip"] = server.files["photos.zip"][::-1]
    fetch(data_set, project, patience=QUICK)
    assert (project / "data/raw/toy.sources.json").read_text() == record


def test_an_unsafe_archive_leaves_nothing(server: Files, project: Path) -> None:
    server.files["photos.zip"] = zipped(project / "x.zip", {"1.jpg": b"1", "../../evil": b"2"}).read_bytes()
    with pytest.raises(SadclError, match="leaves its folder"):
        fetch(toy(server), project, patience=QUICK)
    assert present(project) == []
    assert not (project / "data/evil").exists()


def test_an_existing_folder_is_left_alone(server: Files, project: Path) -> None:
    (project / "data/raw/toy").mkdir(parents=True)
    (project / "data/raw/toy/mine.jpg").write_bytes(b"mine")
    with pytest.raises(SadclError, match="exists, and was not fetched by this command"):
        fetch(toy(server), project, patience=QUICK)
    assert server.requests == []
    assert tree(project / "data/raw/toy") == {"mine.jpg": b"mine"}


def test_a_second_fetch_only_tracks_again(server: Files, project: Path) -> None:
    fetch(toy(server), project, patience=QUICK)
    (project / "data/raw/toy.dvc").unlink()
    requests = len(server.requests)
    fetch(toy(server), project, patience=QUICK)
    assert len(server.requests) == requests
    assert (project / "data/raw/toy.dvc").exists()


def test_plain_files_are_copied_and_files_without_an_address_come_from_a_folder(
    server: Files, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "list.txt").write_bytes(server.files["list.txt"])
    more = (Original("list.txt", f"{server.url}/list.txt"), Original("index.json"))
    data_set = DataSet("toy", (*toy(server).originals, *more), "The index comes by hand")
    assert fetch(data_set, project, patience=QUICK).endswith("The index comes by hand.")
    assert tree(project / "data/raw/toy") == UNPACKED | {"list.txt": b"train/1.jpg\n"}
    (tmp_path / "index.json").write_bytes(b"{}")
    again = DataSet("again", data_set.originals)
    fetch(again, project, mirror=str(tmp_path), patience=QUICK)
    assert tree(project / "data/raw/again") == UNPACKED | {"list.txt": b"train/1.jpg\n", "index.json": b"{}"}


def closed(server: Files) -> DataSet:
    """A set with an archive that has no address of its own."""
    return DataSet("toy", (*toy(server).originals, Original("test.zip", keep=("*.jpg",))), "The test photos come later")


def test_a_later_archive_extends_the_data_set(server: Files, project: Path, tmp_path: Path) -> None:
    assert fetch(closed(server), project, patience=QUICK).endswith("The test photos come later.")
    (project / "data/raw/toy/own.jpg").write_bytes(b"put there by hand")
    requests, later = len(server.requests), tmp_path / "later"
    later.mkdir()
    zipped(later / "test.zip", {"test/2.jpg": b"2", "train/1.jpg": BODY})
    assert "come later" not in fetch(closed(server), project, mirror=str(later), patience=QUICK)
    whole = UNPACKED | {"test/2.jpg": b"2", "own.jpg": b"put there by hand"}
    assert tree(project / "data/raw/toy") == whole
    record = json.loads((project / "data/raw/toy.sources.json").read_text())
    assert [entry["file"] for entry in record["files"]] == ["photos.zip", "test.zip"]
    assert pipeline.changed_sources(project) == []
    assert "come later" not in fetch(closed(server), project, patience=QUICK)
    assert (len(server.requests), tree(project / "data/raw/toy")) == (requests, whole)


def test_a_later_archive_with_different_files_changes_nothing(server: Files, project: Path, tmp_path: Path) -> None:
    fetch(closed(server), project, patience=QUICK)
    before = {path.name: path.read_bytes() for path in (project / "data/raw").glob("toy.*")}
    (tmp_path / "later").mkdir()
    zipped(tmp_path / "later/test.zip", {"test/2.jpg": b"2", "train/1.jpg": b"another"})
    with pytest.raises(SadclError, match=r"Two different files have the name '1\.jpg'"):
        fetch(closed(server), project, mirror=str(tmp_path / "later"), patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED
    assert {path.name: path.read_bytes() for path in (project / "data/raw").glob("toy.*")} == before


def test_a_mirror_may_have_files_without_an_address(server: Files, project: Path, tmp_path: Path) -> None:
    sentence = fetch(closed(server), project, mirror=server.url, patience=QUICK)
    assert ("/test.zip", "") in server.requests  # answered 404
    assert sentence.endswith("The test photos come later.")
    assert tree(project / "data/raw/toy") == UNPACKED
    server.files["test.zip"] = zipped(tmp_path / "test.zip", {"test/2.jpg": b"2"}).read_bytes()
    fetch(closed(server), project, mirror=server.url.replace("//", "//user:secret@"), patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED | {"test/2.jpg": b"2"}
    record = json.loads((project / "data/raw/toy.sources.json").read_text())
    assert record["files"][1]["from"] == f"{server.url}/test.zip"


@pytest.mark.parametrize("page", [b"<!DOCTYPE html>\n<html>not found</html>", b"\xef\xbb\xbf\n <html></html>"])
@pytest.mark.parametrize("file", ["list.txt", "index.json"])
def test_a_web_page_in_place_of_a_list_is_refused(server: Files, project: Path, file: str, page: bytes) -> None:
    right = {"list.txt": b"train/1.jpg\n", "index.json": b'{"a": 1}'}[file]
    data_set = DataSet("toy", (*toy(server).originals, Original(file, f"{server.url}/{file}")))
    server.files[file] = page
    with pytest.raises(SadclError, match=rf"{file} should be a list.*it was removed"):
        fetch(data_set, project, patience=QUICK)
    assert present(project) == []
    server.files[file] = right
    fetch(data_set, project, patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED | {file: right}


def test_a_new_project_gets_the_settings_of_the_recipe(server: Files, tmp_path: Path) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    pipeline.start(root)
    before = sorted(root.rglob("*"))
    data_set = replace(toy(server), recipe="nuswide-r101-448")
    server.manners = [404]
    with pytest.raises(SadclError, match="answered 404"):
        fetch(data_set, root, patience=QUICK)
    assert sorted(path for path in root.rglob("*") if "toy" not in str(path) and path.suffix == ".yaml") == [
        path for path in before if path.suffix == ".yaml"
    ]
    assert "params.yaml is a copy of the recipe nuswide-r101-448." in fetch(data_set, root, patience=QUICK)
    assert (root / "params.yaml").read_bytes() == params.recipe("nuswide-r101-448").read_bytes()
    assert (root / "data/raw/toy.dvc").exists()


def test_a_graph_that_dvc_cannot_read_is_reported_before_the_download(server: Files, tmp_path: Path) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    pipeline.start(root)
    (root / "params.yaml").write_text("seed: 1\n")
    with pytest.raises(SadclError, match=r"Could not find 'ingest"):
        fetch(toy(server), root, patience=QUICK)
    assert server.requests == []


def test_each_data_set_names_a_recipe_that_reads_it() -> None:
    for data_set in datasets.DATA_SETS:
        assert params.load(path=params.recipe(data_set.recipe)).ingest.source == data_set.name


def test_each_size_and_checksum_of_the_catalogue_names_its_source() -> None:
    for data_set in datasets.DATA_SETS:
        for original in data_set.originals:
            assert bool(original.size or original.checksum) == bool(original.known_from), original.file
            assert original.url.endswith(original.file) or not original.url


def test_an_unknown_data_set() -> None:
    with pytest.raises(SadclError, match=r"no public data set 'coco'.*coco2014, coco2017, voc2007"):
        datasets.find("coco")
