"""The page about the data: what a person must find in it, and what must never get into it."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sadcl import SadclError, files, params
from sadcl.data import table
from sadcl.data.images.inspect import inspect
from sadcl.data.splits import leaks
from sadcl.data.table import Table
from sadcl.data.validation import baseline, validator
from sadcl.evaluation import label_errors
from sadcl.report import data_page
from sadcl.stages import data_report

EVIL = "<script>alert('x')</script>"
CLASSES = ("cat", "dog & hound", EVIL, "never seen")
SETTINGS = params.Validate(min_side=8, min_positives={}, max_unlabelled=1.0, max_near_duplicates=0)


class Page(HTMLParser):
    """The words and pictures of a page, section by section."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sections: dict[str, str] = {"": ""}
        self.pictures: dict[str, list[str]] = {"": []}
        self.addresses: list[str] = []
        self._here, self._tag = "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._tag = tag
        attributes = dict(attrs)
        self.addresses += [attributes[name] or "" for name in ("src", "href", "xlink:href") if name in attributes]
        if tag == "img":
            self.pictures[self._here].append(attributes["title"] or "")

    def handle_data(self, data: str) -> None:
        if self._tag == "h2" and data.strip():
            self._here = data
            self.sections[data], self.pictures[data] = "", []
        elif self._tag != "style":
            self.sections[self._here] += data
        if self._tag == "h2":
            self._tag = ""


def project(root: Path, classes: Sequence[str] = CLASSES, many: int = 24) -> Path:
    """Photos of coarse squares under ``root``, their table and what validation says of it."""
    rows: list[dict[str, Any]] = []
    for n in range(many):
        path = root / f"data/raw/pets/photos/{n}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        squares = np.random.default_rng(n).integers(60, 200, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(squares).resize((200, 150), Image.Resampling.NEAREST).save(path)
        rows.append({"image_id": f"i{n}", "file": f"photos/{n}.jpg", "split": ("train", "select", "test")[n % 3],
                     "labels": sorted({n % (len(classes) - 1), n % 2}), "ignored": [], "bytes": 1})  # fmt: skip
    folder = root / "data/raw/pets"
    Image.open(folder / "photos/3.jpg").resize((80, 60)).save(folder / "photos/5.jpg", quality=60)  # train 3, test 5
    Image.open(folder / "photos/4.jpg").transpose(Image.Transpose.ROTATE_270).save(folder / "photos/11.jpg", quality=60)
    Image.new("RGB", (90, 90), (2, 2, 2)).save(folder / "photos/7.jpg")
    Image.new("RGB", (10, 300), (250, 250, 250)).save(folder / "photos/8.jpg")
    (folder / "photos/10.jpg").write_bytes(b"broken")
    facts = [inspect(folder / row["file"]) for row in rows]
    for row, fact in zip(rows, facts, strict=True):
        row.update({name: value for name, value in vars(fact).items() if name in table.SCHEMA})
    pairs = leaks.look_alikes([row["image_id"] for row in rows], [row["split"] for row in rows], facts, 2)
    frame = pd.DataFrame({name: table.column([row[name] for row in rows]) for name in rows[0]})
    data = Table(frame.astype({"problem": object}), tuple(classes), "data/raw/pets", {}, pairs)
    table.write_table(root / "data/table/annotations.parquet", data)
    files.write_json(root / "data/accepted.json", None)
    files.write_json(root / "reports/validation.json", validator.validate(data, SETTINGS, None, root / "docs"))
    return root


def accept(root: Path, **changes: Any) -> Table:
    data = table.read_table(root / "data/table/annotations.parquet")
    files.write_json(root / "data/accepted.json", baseline.compute_baseline(data) | changes)
    return data


