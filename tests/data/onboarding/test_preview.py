"""The preview of `sadcl data add`: what it names, and that it fits the terminal."""

from pathlib import Path

import pytest

from sadcl.data.onboarding.detect import detect_source
from sadcl.data.onboarding.preview import preview
from sadcl.data.onboarding.questions import Options
from sadcl.errors import SadclError
from tests.data.onboarding.folders import numbered, photos, put


def shown(root: Path, options: Options | None = None, width: int = 80) -> str:
    lines = preview(detect_source(root, options), [], width)
    assert max(map(len, lines)) <= width
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize("width", [60, 80, 200])
def test_long_names_are_shortened(tmp_path: Path, width: int) -> None:
    names = [f"{'a very long folder/' * 6}{'photo' * 20}{i}.jpg" for i in range(4)]
    rows = [f"{name},{'a very long name of a class ' * 4}{i % 2}" for i, name in enumerate(names)]
    put(photos(tmp_path, names), {"labels.csv": "\n".join(["file,labels", *rows])})
    text = shown(tmp_path, width=width)
    assert "a very long" in text
    assert "…" in text


def test_many_classes_are_the_most_frequent_and_the_rarest(tmp_path: Path) -> None:
    rows = [f"{i}.jpg,{';'.join(f'class {k}' for k in range(i + 1))}" for i in range(40)]
    put(numbered(tmp_path, 40), {"labels.csv": "\n".join(["file,labels", *rows])})
    text = shown(tmp_path)
    assert "Classes 40 class 0 40 0.jpg, 1.jpg, 2.jpg" in text
    assert "... 20 more ..." in text
    assert "class 39 1 39.jpg" in text
    assert "class 20 " not in text


def test_what_was_inferred_and_what_has_nothing_to_learn(tmp_path: Path) -> None:
    rows = [f"{i}.jpg,1,{i % 2}.0,0,{'' if i else -1},{30 + i}" for i in range(8)]
    put(numbered(tmp_path, 9), {"labels.csv": "\n".join(["file,kitchen,cup,bowl,plate,age", *rows])})
    text = shown(tmp_path, Options(slices=("age",)))
    assert "No classes column age" in text
    assert "1 cell of -1 is neither present nor absent: plate 1" in text
    assert "plate 0 (1 unsure)" in text
    assert (
        "Attention No photo has the label 'bowl', 'plate': validate will refuse it Every photo has the label 'kitchen'"
        in text
    )


def test_photos_without_labels_are_named(tmp_path: Path) -> None:
    rows = [f"{i}.jpg,{'cup' if i < 4 else ''}" for i in range(12)]
    put(numbered(tmp_path), {"labels.csv": "\n".join(["file,labels", *rows])})
    text = shown(tmp_path, Options(unlabelled="negative"))
    assert "No label 8 photos (67 %), they count as showing none of the classes: '4.jpg', '5.jpg', '6.jpg', ..." in text
    assert "allows a split 77 % of them" in text
    dropped = shown(tmp_path, Options(unlabelled="drop"))
    assert "Splits 4 that the first run assigns" in dropped
    assert "they are dropped" in dropped


def test_the_column_of_labels_and_the_others_are_named(tmp_path: Path) -> None:
    rows = [f"{i}.jpg,{'pug' if i % 2 else 'beagle'},Rome" for i in range(6)]
    put(numbered(tmp_path, 6), {"labels.csv": "\n".join(["Bild,Rasse,Ort", *rows])})
    text = shown(tmp_path, Options(labels=("Rasse",)))
    assert "Labels in labels.csv, column Rasse" in text
    assert "No classes column Ort" in text


def test_names_that_may_be_mistakes_are_shown(tmp_path: Path) -> None:
    rows = [f"{i}.jpg,{['Cup', 'cup', 'None', 'plate'][i % 4]}" for i in range(8)]
    text = shown(put(numbered(tmp_path, 8), {"labels.csv": "\n".join(["file,labels", *rows])}))
    assert "differ in letter case alone are classes of their own: 'Cup', 'cup'" in text
    assert "'None' is a class; if it means no label" in text


def test_a_source_without_any_label_is_reported(tmp_path: Path) -> None:
    coco = '{"images": [{"id": 1, "file_name": "0.jpg"}], "annotations": [], "categories": [{"id": 1, "name": "cup"}]}'
    put(numbered(tmp_path, 1), {"instances.json": coco})
    assert "Attention No photo has a label" in shown(tmp_path, Options(unlabelled="negative"))
    with pytest.raises(SadclError, match="none is left"):
        shown(tmp_path, Options(unlabelled="drop"))


def test_terminal_codes_in_names_are_escaped(tmp_path: Path) -> None:
    put(numbered(tmp_path, 2), {"labels.csv": "file,labels\n0.jpg,cup\x1b[2J\n1.jpg,plate\n"})
    assert r"cup\x1b[2J" in shown(tmp_path)


def test_names_of_all_scripts_stay_readable(tmp_path: Path) -> None:
    put(photos(tmp_path, ["Jo\u0308rg \u0645\u06cc\u200c\u062e.jpg", "2\x1b.jpg"]),
        {"labels.csv": "file,labels\nJ\u00f6rg \u0645\u06cc\u200c\u062e.jpg,Löffel\n2\x1b.JPG,\n"})  # fmt: skip
    text = shown(tmp_path, width=200)
    assert "'J\u00f6rg \u0645\u06cc\u200c\u062e.jpg' is 'Jo\u0308rg" in text
    assert r"'2\x1b.JPG' is '2\x1b.jpg' (letter case)" in text
    assert "Löffel" in text


def test_one_of_a_kind_is_singular(tmp_path: Path) -> None:
    put(numbered(tmp_path, 2), {"labels.csv": "file,cup,plate,camera\n0.jpg,1,-1,x7\n1.jpg,0,0,x9\n", "film.mov": ""})
    text = shown(tmp_path)
    assert "1 cell of -1 is neither present nor absent" in text
    assert "No label 1 photo (50 %), it counts as showing none of the classes: '1.jpg'" in text
    assert "No classes column camera" in text
