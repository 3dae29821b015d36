"""Separators of labels in one cell: inferred from the labels that occur elsewhere, or asked."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sadcl.data.onboarding.detect import detect_source
from sadcl.data.onboarding.preview import preview
from sadcl.data.onboarding.questions import Options
from sadcl.data.onboarding.separators import NAMES
from sadcl.errors import SadclError
from tests.data.onboarding.folders import LABELS, again, asked, labels, labels_column

WRITTEN: dict[str, Callable[[tuple[str, ...]], str]] = {
    "semicolon": ";".join,
    "semicolon and blank": "; ".join,
    "comma": ",".join,
    "comma and blank": ", ".join,
    "pipe": "|".join,
    "hash": "#".join,
    "slash": "/".join,
    "blank": " ".join,
    "newline": "\n".join,
    "JSON": lambda names: str(list(names)).replace("'", '"'),
    "Python": lambda names: str(list(names)),
    "tuple": str,
    "set": lambda names: "{" + ", ".join(f"'{name}'" for name in names) + "}",
    "numpy": lambda names: "[" + " ".join(f"'{name}'" for name in names) + "]",
    "array": lambda names: f"array({list(names)}, dtype=object)",
    "bare": lambda names: "[" + ", ".join(names) + "]",
    "PostgreSQL": lambda names: "{" + ",".join(names) + "}",
}


@pytest.mark.parametrize("form", WRITTEN)
def test_labels_in_one_cell(tmp_path: Path, form: str) -> None:
    labels_column(tmp_path, [WRITTEN[form](LABELS[i % 4]) for i in range(12)])
    detected = detect_source(tmp_path)
    assert labels(detected) == [set(LABELS[i % 4]) for i in range(12)]
    assert again(detected) == detected.source


ODD_CELLS = {
    "quotes": ("'scab'", "'scab', 'spot'", "'rust', 'spot'", "'rust'"),
    "a flag per label": tuple(
        json.dumps({name: name in names for name in ("rust", "scab", "spot")}) for names in LABELS
    ),
    "a Python dictionary": tuple(
        str({name: int(name in names) for name in ("scab", "spot", "rust")}) for names in LABELS
    ),
    "empty parts": ("scab;", ";scab; spot", "rust;;spot", " rust "),
    "nothing in lists": ("['scab', nan]", "['scab', 'spot', None]", "['rust', 'spot']", "['rust']"),
    "dashes": ("scab", "scab - spot", "rust - spot", "rust"),
    "words": ("scab", "scab and spot", "rust and spot", "rust"),
}


@pytest.mark.parametrize("kind", ODD_CELLS)
def test_odd_cells_of_labels(tmp_path: Path, kind: str) -> None:
    labels_column(tmp_path, ODD_CELLS[kind])
    assert labels(detect_source(tmp_path)) == [set(names) for names in LABELS]


def test_ids_that_pandas_wrote_as_floats(tmp_path: Path) -> None:
    assert detect_source(labels_column(tmp_path, ("1.0", "2.0;3.0", "nan", "10.0"))).source.classes == (
        "1",
        "10",
        "2",
        "3",
    )


ONE_LABEL = {
    "names of two words": ("hot dog", "dog", "cat", "traffic light", "stop sign"),
    "names with a slash": ("tv/monitor", "cup", "tv/monitor", "plate"),
    "a mark at the end": ("C#", "F#", "C", "C#"),
    "numbers": ("1", "2", "10", "2"),
}


@pytest.mark.parametrize("kind", ONE_LABEL)
def test_marks_in_names_separate_nothing(tmp_path: Path, kind: str) -> None:
    cells = ONE_LABEL[kind]
    assert labels(detect_source(labels_column(tmp_path, cells))) == [{cell} for cell in cells]


DOUBTFUL_CELLS = {
    "a comma in a name": (("cup, red", "plate", "cup, red", "bowl"), "comma"),
    "a semicolon in a name": (("salt; pepper", "cup", "plate", "salt; pepper"), "semicolon"),
    "blanks that fit twice": (("red apple", "green apple", "red car", "green car"), "space"),
    "lists of one label next to a name": (("bowl", "['cup']", "['plate']", "['cup']"), "none"),
    "two separators": (("cat;dog", "cat,bird", "bird,dog", "dog", "cat", "bird"), "comma"),
}


@pytest.mark.parametrize("kind", DOUBTFUL_CELLS)
def test_a_doubtful_separator_is_asked(tmp_path: Path, kind: str) -> None:
    cells, name = DOUBTFUL_CELLS[kind]
    labels_column(tmp_path, cells)
    with pytest.raises(SadclError, match=rf"one label or several.*--separator.*{name}.*--yes"):
        detect_source(tmp_path)
    assert len(asked(tmp_path)) == 1
    assert not asked(tmp_path, separator=",")
    assert labels(detect_source(tmp_path, Options(separator=""))) == [{cell} for cell in cells]


@pytest.mark.parametrize(
    ("cells", "choices"),
    [
        (("haze primary", "clear primary farm", "cloudy", "clear water"), ["", " "]),
        (("scab", "scab frog_eye_leaf_spot", "rust", "rust"), [" ", ""]),
        (("hot dog", "dog", "cat", "cat"), []),
        (("red apple", "green apple", "pear", "pear"), []),
    ],
)
def test_words_that_recur_in_other_cells_are_asked_about(
    tmp_path: Path, cells: tuple[str, ...], choices: list[str]
) -> None:
    questions = asked(labels_column(tmp_path, cells * 3))
    assert [value for question in questions for value, _ in question.choices] == choices


AGAINST = {
    "comma": (("a;b", "a", "b", "b"), "splits 0 of 4 cells, and ';' would split 1"),
    "none": (("a;b", "a", "b", "b"), "splits 0 of 4 cells, and ';' would split 1"),
    "space": (("hot dog", "stop sign", "cat", "cat"), "splits 2 of 4 cells, into labels that occur in no other cell"),
    "pipe": (("cup", "plate", "cup", "bowl"), "splits no cell"),
    "semicolon": (("a;b", "a", "b", "b"), ""),
    "hash": (("C#", "F", "C#", "F#"), "splits no cell"),
}


@pytest.mark.parametrize("word", AGAINST)
def test_a_separator_against_the_evidence_is_reported(tmp_path: Path, word: str) -> None:
    cells, words = AGAINST[word]
    mark = next(mark for mark, name in NAMES.items() if name == word)
    detected = detect_source(labels_column(tmp_path, cells), Options(separator=mark))
    assert detected.attention == ((f"--separator {word} {words}",) if words else ())
    shown = " ".join(" ".join(preview(detected, [])).split())
    assert (f"Attention --separator {word} {words}" in shown) == bool(words)
