"""VOC devkits: written from the labels of VOC 2007, read under each policy for difficult objects, and damaged."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sadcl import params
from sadcl.data import sources
from sadcl.data.splits import protocols
from sadcl.data.table import targets
from sadcl.errors import SadclError
from tests.paths import REPOSITORY

YEAR = "VOCdevkit/VOC2007"
LISTS = {split: f"{YEAR}/ImageSets/Main/{name}.txt" for split, name in (("train", "trainval"), ("test", "test"))}


def settings(**changes: Any) -> params.Ingest:
    defaults = {"source": "voc", "format": "voc", "annotations": LISTS, "images": {"train": f"{YEAR}/JPEGImages"}}
    return params.Ingest.model_validate({**defaults, **changes})


def devkit(root: Path, images: dict[str, list[tuple[str, int | None]]], **lists: list[str]) -> None:
    """Write a devkit: of each image the objects, with their marks of difficulty (None leaves the mark out)."""
    year = root / YEAR
    (year / "ImageSets/Main").mkdir(parents=True)
    (year / "Annotations").mkdir()
    for name, ids in lists.items():
        (year / f"ImageSets/Main/{name}.txt").write_text("".join(f"{image}\n" for image in ids))
    for image, objects in images.items():
        (year / f"Annotations/{image}.xml").write_text(xml(objects))


def xml(objects: list[tuple[str, int | None]]) -> str:
    items = "".join(
        f"<object><name>{name}</name><part><name>head</name></part>"
        + ("" if mark is None else f"<difficult>{mark}</difficult>")
        + "<bndbox><xmin>1</xmin></bndbox></object>"
        for name, mark in objects
    )
    return f"<annotation>\n\t<folder>VOC2007</folder>{items}</annotation>\n"


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return dict(np.load(REPOSITORY / "tests/golden/voc07_labels.npz"))


@pytest.fixture(scope="module")
def whole(golden: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 9,963 images; a class that is present has an object that is not difficult, and often a difficult one."""
    root, names = tmp_path_factory.mktemp("voc"), golden["class_names"].tolist()
    images: dict[str, list[tuple[str, int | None]]] = {}
    for part in ("trainval", "test"):
        for number, row in zip(golden[f"{part}_ids"].tolist(), golden[f"{part}_labels"], strict=True):
            hard = [(names[c], 1) for c in np.flatnonzero((row == 0) | ((row == 1) & (number % 2 == 0)))]
            easy = [(names[c], 0 if number % 3 else None) for c in np.flatnonzero(row == 1)]
            images[f"{number:06d}"] = [*hard, *easy, *easy[:1]]
    lists = {part: [f"{i:06d}" for i in golden[f"{part}_ids"]] for part in ("trainval", "test")}
    devkit(root, images, **lists)
    return root


@pytest.mark.parametrize("policy", ["negative", "ignore", "positive"])
def test_voc_2007_under_each_policy_for_difficult_objects(whole: Path, golden: dict[str, Any], policy: str) -> None:
    source = sources.read_source(whole, settings(difficult=policy))
    assert list(source.classes) == golden["class_names"].tolist()
    for split, part in (("train", "trainval"), ("test", "test")):
        images = [image for image in source.images if image.split == split]
        labels = golden[f"{part}_labels"]
        assert [image.image_id for image in images] == [f"{i:06d}" for i in golden[f"{part}_ids"]]
        assert images[0].file == f"{YEAR}/JPEGImages/{images[0].image_id}.jpg"
        expected = labels == 1 if policy != "positive" else labels >= 0
        assert np.array_equal(targets((image.labels for image in images), 20), expected)
        ignored = labels == 0 if policy == "ignore" else np.zeros_like(expected)
        assert np.array_equal(targets((image.ignored for image in images), 20), ignored)


def test_the_recipe_s_protocol_is_voc_2007(whole: Path, golden: dict[str, Any]) -> None:
    recipe = params.load(path=REPOSITORY / "recipes/voc2007-r101-448.yaml").ingest
    source = sources.read_source(whole, recipe)
    ids = {split: [image.image_id for image in source.images if image.split == split] for split in ("train", "test")}
    protocols.check(ids, recipe.protocol)
    ids["train"] = [f"{i:06d}" for i in golden["train_ids"]]
    with pytest.raises(SadclError, match=r"2,501 \(the train images of 'VOC 2007 \(train and val apart\)'\)"):
        protocols.check(ids, recipe.protocol)


