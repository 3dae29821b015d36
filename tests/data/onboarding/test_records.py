"""Labels of JSON records that share one text: the separator is inferred, asked or given, as for tables."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sadcl.data.onboarding.detect import detect_source
from sadcl.data.onboarding.preview import preview
from sadcl.data.onboarding.questions import Options
from tests.data.onboarding.folders import LABELS, again, asked, labels, numbered, put

Form = Callable[[list[tuple[str, Any]]], dict[str, str]]
FORMS: dict[str, Form] = {
    "lines": lambda rows: {
        "metadata.jsonl": "\n".join(json.dumps({"file_name": name, "labels": value}) for name, value in rows)
    },
    "a list": lambda rows: {"all.json": json.dumps([{"image": name, "label": value} for name, value in rows])},
    "tags": lambda rows: {"all.json": json.dumps([{"image": name, "tags": value} for name, value in rows])},
    "by photo": lambda rows: {"all.json": json.dumps(dict(rows))},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mark", ["; ", ", ", "|"])
@pytest.mark.parametrize("listed", [False, True])
def test_one_text_of_several_labels(tmp_path: Path, form: str, mark: str, listed: bool) -> None:
    texts = [mark.join(LABELS[i % 4]) for i in range(12)]
    put(numbered(tmp_path), FORMS[form]([(f"{i}.jpg", [text] if listed else text) for i, text in enumerate(texts)]))
    detected = detect_source(tmp_path)
    assert labels(detected) == [set(LABELS[i % 4]) for i in range(12)]
    assert again(detected) == detected.source
    assert any("separates labels, in 6 of 12 cells" in note for note in detected.notes)


def test_a_doubtful_text_is_asked(tmp_path: Path) -> None:
    cells = ("cup, red", "plate", "cup, red", "bowl")
    put(numbered(tmp_path, 4), FORMS["lines"]([(f"{i}.jpg", cell) for i, cell in enumerate(cells)]))
    (question,) = asked(tmp_path)
    assert question.problem == "'cup, red' may be one label or several"
    whole = detect_source(tmp_path, Options(separator=""))
    assert whole.source.classes == ("bowl", "cup, red", "plate")
    assert again(whole) == whole.source
    assert detect_source(tmp_path, Options(separator=",")).source.classes == ("bowl", "cup", "plate", "red")


def test_lists_and_named_classes_leave_no_doubt(tmp_path: Path) -> None:
    rows = [("0.jpg", ["cup, red", "bowl"]), ("1.jpg", ["bowl", "plate"]), ("2.jpg", [])]
    put(numbered(tmp_path / "a", 3), FORMS["lines"](rows))
    assert detect_source(tmp_path / "a").source.classes == ("bowl", "cup, red", "plate")
    info = {"features": {"label": {"names": ["cup, red", "bowl"]}}}
    put(numbered(tmp_path / "b", 2), {
        "metadata.jsonl": '{"file_name": "0.jpg", "label": "cup, red"}\n{"file_name": "1.jpg", "label": "bowl"}\n',
        "dataset_info.json": json.dumps(info),
    })  # fmt: skip
    assert labels(detect_source(tmp_path / "b")) == [{"cup, red"}, {"bowl"}]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["a;b", "a, b", "a|b"])
def test_a_mark_in_an_item_of_a_list_is_part_of_a_name(tmp_path: Path, form: str, name: str) -> None:
    rows: list[tuple[str, Any]] = [("0.jpg", [name]), ("1.jpg", [name, "c"]), ("2.jpg", name)]
    put(numbered(tmp_path / "a", 3), FORMS[form](rows))
    detected = detect_source(tmp_path / "a")
    assert labels(detected) == [{name}, {name, "c"}, {name}]
    assert again(detected) == detected.source
    put(numbered(tmp_path / "b", 4), FORMS[form]([*rows, ("3.jpg", name.replace("b", "c"))]))
    (question,) = asked(tmp_path / "b")
    assert [value for value, _ in question.choices] == ["", name[1]]


def test_a_named_class_may_contain_the_separator(tmp_path: Path) -> None:
    put(numbered(tmp_path, 2), {
        "metadata.jsonl": '{"file_name": "0.jpg", "label": "a;b"}\n{"file_name": "1.jpg", "label": ["c", "a;b"]}\n',
        "dataset_info.json": json.dumps({"features": {"label": {"names": ["a;b", "c"]}}}),
    })  # fmt: skip
    assert labels(detect_source(tmp_path)) == [{"a;b"}, {"a;b", "c"}]


def test_a_separator_against_the_evidence_is_reported(tmp_path: Path) -> None:
    texts = [";".join(LABELS[i % 4]) for i in range(12)]
    put(numbered(tmp_path), FORMS["lines"]([(f"{i}.jpg", text) for i, text in enumerate(texts)]))
    shown = " ".join(" ".join(preview(detect_source(tmp_path, Options(separator="|")), [])).split())
    assert "Attention --separator pipe splits 0 of 12 cells, and ';' would split 6" in shown