def test_page_is_self_contained_and_reproducible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project(tmp_path))
    assert "reports/data.html" in data_report.main()
    text = Path("reports/data.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    outside = [address for address in page.addresses if not address.startswith(("data:image/", "#"))]
    assert outside == []
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    data_report.main()
    assert Path("reports/data.html").read_text(encoding="utf-8") == text


def test_failed_validation_is_shown_with_its_rows(tmp_path: Path) -> None:
    page = Page(data_page.render(project(tmp_path)))
    assert "The data failed validation" in page.sections[""]
    assert "8 train, 8 select, 8 test photos, 1 of them unreadable" in page.sections[""]
    assert "i3 (photos/3.jpg; nearly i5 in test)" in page.sections["Rules"]
    assert "i10 (photos/10.jpg" in page.sections["Rules"]


def test_each_class_has_a_bar_a_photo_and_a_row_in_the_heat_map(tmp_path: Path) -> None:
    page = Page(data_page.render(project(tmp_path)))
    assert all(name in page.sections["Classes"] for name in CLASSES[:2])
    assert "Classes without photos: never seen" in page.sections["Classes"]
    assert "Classes that occur together" in page.sections["Classes"]
    shown = page.pictures["One photo per class"]
    assert len(shown) == len(set(shown)) == 3
    words = page.sections["One photo per class"].split()
    data = table.read_table(tmp_path / "data/table/annotations.parquet").frame.set_index("image_id")["labels"]
    for image_id, label in zip(shown, [name for name in words if name in ("cat", "dog", EVIL.split()[0])], strict=True):
        assert ["cat", "dog", EVIL.split()[0]].index(label) in data[image_id]


def test_outliers_are_shown_without_broken_photos(tmp_path: Path) -> None:
    page = Page(data_page.render(project(tmp_path)))
    dark, bright, soft, small = np.array_split(page.pictures["Outliers"], 4)
    assert (dark[0], bright[0], small[0]) == ("i7", "i8", "i8")
    assert set(soft[:2]) == {"i7", "i8"}
    assert "shorter side 10 px" in page.sections["Outliers"]
    assert not any("i10" in shown for shown in page.pictures.values())


def test_look_alikes_of_test_photos_are_shown_in_pairs_with_their_transform(tmp_path: Path) -> None:
    page, section = Page(data_page.render(project(tmp_path))), "Look-alikes of test photos"
    assert sorted(page.pictures[section]) == ["i11", "i3", "i4", "i5"]
    assert "2 test photos show what 2 photos of train and select show." in page.sections[section]
    assert "rotated by 90° clockwise" in page.sections[section]
    assert "nearly the same" in page.sections[section]


def test_drift_is_shown_against_the_accepted_data(tmp_path: Path) -> None:
    root, section = project(tmp_path), "Distributions and drift"
    plots = ["Labels a photo", "Shorter side", "Brightness", "Sharpness"]
    assert "No data is accepted yet" in Page(data_page.render(root)).sections[section]
    data = accept(root)
    page = Page(data_page.render(root)).sections[section]
    assert "Compared with the 24 accepted photos." in page
    assert all(title in page for title in [*plots, "Frequencies", "Pairs"])
    darker = data.frame.assign(labels=[[0]] * 24)
    table.write_table(root / "data/table/annotations.parquet", Table(darker, data.classes, data.source, {}))
    frequencies = Page(data_page.render(root)).sections[section].split("Frequencies")[1]
    assert "dog & hound" in frequencies.split("Pairs")[0], "the class that moved has its name in the plot"
    accept(root, measures=None, together=None)
    assert "has only their frequencies" in Page(data_page.render(root)).sections[section]
    accept(root, source="data/raw/others")
    page = Page(data_page.render(root)).sections[section]
    assert "another source, data/raw/others" in page
    assert all(title in page for title in plots)
    assert "Pairs" not in page


def test_label_errors_are_shown_once_a_model_was_evaluated(tmp_path: Path) -> None:
    root, title = project(tmp_path), "Likely label errors"
    assert title not in Page(data_page.render(root)).sections
    row = {"rank": 1, "image": "i4", "file": "photos/4.jpg", "split": "select", "class": EVIL, "given": "absent",
           "score": 0.987, "verdict": label_errors.MISSING}  # fmt: skip
    removed = {**row, "image": "i99", "file": "photos/99.jpg"}
    label_errors.write_label_errors(root / "reports/label_errors.csv", [removed, row])
    text = data_page.render(root)
    page = Page(text)
    assert page.pictures[title] == ["i4"]
    assert "model: 98.7 %" in page.sections[title]
    assert "probably missing" in page.sections[title]
    assert "1 of its entries no longer exist." in page.sections[title]
    assert EVIL not in text
    label_errors.write_label_errors(root / "reports/label_errors.csv", [removed])
    earlier = Page(data_page.render(root)).sections[title]
    assert ("found no likely errors" in earlier, "none of its 1 entries exists" in earlier) == (False, True)
    label_errors.write_label_errors(root / "reports/label_errors.csv", [])
    assert "found no likely errors" in Page(data_page.render(root)).sections[title]


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.replace("0.987", "0x987").encode(),
        lambda text: text.replace("i4", "caf\xe9").encode("latin-1"),
    ],
)
def test_a_list_of_label_errors_that_a_spreadsheet_has_saved_is_named(tmp_path: Path, edit: Any) -> None:
    root = project(tmp_path)
    row = {"rank": 1, "image": "i4", "file": "photos/4.jpg", "split": "select", "class": "cat", "given": "absent",
           "score": 0.987, "verdict": label_errors.MISSING}  # fmt: skip
    path = root / "reports/label_errors.csv"
    label_errors.write_label_errors(path, [row])
    path.write_bytes(edit(path.read_text(encoding="utf-8")))
    with pytest.raises(SadclError, match=r"The file is damaged.*label_errors\.csv.*dvc repro"):
        data_page.render(root)


def test_deleted_photo_is_reported(tmp_path: Path) -> None:
    root = project(tmp_path)
    (root / "data/raw/pets/photos/7.jpg").unlink()
    with pytest.raises(SadclError, match=r"can no longer be read.*7\.jpg.*dvc repro"):
        data_page.render(root)


def test_five_hundred_classes_make_a_page_of_limited_size(tmp_path: Path) -> None:
    text = data_page.render(project(tmp_path, [f"class {i}" for i in range(501)], many=500))
    assert len(Page(text).pictures["One photo per class"]) == 499  # the photo of one of them is broken
    assert len(text) < 4_000_000
    shown = Page(text).sections["Classes"]
    assert "Of 501 classes, the 30 most frequent and the 30 least frequent" in shown
    assert all(f"class {i}" in shown for i in range(501))
    assert len(re.findall("Share of photos with each class", text)) == 2
    labels = re.findall(r"class (\d+) to class (\d+) (\d+)–(\d+)\n", shown)
    assert [tuple(map(int, label)) for label in labels] == [
        (0, 82, 1, 83), (83, 166, 84, 167), (167, 249, 168, 250),
        (250, 333, 251, 334), (334, 416, 335, 417), (417, 500, 418, 501),
    ]  # fmt: skip


def test_empty_table_makes_a_page(tmp_path: Path) -> None:
    root = project(tmp_path)
    data = table.read_table(root / "data/table/annotations.parquet")
    empty = Table(data.frame.iloc[:0], data.classes, data.source, {})
    table.write_table(root / "data/table/annotations.parquet", empty)
    page = Page(data_page.render(root))
    assert "No photo has a label" in page.sections["One photo per class"]
