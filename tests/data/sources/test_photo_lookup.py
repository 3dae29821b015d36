"""Names in a list that differ from those on the disk: the photo that is used, and where none is."""

import unicodedata
from pathlib import Path

import pytest

from sadcl import params
from sadcl.data import sources
from sadcl.data.sources import photo_lookup
from sadcl.data.sources.photo_lookup import PhotoLookup, describe
from sadcl.data.sources.text import normal_name
from sadcl.errors import SadclError


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


ONE = {
    "NFC for NFD": (nfc("a/café über.jpg"), nfd("a/café über.jpg")),
    "NFD for NFC": (nfd("a/café über.jpg"), nfc("a/café über.jpg")),
    "folder in NFD": (nfc("café/1.jpg"), nfd("café/1.jpg")),
    "Hangul": (nfc("고양이.jpg"), nfd("고양이.jpg")),
    "suffix in upper case": ("DSC1.jpg", "DSC1.JPG"),
    "name in lower case": ("IMG_1.JPG", "img_1.jpg"),
    "folder in another case": ("Photos/1.jpg", "photos/1.jpg"),
    "case beyond ASCII": ("STRASSE.jpg", "straße.jpg"),
    "jpeg": ("a/1.jpg", "a/1.jpeg"),
    "jfif": ("a/1.jpeg", "a/1.JFIF"),
    "converted": ("a/1.jpg", "a/1.png"),
    "HEIC": ("IMG_1.jpg", "IMG_1.HEIC"),
    "no suffix": ("0001eeaf4aed83f9", "0001eeaf4aed83f9.jpg"),
    "no suffix, in a folder": ("0001eeaf4aed83f9", "train/0001eeaf4aed83f9.jpg"),
    "a point but no suffix": ("scan.v2", "scan.v2.jpg"),
    "escaped": ("a/my%20cat%281%29.jpg", "a/my cat(1).jpg"),
    "escaped UTF-8": ("caf%C3%A9.jpg", nfd("café.jpg")),
    "a percent sign that is no escape": ("100%.JPG", "100%.jpg"),
    "Windows": ("photos\\a\\1.jpg", "photos/a/1.jpg"),
    "a drive": ("C:\\Users\\me\\photos\\1.jpg", "photos/1.jpg"),
    "Darknet": ("data/obj_train_data/1.jpg", "photos/1.jpg"),
    "absolute": ("/home/me/photos/1.jpg", "photos/1.jpg"),
    "upwards": ("../../photos/1.jpg", "photos/1.jpg"),
    "URL": ("https://host.example/x/1.jpg", "photos/1.jpg"),
    "URL after normpath": ("photos/https:/host.example/x/1.jpg", "photos/1.jpg"),
    "URL with a query": ("https://host.example/x/my%20cat.jpg?X-Sig=a/b.jpg#c", "photos/my cat.jpg"),
    "query without a scheme": ("x/1.jpg?width=300", "photos/1.jpg"),
    "bucket": ("gs://bucket/1.JPG", "photos/1.jpg"),
    "one folder deeper": ("1.jpg", "a/b/1.jpg"),
    "below the listed folder": ("images/1.jpg", "images/train/1.jpg"),
    "another root": ("export/images/1.jpg", "images/1.jpg"),
}


@pytest.mark.parametrize("case", ONE)
def test_one_photo_fits(case: str, tmp_path: Path) -> None:
    listed, photo = ONE[case]
    put(tmp_path, photo, "other/2.jpg", "other/notes.txt")
    assert PhotoLookup(tmp_path).find(listed) == photo


NONE = {
    "two cases": ("a/1.jpg", ["a/1.JPG", "a/1.Jpg"]),
    "two suffixes": ("a/1.jpg", ["a/1.png", "a/1.webp"]),
    "a photo of two folders": ("1.jpg", ["a/1.jpg", "b/1.jpg"]),
    "a mask in another folder": ("images/1.jpg", ["masks/1.png"]),
    "the other year": ("2023/1.jpg", ["2023/2.jpg", "2024/1.jpg"]),
    "no photo": ("a/1.jpg", ["a/1.txt", "a/2.jpg", "1.jpg/3.jpg"]),
    "junk": ("a/1.jpg", ["a/@eaDir/1.jpg", "__MACOSX/a/._1.jpg", ".trash/1.jpg", "a/.1.jpg"]),
    "part of the name": ("1.jpg", ["a/11.jpg", "a/x1.jpg"]),
    "empty": ("", ["a.jpg"]),
    "odd": ("a\0b.jpg", ["ab.jpg"]),
    "longer than any path": ("a/" * 100_000 + "1.jpg", ["a/1.jpg"]),
}


@pytest.mark.parametrize("case", NONE)
def test_no_photo_fits_or_several(case: str, tmp_path: Path) -> None:
    listed, photos = NONE[case]
    assert PhotoLookup(put(tmp_path, *photos)).find(listed) is None


