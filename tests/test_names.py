"""Names of files for other people's names, paths that tell files apart, and texts cut to a width."""

import unicodedata
from pathlib import Path

import pytest

from sadcl.names import columns, distinct, distinguish, portable, shorten

ODD = [
    "..", ".", "", " ", "a/b", "a\\b", "a:b", "a\0b", "a\nb", "CON", "nul.txt", "com1", ".hidden", "-rf", "\udcff",
    "猫" * 100, "👩\u200d🍳", "x" * 260, "x" * 259 + "y", "बिल्ली", "100 %", "<b>",
]  # fmt: skip


@pytest.mark.parametrize("text", ODD)
def test_every_text_becomes_a_name_that_a_folder_takes(tmp_path: Path, text: str) -> None:
    name = portable(text)
    (tmp_path / name).write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(name.encode()) <= 80
    assert not set(name) & set('<>:"/\\|?*')
    assert name[0] != "."
    assert name.partition(".")[0].lower() not in {"con", "nul", "com1"}


@pytest.mark.parametrize("text", ["cup", "Löffel-1", "猫", "बिल्ली", "قطة", "🍴", "v1.2_final"])
def test_a_name_of_any_script_stays_readable(text: str) -> None:
    assert portable(text) == text


def test_long_texts_that_differ_at_the_end_have_different_names() -> None:
    assert portable("x" * 260 + "a") != portable("x" * 260 + "b")


@pytest.mark.parametrize("names", [["a", "A", "a"], ["café", "cafe\u0301"], ["a", "a", "a-2", "A-2"], ["ß", "SS"]])
def test_names_differ_on_file_systems_without_case_and_with_either_form_of_accents(names: list[str]) -> None:
    for form in ("NFC", "NFD"):
        folded = {unicodedata.normalize(form, name).lower() for name in distinct(names)}
        assert len(folded) == len(names)
    assert distinct(names)[0] == names[0]


def test_a_taken_name_is_passed_over() -> None:
    assert distinct(["a", "b"], lambda place, name: name in {"a", "a-2"}) == ["a-3", "b"]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/1.jpg"], ["1.jpg"]),
        (["a/1.jpg", "a/2.jpg"], ["1.jpg", "2.jpg"]),
        (["a/1.jpg", "b/1.jpg"], ["a/1.jpg", "b/1.jpg"]),
        (["x/a/1.jpg", "y/a/1.jpg", "b/1.jpg"], ["x/a/1.jpg", "y/a/1.jpg", "b/1.jpg"]),
        (["/1.jpg", "/a/1.jpg"], ["/1.jpg", "a/1.jpg"]),
        (["a/1.jpg", "./a/1.jpg", "a/../a/1.jpg"], ["1.jpg", "1.jpg", "1.jpg"]),
        ([], []),
    ],
)
def test_a_path_is_cut_as_far_as_it_stays_the_only_one(paths: list[str], expected: list[str]) -> None:
    assert distinguish([Path(path) for path in paths]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("teaspoon", "teaspoon"),
        ("tablespoons", "tablespoo…"),
        ("猫猫猫猫猫猫", "猫猫猫猫…"),
        ("a\n  b", "a b"),
        ("क्षत्रिय क्षत्रिय क्षत्रिय", "क्षत्रिय क्षत्…"),
        ("👩\u200d🍳👩\u200d🍳👩\u200d🍳", "👩\u200d🍳👩\u200d🍳…"),
    ],
)
def test_a_text_is_cut_between_letters_at_the_width_that_fits(text: str, expected: str) -> None:
    cut = shorten(text, lambda part: columns(part) <= 10)
    assert cut == expected
    assert columns(cut) <= 10
