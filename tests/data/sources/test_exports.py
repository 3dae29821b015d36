"""Names of listed photos, the folders in which they are, and splits by folder."""

from pathlib import Path

import pytest

from sadcl.data.sources.exports import by_folder, photo_folders, photo_path
from sadcl.data.sources.text import listed_name
from sadcl.errors import SadclError
from tests.data.sources.reading import put

NAMES = {
    "a/1.jpg": "a/1.jpg",
    "../a/1.jpg": "../a/1.jpg",
    "/data/a/1.jpg": "data/a/1.jpg",
    "//server/share/1.jpg": "server/share/1.jpg",
    r"C:\photos\1.jpg": "photos/1.jpg",
    r"a\1.jpg": "a/1.jpg",
    "https://host:80/a%20b/1.jpg?key=x#top": "a b/1.jpg",
    "s3://bucket/a/1.jpg": "a/1.jpg",
    "file:///home/me/1.jpg": "home/me/1.jpg",
    "a?b=1%20.jpg": "a?b=1%20.jpg",
    "c:1.jpg": "c:1.jpg",
    "1:2.jpg": "1:2.jpg",
}


@pytest.mark.parametrize("name", NAMES)
def test_listed_names_lose_what_one_computer_alone_has(name: str) -> None:
    assert listed_name(name) == NAMES[name]


def test_a_photo_is_taken_from_the_folder_of_the_settings_then_next_to_its_export(tmp_path: Path) -> None:
    put(tmp_path, dict.fromkeys(("1.jpg", "2.jpg", "e/1.jpg", "e/x/1.jpg", "e/images/3.jpg", "p/1.jpg"), ""))
    by_settings = photo_folders(tmp_path, tmp_path / "e/x/a.xml", "p")
    without = photo_folders(tmp_path, tmp_path / "e/x/a.xml", "")
    assert photo_path(tmp_path, "1.jpg", by_settings, "") == "p/1.jpg"
    assert photo_path(tmp_path, "1.jpg", without, "") == "e/x/1.jpg"
    assert photo_path(tmp_path, "../1.jpg", without, "") == "e/1.jpg"
    assert photo_path(tmp_path, "2.jpg", without, "") == "2.jpg"
    assert photo_path(tmp_path, "3.jpg", by_settings, "") == "e/images/3.jpg"
    assert photo_path(tmp_path, "4.jpg", by_settings, "") == "p/4.jpg"


@pytest.mark.parametrize("name", ["../../../../1.jpg", "", " ", "a\0.jpg", "..", "https://host/../../../../1.jpg"])
def test_names_that_leave_the_source_or_name_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(SadclError, match=r"leaves the data root|names no file"):
        photo_path(tmp_path, name, photo_folders(tmp_path, tmp_path / "e/a.xml", ""), "a.xml")


def test_splits_by_folder_need_a_split_for_every_photo_and_train_among_them() -> None:
    assert by_folder(["a/train/1.jpg", "a/images/valid/1.jpg"], "a") == ["train", "select"]
    assert by_folder(["train/1.jpg", "2.jpg"], "") == ["", ""]
    assert by_folder(["test/1.jpg"], "") == [""]
    assert by_folder(["train/a/1.jpg", "train/b/1.jpg"], "train") == ["", ""]