def test_the_closest_form_and_the_longest_end_decide(tmp_path: Path) -> None:
    put(tmp_path, "a/1.JPG", "a/1.png", "b/1.jpg", "c/train/2.jpg", "d/val/2.jpg", "d/train/x/2.jpg")
    lookup = PhotoLookup(tmp_path)
    assert lookup.find("a/1.jpg") == "a/1.JPG"
    assert lookup.find("old/train/2.jpg") == "c/train/2.jpg"
    assert lookup.find("old/2.jpg") is None
    assert lookup.candidates("old/2.jpg") == ["c/train/2.jpg", "d/train/x/2.jpg", "d/val/2.jpg"]


def test_photos_of_equal_names_belong_to_the_export_in_whose_folder_they_lie(tmp_path: Path) -> None:
    lookup = PhotoLookup(put(tmp_path, "a/job_1/images/1.jpg", "a/job_2/images/1.jpg"))
    assert lookup.find("a/job_2/annotations/1.jpg") == "a/job_2/images/1.jpg"
    assert lookup.find("a/annotations/1.jpg") is None


def test_many_photos_of_one_name_are_ambiguous_and_few_are_reported(tmp_path: Path) -> None:
    put(tmp_path, *(f"scene {n}/frames/0001.jpg" for n in range(40)))
    lookup = PhotoLookup(tmp_path)
    assert lookup.find("0001.jpg") is None
    assert len(lookup.candidates("0001.jpg")) == photo_lookup.SHOWN
    assert lookup.find("D:\\video\\scene 7\\frames\\0001.jpg") == "scene 7/frames/0001.jpg"
    assert lookup.find("scene 7/0001.jpg") == "scene 7/frames/0001.jpg"


def test_links_are_followed_once_and_their_own_path_wins(tmp_path: Path) -> None:
    put(tmp_path, "z/1.jpg")
    (tmp_path / "a").symlink_to("z")
    (tmp_path / "z/up").symlink_to("..")
    assert PhotoLookup(tmp_path).find("x/1.jpg") == "z/1.jpg"


def test_a_link_to_itself_hides_no_photo(tmp_path: Path) -> None:
    put(tmp_path, "a/1.JPG")
    for name in ("a/0.jpg", "z"):
        (tmp_path / name).symlink_to(Path(name).name)
    assert PhotoLookup(tmp_path).find("a/1.jpg") == "a/1.JPG"


def test_a_folder_that_has_too_many_photos_gives_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "1.JPG", "2.JPG")
    monkeypatch.setattr(photo_lookup, "MAX_PHOTOS", 1)
    assert PhotoLookup(tmp_path).find("1.jpg") is None


def read(root: Path, lines: str, kind: str = "csv") -> sources.Source:
    (root / "labels.csv").write_text("file,labels\n" + lines, encoding="utf-8")
    settings = {"source": "own", "format": kind, "annotations": {"train": "labels.csv"}, "images": {"train": "."}}
    return sources.read_source(root, params.Ingest.model_validate(settings))


def test_a_source_has_the_photos_and_says_what_was_substituted(tmp_path: Path) -> None:
    put(tmp_path, "1.JPG", "2.jpg", "deep/3.jpg", "4.png", "5.jpg")
    source = read(tmp_path, "1.jpg,a\n2.jpg,b\nx/3.jpg,a\n4.jpg,a\n5.JPEG,b\n6.jpg,a\n")
    assert [image.file for image in source.images] == ["1.JPG", "2.jpg", "deep/3.jpg", "4.png", "5.jpg", "6.jpg"]
    assert [image.image_id for image in source.images] == [image.file for image in source.images]
    assert [item.reason for item in source.substitutions] == ["letter case", "folder", "extension", "extension"]
    assert describe(source.substitutions) == (
        "4 photos have another name on the disk than in the list: '1.jpg' is '1.JPG' (letter case), "
        "'x/3.jpg' is 'deep/3.jpg' (folder), '4.jpg' is '4.png' (extension), ..."
    )


def test_a_source_whose_photos_are_all_there_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "1.jpg", "2.jpg")
    monkeypatch.setattr(photo_lookup, "walk_photos", lambda root: pytest.fail("the folder was read"))
    assert read(tmp_path, "1.jpg,a\n2.jpg,b\n").substitutions == ()


def test_two_names_of_one_photo_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "1.JPG")
    with pytest.raises(SadclError, match=r"Two images have the same id '1\.JPG'"):
        read(tmp_path, "1.jpg,a\n1.JPG,b\n")


def test_a_photo_that_is_listed_by_its_own_path_replaces_no_other(tmp_path: Path) -> None:
    put(tmp_path, "val/1.jpg")
    source = read(tmp_path, "train/1.jpg,a\nval/1.jpg,b\n")
    assert [image.file for image in source.images] == ["train/1.jpg", "val/1.jpg"]
    assert source.substitutions == ()


def test_ids_of_their_own_stay(tmp_path: Path) -> None:
    put(tmp_path, "1.JPG")
    image = sources.Image("17", "1.jpg", "train", (0,))
    source, _ = photo_lookup.locate(sources.Source(("a",), [image]), tmp_path)
    assert (source.images[0].image_id, source.images[0].file) == ("17", "1.JPG")


def test_normal_names() -> None:
    assert normal_name(nfd("café")) == nfc("café") == normal_name(nfc("café"))
    assert normal_name("cafe") == "cafe"