def small(root: Path, content: str | bytes | None = None, name: str = "000001", lists: str = "") -> sources.Source:
    devkit(root, {"000001": [("dog", 0)], "000002": [("cat", 1)]}, trainval=["000001"], test=["000002"])
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        (root / YEAR / f"Annotations/{name}.xml").write_bytes(data)
    if lists:
        (root / LISTS["train"]).write_text(lists)
    return sources.read_source(root, settings())


def test_photos_lie_next_to_their_lists_by_default(tmp_path: Path) -> None:
    small(tmp_path)
    assert sources.read_source(tmp_path, settings(images={})).images[1].file == f"{YEAR}/JPEGImages/000002.jpg"


BILLION = "<!DOCTYPE a [<!ENTITY a 'dog'>" + "".join(
    f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
BAD_XML = {
    "empty": ("", "not XML"),
    "truncated": (xml([("dog", 0)])[:-20], "not XML"),
    "another document": ("<html></html>", "'html'"),
    "unknown class": (xml([("unicorn", 0)]), "'unicorn' is not one of VOC's twenty"),
    "no class": ("<annotation><object/></annotation>", "'' is not one"),
    "half difficult": ("<annotation><object><name>dog</name><difficult>x</difficult></object></annotation>", "'x'"),
    "a billion laughs": (f"{BILLION}]><annotation><object><name>&i;</name></object></annotation>", "document type"),
    "a file of elsewhere": ("<!DOCTYPE a [<!ENTITY a SYSTEM '/etc/passwd'>]><a>&a;</a>", "document type"),
    "an unknown entity": ("<annotation>&nbsp;</annotation>", "not XML"),
    "half a character": ("<annotation>&#xD800;</annotation>", "not XML"),
    "a document type in UTF-16": ("<!DOCTYPE a [<!ENTITY a 'dog'>]><annotation/>".encode("utf-16"), "UTF-8"),
    "bytes": (b"\xff\xfe\x00", "UTF-8"),
    "nested 10,000 deep and open": ("<annotation>" + "<object>" * 10_000, "not XML"),
    "a very long class": (xml([("d" * 1_000_000, 0)]), "is not one of VOC's"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_XML)
def test_bad_xml_is_refused_with_its_file(tmp_path: Path, name: str) -> None:
    content, words = BAD_XML[name]
    with pytest.raises(SadclError, match=words) as caught:
        small(tmp_path, content)
    assert "000001.xml" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_deep_xml_that_is_whole_is_read(tmp_path: Path) -> None:
    deep = "<annotation>" + "<x>" * 10_000 + "</x>" * 10_000 + "<object><name> dog </name></object></annotation>"
    assert small(tmp_path, deep).images[0].labels == (11,)


BAD_LISTS = {
    "a class's list": ("000001  1\n", "aeroplane_trainval.txt"),
    "leaves": ("../../../../etc/passwd\n", "leaves the data root"),
    "an image twice": ("000001\n000001\n", "same id '000001', both in train"),
    "an image of test": ("000001\n000002\n", "same id '000002', in train and in test"),
    "no such image": ("000003\n", "missing.*000003.xml"),
    "a name beyond disks": ("9" * 300 + "\n", "can't be read"),
    "NUL": ("a\0b\n", "leaves the data root"),
}


@pytest.mark.parametrize("name", BAD_LISTS)
def test_bad_lists_are_refused(tmp_path: Path, name: str) -> None:
    lists, words = BAD_LISTS[name]
    with pytest.raises(SadclError, match=words):
        small(tmp_path, lists=lists)


def test_lists_elsewhere_or_absent_are_refused(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / "train.txt").write_text("000001\n")
    for names, words in (
        ({**LISTS, "train": "train.txt"}, "ImageSets/Main"),
        ({**LISTS, "train": f"{YEAR}/ImageSets/Main/none.txt"}, "missing"),
        ({**LISTS, "train": f"{YEAR}/ImageSets/Main"}, "ImageSets/Main"),
        ({"train": LISTS["train"]}, "one for test"),
    ):
        with pytest.raises(SadclError, match=words):
            sources.read_source(tmp_path, settings(annotations=names))
