"""Tables of `sadcl data add`: flags, columns, encodings, one row per label."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sadcl.data.onboarding.detect import detect_source
from sadcl.data.onboarding.questions import Options, UndecidedError
from sadcl.errors import SadclError
from tests.data.onboarding.folders import LABELS, again, labels, labels_column, numbered, photos, put

FLAGS = {
    "floats": ("1.0", "0.0", "-1.0"),
    "decimal commas": ('"1,0"', '"0,0"', '"-1,0"'),
    "blanks around": (" 1 ", " 0 ", " -1 "),
    "exponents": ("1e0", "0.000e+00", "-1.0E+00"),
    "truth values": ("TRUE", "FALSE", "-1"),
    "German": ("WAHR", "FALSCH", "-1"),
    "French": ("VRAI", "FAUX", "-1"),
    "Spanish": ("VERDADERO", "FALSO", "-1"),
    "x": ("x", "", "-1"),
    "X": ("X", "-", "-1"),
    "ticks": ("✓", "", "-1"),
    "yes": ("yes", "no", "-1"),
    "y": ("Y", "N", "-1"),
    "ja": ("ja", "nein", "-1"),
    "oui": ("oui", "non", "-1"),
    "present": ("present", "absent", "-1"),
    "gaps of pandas": ("1.0", "nan", "-1.0"),
}


@pytest.mark.parametrize("form", FLAGS)
def test_flags_in_one_column_per_class(tmp_path: Path, form: str) -> None:
    present, absent, unsure = FLAGS[form]
    rows = [f"{i}.jpg,{present if i % 2 else absent},{[present, unsure, absent][i % 3]},indoors" for i in range(12)]
    put(numbered(tmp_path), {"labels.csv": "\n".join(["file, cup , plate,place", *rows])})
    detected = detect_source(tmp_path)
    assert detected.source.classes == ("cup", "plate")
    assert labels(detected) == [{n for n, on in (("cup", i % 2), ("plate", i % 3 == 0)) if on} for i in range(12)]
    assert [len(image.ignored) for image in again(detected).images] == [i % 3 == 1 for i in range(12)]
    assert detected.source.images[0].slices == {"place": "indoors"}


def wide(root: Path, header: str, cells: Sequence[str]) -> Path:
    rows = [f"{i}.jpg,{i % 2},{cell}" for i, cell in enumerate(cells)]
    return put(numbered(root, len(cells)), {"labels.csv": "\n".join([header, *rows])})


def test_a_column_never_becomes_a_slice_silently(tmp_path: Path) -> None:
    wide(tmp_path, "file,cup,plates", ["0", "1", "2", "3", "0", "2"])
    with pytest.raises(SadclError, match=r"'plates' may be a class, but 3 cells are not 0 or 1.*--slice plates"):
        detect_source(tmp_path)
    assert detect_source(tmp_path, Options(slices=("plates",))).source.classes == ("cup",)
    wide(tmp_path, "file,cup,plate", ["0.1", "0.9", "0.5", "0.2", "0.7", "0.3"])
    with pytest.raises(SadclError, match=r"'plate' may be a class"):
        detect_source(tmp_path)
    wide(tmp_path, "file,cup,plate", ["1", "0", "u", "u", "0", "1"])
    with pytest.raises(SadclError, match=r"'plate' may be a class, but 2 cells are not 0 or 1: 'u'"):
        detect_source(tmp_path)
    wide(tmp_path, "file,cup,camera", ["x", "y", "x", "y", "x", "x"])
    assert detect_source(tmp_path).source.classes == ("cup",)
    wide(tmp_path, "file,cup,notes", [""] * 6)
    with pytest.raises(SadclError, match=r"'notes' is empty.*--slice notes"):
        detect_source(tmp_path)


def test_labels_that_are_in_two_places_are_asked(tmp_path: Path) -> None:
    rows = [f"{i}.jpg,{i % 2},{(i + 1) % 2},{'kitchen' if i % 3 else 'garden'}" for i in range(6)]
    put(numbered(tmp_path, 6), {"labels.csv": "\n".join(["file,cup,plate,category", *rows])})
    with pytest.raises(SadclError, match=r"column 'category', or in one column per class.*--slice category"):
        detect_source(tmp_path)
    detected = detect_source(tmp_path, Options(slices=("category",)))
    assert (detected.source.classes, again(detected)) == (("cup", "plate"), detected.source)
    assert detect_source(tmp_path, Options(slices=("cup", "plate"))).source.classes == ("garden", "kitchen")


SORTED = {
    "words": [["none"] * 60, ["benign"] * 30, ["malignant"] * 30],
    "indexes": [[str(i)] * 40 for i in range(20)],
    "few": [["none"] * 300, ["benign"] * 150],
}


@pytest.mark.parametrize("header", ["file,class,sex", "image,label,blur", "image,label"])
@pytest.mark.parametrize("kind", SORTED)
def test_tables_that_are_sorted_by_their_labels(tmp_path: Path, kind: str, header: str) -> None:
    cells = [cell for group in SORTED[kind] for cell in group]
    names = header.split(",")
    rows = [",".join([f"{i}.jpg", cell, str(i % 2)][: len(names)]) for i, cell in enumerate(cells)]
    put(numbered(tmp_path, len(cells)), {"labels.csv": "\n".join([header, *rows])})
    detected = detect_source(tmp_path)
    assert labels(detected) == [{cell} for cell in cells]
    assert detected.ingest["labels"] == names[1]
    assert again(detected) == detected.source


def test_a_usual_name_of_labels_never_becomes_a_slice_silently(tmp_path: Path) -> None:
    rows = [f"{i}.jpg,{'xy'[i // 4 % 2]},{i % 2}" for i in range(12)]
    put(numbered(tmp_path), {"labels.csv": "\n".join(["file,class,blur", *rows])})
    with pytest.raises(SadclError, match=r"'class' may hold the labels.*--labels class or --slice class"):
        detect_source(tmp_path)
    assert detect_source(tmp_path, Options(labels=("class",))).source.classes == ("x", "y")
    assert detect_source(tmp_path, Options(slices=("class",))).source.classes == ("blur",)


def test_a_column_of_labels_without_a_usual_name_is_asked(tmp_path: Path) -> None:
    rows = [f"{i}.jpg,{'beagle' if i % 2 else 'pug'},{'a' if i % 3 else 'b'},{i}" for i in range(6)]
    put(numbered(tmp_path, 6), {"labels.csv": "\n".join(["Bild,Rasse,Ort,Nr", *rows])})
    with pytest.raises(SadclError, match=r"usual name of labels.*'Rasse', such as 'pug', 'beagle'.*--labels Rasse"):
        detect_source(tmp_path)
    detected = detect_source(tmp_path, Options(labels=("Rasse",)))
    assert labels(detected) == [{"beagle" if i % 2 else "pug"} for i in range(6)]
    assert again(detected) == detected.source
    with pytest.raises(SadclError, match=r"no column 'Breed'.*--labels takes one of Bild, Rasse"):
        detect_source(tmp_path, Options("csv", labels=("Breed",)))


def test_the_columns_of_fastai(tmp_path: Path) -> None:
    rows = [f"{i}.jpg,{['horse person', 'horse', 'person'][i % 3]},{i % 4 == 0}" for i in range(12)]
    source = detect_source(put(numbered(tmp_path), {"train.csv": "\n".join(["fname,labels,is_valid", *rows])})).source
    assert source.classes == ("horse", "person")
    assert [image.split for image in source.images] == ["test", "train", "train", "train"] * 3


def test_unicode_forms_of_a_label_are_one_class(tmp_path: Path) -> None:
    assert detect_source(labels_column(tmp_path / "a", ("caf\u00e9", "cafe\u0301", "bar"))).source.classes == (
        "bar",
        "caf\u00e9",
    )
    photos(tmp_path / "b", ("caf\u00e9/0.jpg", "cafe\u0301/1.jpg", "bar/2.jpg"))
    assert detect_source(tmp_path / "b").source.classes == ("bar", "caf\u00e9")


HEADERS = (
    "File;Labels",
    "file_name\ttags",
    "ImageID|Category",
    "Image Name,Finding Labels",
    '"image","label"',
    "path,class",
)


@pytest.mark.parametrize("header", HEADERS)
def test_usual_names_of_columns(tmp_path: Path, header: str) -> None:
    mark = next(mark for mark in ";\t|," if mark in header)
    rows = [f"{i}.jpg{mark}{'cup' if i % 2 else 'plate'}" for i in range(6)]
    put(numbered(tmp_path, 6), {"labels.csv": "\n".join([header, *rows])})
    assert labels(detect_source(tmp_path)) == [{"cup" if i % 2 else "plate"} for i in range(6)]


def test_a_column_of_file_names_needs_no_usual_name(tmp_path: Path) -> None:
    put(numbered(tmp_path, 4), {"labels.csv": "Bild,Tasse\n0.jpg,1\n1.jpg,0\n2.jpg,1\n3.jpg,1\n"})
    assert detect_source(tmp_path).source.classes == ("Tasse",)


ROWS = "file;labels;ort\r\n" + "".join(f"{i}.jpg;{'Löffel' if i % 2 else 'Tasse'};Küche\r\n" for i in range(6))
BYTES = {
    "BOM": ROWS.encode("utf-8-sig"),
    "Windows-1252": ROWS.encode("cp1252"),
    "UTF-16": ROWS.replace(";", "\t").encode("utf-16"),
    "UTF-16 without a mark": ROWS.replace(";", "\t").encode("utf-16-le"),
    "sep=;": b"sep=;\r\n" + ROWS.encode(),
    "CR": ROWS.replace("\r\n", "\r").encode(),
    "empty columns": ROWS.replace("\r\n", ";;;\r\n").encode(),
    "an index": "".join(f"{i - 1 if i else ''};{line}\n" for i, line in enumerate(ROWS.split("\r\n")) if line).encode(),
    "Unnamed: 0": "".join(f"{i - 1 if i else 'Unnamed: 0'};{line}\n" for i, line in enumerate(ROWS.split("\r\n"))
                          if line).encode(),
    "empty rows": ROWS.encode() + b";;\r\n;;\r\n\r\n",
    "rows before the header": b"\r\n;;\r\n" + ROWS.encode(),
}  # fmt: skip


@pytest.mark.parametrize("form", BYTES)
def test_files_of_spreadsheets_and_pandas(tmp_path: Path, form: str) -> None:
    numbered(tmp_path, 6)
    (tmp_path / "labels.csv").write_bytes(BYTES[form])
    detected = detect_source(tmp_path)
    assert labels(detected) == [{"Löffel" if i % 2 else "Tasse"} for i in range(6)]
    assert all(image.slices == {"ort": "Küche"} for image in detected.source.images)


def test_text_in_a_column_without_a_name_is_asked(tmp_path: Path) -> None:
    put(numbered(tmp_path, 2), {"labels.csv": "file,labels,\n0.jpg,cup,bad light\n1.jpg,plate,\n"})
    with pytest.raises(SadclError, match=r"Column 3 has no name, but holds 'bad light'.*line 2"):
        detect_source(tmp_path)


LONG = {
    "repeated": "file,label\n" + "".join(f"{i}.jpg,{name}\n" for i in range(12) for name in LABELS[i % 4]),
    "AutoML": "".join(f"UNASSIGNED,gs://bucket/{i}.jpg,{','.join(LABELS[i % 4])}\n" for i in range(12)),
    "without a header": "".join(f"{i}.jpg,{','.join(LABELS[i % 4])}\n" for i in range(12)),
    "boxes": "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    + "".join(f"{i}.jpg,96,72,{name},1,1,9,9\n" for i in range(12) for name in (*LABELS[i % 4], LABELS[i % 4][0])),
    "AutoML boxes": "".join(
        f"UNASSIGNED,gs://bucket/{i}.jpg,{name},0.1,0.1,,,0.4,0.4,,\n" for i in range(12) for name in LABELS[i % 4]
    ),
    "Open Images": "ImageID,Source,LabelName,Confidence\n"
    + "".join(
        f"{i}.jpg,verification,{name},{int(name in LABELS[i % 4])}\n"
        for i in range(12)
        for name in ("scab", "rust", "spot")
    ),
}


@pytest.mark.parametrize("form", LONG)
def test_one_row_per_label(tmp_path: Path, form: str) -> None:
    put(numbered(tmp_path), {"labels.csv": LONG[form]})
    detected = detect_source(tmp_path)
    assert detected.ingest["format"] == "rows"
    assert labels(detected) == [set(LABELS[i % 4]) for i in range(12)]
    assert again(detected) == detected.source
    assert all(not image.split and not image.ignored for image in detected.source.images)


ROWS_OF_LABELS = "filename,label,class\n0.jpg,good,cup\n0.jpg,good,table\n1.jpg,bad,cat\n1.jpg,good,cup\n"


def test_rows_with_two_columns_of_labels_are_asked(tmp_path: Path) -> None:
    put(numbered(tmp_path, 2), {"labels.csv": ROWS_OF_LABELS})
    with pytest.raises(UndecidedError, match=r"the columns 'label' or 'class'.*--labels label or --labels class"):
        detect_source(tmp_path)
    for decided in (Options(slices=("label",)), Options(labels=("class",))):
        detected = detect_source(tmp_path, decided)
        assert labels(detected) == [{"cup", "table"}, {"cat", "cup"}]
        assert again(detected) == detected.source
    assert detect_source(tmp_path, Options(slices=("label",))).ingest["slices"] == ["label"]


def test_automl_splits(tmp_path: Path) -> None:
    uses = ("TRAIN", "VALIDATION", "TEST")
    rows = [f"{uses[i % 3]},gs://bucket/{i}.jpg,cup{i % 2}" for i in range(6)]
    source = detect_source(put(numbered(tmp_path, 6), {"import.csv": "\n".join(rows)})).source
    assert [image.split for image in source.images] == ["train", "select", "test"] * 2


def test_names_of_open_images(tmp_path: Path) -> None:
    names = '/m/01,Cup\n/m/02,"Plate, flat"\n'
    rows = "ImageID,Source,LabelName,Confidence\n0.jpg,v,/m/01,1\n0.jpg,v,/m/02,0\n1.jpg,v,/m/02,0.3\n2.jpg,v,/m/02,1\n"
    put(numbered(tmp_path, 3), {"labels.csv": rows, "class-descriptions.csv": names})
    source = detect_source(tmp_path).source
    assert source.classes == ("Cup", "Plate, flat")
    # the 0 says that labels were verified, so nobody has looked for those without a row
    assert [(image.labels, image.ignored) for image in source.images] == [((0,), ()), ((), (0, 1)), ((1,), (0,))]
    assert "labels without a row are neither present nor absent" in source.notes[0]


@pytest.mark.parametrize(("plate", "ignored"), [("1,-1,-1", set()), ("1,0,-1", {"plate"}), ("1,,-1", {"plate"})])
def test_minus_one_is_absent_in_tables_of_1_and_minus_1_alone(tmp_path: Path, plate: str, ignored: set[str]) -> None:
    rows = [f"{i}.jpg,{cup},{cell}" for i, (cup, cell) in enumerate(zip((1, 1, -1), plate.split(","), strict=True))]
    put(numbered(tmp_path, 3), {"labels.csv": "\n".join(["file,cup,plate", *rows])})
    detected = detect_source(tmp_path)
    assert labels(detected) == [{"cup", "plate"}, {"cup"}, set()]
    last = again(detected).images[2]
    assert {detected.source.classes[i] for i in last.ignored} == ignored | ({"cup"} if ignored else set())


def test_hugging_face_tables(tmp_path: Path) -> None:
    rows = "".join(f"{i}.jpg,{'cup' if i % 2 else 'plate'},a photo\n" for i in range(4))
    put(numbered(tmp_path / "a", 4), {"metadata.csv": f"file_name,label,text\n{rows}"})
    assert labels(detect_source(tmp_path / "a")) == [{"plate"}, {"cup"}, {"plate"}, {"cup"}]
    table = {"file_name": [f"{i}.jpg" for i in range(4)], "tags": [["cup"], ["cup", "plate"], [], ["plate"]]}
    pq.write_table(pa.table(table), numbered(tmp_path / "b", 4) / "metadata.parquet")
    assert labels(detect_source(tmp_path / "b")) == [{"cup"}, {"cup", "plate"}, set(), {"plate"}]
    features = {"info": {"features": {"label": {"names": ["plate", "cup"], "_type": "ClassLabel"}}}}
    indexes = pa.table(
        {"file_name": ["0.jpg", "1.jpg"], "label": [1, 0]}, metadata={"huggingface": json.dumps(features)}
    )
    pq.write_table(indexes, numbered(tmp_path / "c", 2) / "metadata.parquet")
    assert labels(detect_source(tmp_path / "c")) == [{"cup"}, {"plate"}]


def test_tables_of_which_one_lacks_the_column_of_labels(tmp_path: Path) -> None:
    train = "\n".join(["file,label,split,camera", *(f"{i}.jpg,cup,,0" for i in range(3))])
    put(numbered(tmp_path), {"train.csv": train, "test.csv": "file,camera\n4.jpg,1\n5.jpg,0\n"})
    with pytest.raises(SadclError, match=r"Only 'train\.csv' has a column of labels, not 'test\.csv'"):
        detect_source(tmp_path)
