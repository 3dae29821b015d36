"""Tables of `sadcl data add` with several columns of labels: all are read, or a question is asked."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sadcl.data.onboarding.detect import detect_source
from sadcl.data.onboarding.preview import preview
from sadcl.data.onboarding.questions import Options
from sadcl.data.sources import columns
from sadcl.errors import SadclError
from tests.data.onboarding.folders import LABELS, again, asked, labels, numbered, put

SERIES = {
    "numbers after a blank": ("File;Label 1;Label 2;Label 3", ";"),
    "numbers alone": ("file,tag1,tag2,tag3", ","),
    "letters": ("file,label_a,label_b,label_c", ","),
    "capitals": ("file,LabelA,LabelB,LabelC", ","),
    "the first without a number": ("file,label,label 2,label 3", ","),
    "repeats numbered by pandas": ("file,category,category.1,category.2", ","),
    "repeats": ("file,label,label,label", ","),
    "brackets": ("file,labels[0],labels[1],labels[2]", ","),
    "a list that pandas expanded": ("file,0,1,2", ","),
    "with the index of pandas": (",file,tags/0,tags/1,tags/2", ","),
    "with another column": ("file,score_1,class 1,class 2,class 3", ","),
}


def rows(header: str, mark: str, cells: Sequence[Sequence[str]]) -> str:
    before = header.lower().split(mark).index("file")
    after = len(header.split(mark)) - before - 4
    lines = [
        mark.join([*[str(i)] * before, f"{i}.jpg", *["0.5"] * after, *names, *[""] * (3 - len(names))])
        for i, names in enumerate(cells)
    ]
    return "\n".join([header, *lines])


@pytest.mark.parametrize("form", SERIES)
def test_numbered_columns_hold_the_labels_together(tmp_path: Path, form: str) -> None:
    header, mark = SERIES[form]
    put(numbered(tmp_path), {"table.csv": rows(header, mark, LABELS * 3)})
    detected = detect_source(tmp_path)
    assert labels(detected) == [set(LABELS[i % 4]) for i in range(12)]
    assert again(detected) == detected.source
    shown = " ".join(" ".join(preview(detected, [])).split())
    assert f"table.csv, columns {', '.join(detected.ingest['labels'])}" in shown
    assert "The labels of a photo are joined from the columns" in shown


def test_numbered_columns_of_parquet(tmp_path: Path) -> None:
    columns = {f"label_{k}": [names[k] if k < len(names) else None for names in LABELS] for k in range(2)}
    pq.write_table(pa.table({"file": [f"{i}.jpg" for i in range(4)], **columns}), numbered(tmp_path, 4) / "a.parquet")
    assert labels(detect_source(tmp_path)) == [set(names) for names in LABELS]


def test_cells_of_several_columns_may_hold_several_labels(tmp_path: Path) -> None:
    text = "file,label 1,label 2\n0.jpg,cup|plate,bowl\n1.jpg,cup,plate\n2.jpg,bowl,\n3.jpg,,cup|bowl\n"
    detected = detect_source(put(numbered(tmp_path, 4), {"labels.csv": text}))
    assert labels(detected) == [{"cup", "plate", "bowl"}, {"cup", "plate"}, {"bowl"}, {"cup", "bowl"}]
    assert detected.ingest["separator"] == "|"


def test_several_columns_and_rows_of_a_photo(tmp_path: Path) -> None:
    text = "file,label 1,label 2\n0.jpg,cup,plate\n0.jpg,bowl,\n1.jpg,cup,\n1.jpg,plate,fork\n"
    detected = detect_source(put(numbered(tmp_path, 2), {"labels.csv": text}))
    assert labels(detected) == [{"cup", "plate", "bowl"}, {"cup", "plate", "fork"}]
    assert again(detected) == detected.source


def test_numbered_columns_of_flags_are_classes(tmp_path: Path) -> None:
    text = "file,label 1,label 2\n" + "".join(f"{i}.jpg,{i % 2},{int(i % 3 == 0)}\n" for i in range(6))
    assert detect_source(put(numbered(tmp_path, 6), {"labels.csv": text})).source.classes == ("label 1", "label 2")


DOUBTFUL = {
    "several annotators": ("label_a,label_b", ("cup,cup", "plate,plate", "cup,bowl", "bowl,bowl")),
    "two usual names": ("label,category", ("cup,kitchen", "plate,kitchen", "tree,garden", "rose,garden")),
    "two series": ("label 1,label 2,tag 1,tag 2", ("cup,plate,a,b", "plate,,b,", "cup,,a,", "bowl,cup,c,a")),
    "a second column of labels": ("label,secondary_label", ("cup,plate", "plate,cup", "cup,", "bowl,cup")),
    "no usual name": ("Rasse 1,Rasse 2", ("pug,beagle", "beagle,pug", "pug,", "beagle,")),
    "labels by rank": ("primary_label,other_label", ("pug,beagle", "beagle,pug", "pug,", "beagle,")),
}


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_doubtful_columns_of_labels_are_asked(tmp_path: Path, kind: str) -> None:
    header, cells = DOUBTFUL[kind]
    lines = [f"file,{header}", *(f"{i}.jpg,{cells[i % 4]}" for i in range(12))]
    put(numbered(tmp_path), {"labels.csv": "\n".join(lines)})
    (question,) = asked(tmp_path)
    names = header.split(",")
    assert all(repr(name) in " ".join(text for _, text in question.choices) for name in names)
    assert "--labels" in question.option
    joined = detect_source(tmp_path, Options(labels=tuple(names)))
    expected = [{name for name in cells[i % 4].split(",") if name} for i in range(12)]
    assert labels(joined) == expected
    assert labels(detect_source(tmp_path, Options(labels=(names[0],)))) == [
        {cells[i % 4].split(",")[0]} - {""} for i in range(12)
    ]
    every = next(value for value, text in question.choices if "each of" in text)
    assert labels(detect_source(tmp_path, Options(ask=lambda question: every))) == expected


def test_columns_next_to_the_documented_one_are_named(tmp_path: Path) -> None:
    text = "file,labels,tags\n" + "".join(f"{i}.jpg,{'cup' if i % 2 else 'plate'},old\n" for i in range(4))
    detected = detect_source(put(numbered(tmp_path, 4), {"labels.csv": text}))
    assert detected.source.classes == ("cup", "plate")
    assert "'tags' describes the photos; --labels labels --labels tags reads the labels of all" in detected.notes


def test_an_unknown_column_is_refused_whatever_the_format(tmp_path: Path) -> None:
    text = "file,label\n0.jpg,cup\n0.jpg,plate\n1.jpg,cup\n"
    put(numbered(tmp_path, 2), {"labels.csv": text})
    with pytest.raises(SadclError, match=r"no column 'Labels'.*--labels takes one of file, label"):
        detect_source(tmp_path, Options(labels=("Labels",)))


def test_the_recipe_may_name_one_column_or_several(tmp_path: Path) -> None:
    put(numbered(tmp_path, 2), {"labels.csv": "file,a,b\n0.jpg,cup,plate\n1.jpg,bowl,\n"})
    for names, expected in (("a", {"cup"}), (["a", "b"], {"cup", "plate"})):
        detected = detect_source(tmp_path, Options(labels=(names,) if isinstance(names, str) else tuple(names)))
        assert detected.ingest["labels"] == names
        assert json.loads(json.dumps(detected.ingest)) == detected.ingest
        assert labels(detected)[0] == expected


def test_a_long_name_of_a_column_is_read_at_once(tmp_path: Path) -> None:
    """The search for a number at its end does not go through the whole name."""
    names = ["_" * 100_000 + ending for ending in ("1", "2", "é")]
    assert columns.numbered(names) == {"_": (names[0], names[1])}
