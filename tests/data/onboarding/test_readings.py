"""Readings of people's own labels by `sadcl data add`: values that changed form, several files, and what is asked."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sadcl import params
from sadcl.data import sources
from sadcl.data.onboarding import trees
from sadcl.data.onboarding.candidates import scan
from sadcl.data.onboarding.detect import DetectedSource, detect_source
from sadcl.data.onboarding.listing import visible, visible_folders
from sadcl.data.onboarding.questions import Options, Question, first
from sadcl.errors import SadclError
from tests.data.onboarding.folders import half_labelled, labels_column, numbered, photos, put

LABELS = (("scab",), ("scab", "spot"), ("rust", "spot"), ("rust",))
"""Labels of the photos 0.jpg, 1.jpg, ..., repeated."""


def labels(detected: DetectedSource) -> list[set[str]]:
    """Labels of each photo, in the order of the files' names."""
    images = sorted(detected.source.images, key=lambda image: int(Path(image.file).stem))
    return [{detected.source.classes[i] for i in image.labels} for image in images]


def again(detected: DetectedSource) -> sources.Source:
    """The source as `ingest` reads it by the settings of the recipe."""
    return sources.read_source(detected.root, params.Ingest.model_validate({"source": "own", **detected.ingest}))


def asked(source: Path, **decided: Any) -> list[Question]:
    """Questions about a source, each answered by the first choice."""
    questions: list[Question] = []

    def ask(question: Question) -> str:
        questions.append(question)
        return first(question)

    detect_source(source, Options(ask=ask, **decided))
    return questions


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


def test_ids_that_pandas_made_floats(tmp_path: Path) -> None:
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


def test_a_column_of_labels_without_a_usual_name_is_asked(tmp_path: Path) -> None:
    rows = [f"{i}.jpg,{'beagle' if i % 2 else 'pug'},{'a' if i % 3 else 'b'},{i}" for i in range(6)]
    put(numbered(tmp_path, 6), {"labels.csv": "\n".join(["Bild,Rasse,Ort,Nr", *rows])})
    with pytest.raises(SadclError, match=r"usual name of labels.*'Rasse', such as 'pug', 'beagle'.*--labels Rasse"):
        detect_source(tmp_path)
    detected = detect_source(tmp_path, Options(labels="Rasse"))
    assert labels(detected) == [{"beagle" if i % 2 else "pug"} for i in range(6)]
    assert again(detected) == detected.source
    with pytest.raises(SadclError, match=r"no column 'Breed'.*--labels takes one of Bild, Rasse"):
        detect_source(tmp_path, Options("csv", labels="Breed"))


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


def test_jobs_with_photos_of_equal_names_are_one_source(tmp_path: Path) -> None:
    for job, name in (("task_0", "cup"), ("task_1", "plate")):
        coco = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1, "category_id": 1}],
                "categories": [{"id": 1, "name": name}]}  # fmt: skip
        put(photos(tmp_path, [f"{job}/images/1.jpg"]), {f"{job}/annotations/instances_default.json": json.dumps(coco)})
    detected = detect_source(tmp_path)
    shown = {image.file: {detected.source.classes[i] for i in image.labels} for image in again(detected).images}
    assert shown == {"task_0/images/1.jpg": {"cup"}, "task_1/images/1.jpg": {"plate"}}


def test_annotations_that_no_format_reads_are_named(tmp_path: Path) -> None:
    put(photos(tmp_path, ["ds/img/1.jpg", "ds/img/2.jpg"]), {"ds/ann/1.jpg.json": '{"objects": []}', "meta.json": "{}"})
    with pytest.raises(SadclError, match=r"no format of annotations fits meta.json, ds/ann/1.jpg.json"):
        detect_source(tmp_path)


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


def test_an_export_one_level_too_high(tmp_path: Path) -> None:
    for split, first_number in (("train", 0), ("valid", 6), ("test", 8)):
        names = [f"{first_number + i}.jpg" for i in range(6 if split == "train" else 2)]
        folder = photos(tmp_path / f"Downloads/kitchen.v1i.multiclass/{split}", names)
        put(
            folder,
            {"_classes.csv": "\n".join(["filename, Cup, Plate", *(f"{n}, {i % 2}, 1" for i, n in enumerate(names))])},
        )
    detected = detect_source(tmp_path)
    assert detected.source.classes == ("Cup", "Plate")
    assert [image.split for image in detected.source.images] == ["train"] * 6 + ["select"] * 2 + ["test"] * 2
    put(tmp_path, {"Downloads/kitchen.v1i.multiclass/README.roboflow.txt": "Exported 1.jpg and others"})
    assert detect_source(tmp_path).ingest == detected.ingest


def test_several_exports_together(tmp_path: Path) -> None:
    for task in (1, 2):
        folder = photos(tmp_path / f"task_{task}", [f"{task}{i}.jpg" for i in range(3)])
        put(folder, {"labels.csv": "file,labels\n" + "".join(f"{task}{i}.jpg,class {i % 2}\n" for i in range(3))})
    detected = detect_source(tmp_path)
    assert detected.ingest["annotations"] == {"train": ["task_1/labels.csv", "task_2/labels.csv"]}
    assert [image.file for image in again(detected).images][2:4] == ["task_1/12.jpg", "task_2/20.jpg"]


def test_lists_of_different_kinds_are_asked(tmp_path: Path) -> None:
    rows = "file,labels\n" + "".join(f"{i}.jpg,cup\n" for i in range(4))
    put(numbered(tmp_path, 4), {"labels.csv": rows, "old.csv": rows.replace("cup", "plate")})
    with pytest.raises(SadclError, match=r"more than one file of labels: labels.csv, old.csv.*as PATH"):
        detect_source(tmp_path)
    assert detect_source(tmp_path / "old.csv").source.classes == ("plate",)
    assert detect_source(tmp_path, Options(ask=first)).source.classes == ("cup",)


def test_the_only_list_whose_photos_are_there_is_read(tmp_path: Path) -> None:
    rows = "image,labels\n" + "".join(f"{i}.jpg,cup\n" for i in range(4))
    put(numbered(tmp_path, 4), {"train.csv": rows, "sample_submission.csv": "image,labels\nx.jpg,cup\n"})
    detected = detect_source(tmp_path)
    assert detected.ingest["annotations"] == {"train": "train.csv"}
    assert "1 of 1 photos are missing" in detected.notes[-1]


def test_a_doubtful_list_is_not_passed_over(tmp_path: Path) -> None:
    labels_column(tmp_path, ("red apple", "green apple", "red car", "green car"))
    put(tmp_path, {"old.csv": "file,labels\n0.jpg,fruit\n1.jpg,car\n"})
    with pytest.raises(SadclError, match="one label or several"):
        detect_source(tmp_path)


def test_lists_of_the_same_photos_are_refused(tmp_path: Path) -> None:
    rows = "file,labels\n0.jpg,cup\n1.jpg,plate\n"
    put(numbered(tmp_path, 2), {"labels.csv": rows, "labels (1).csv": rows})
    with pytest.raises(SadclError, match=r"the lists are labels \(1\).csv, labels.csv.*Name one list as PATH"):
        detect_source(tmp_path)


def test_a_damaged_table_is_named_and_no_tree_is_read(tmp_path: Path) -> None:
    put(photos(tmp_path, ("cat/0.jpg", "dog/1.jpg")), {"labels.csv": "file,labels\n0.jpg,cup,plate\n"})
    with pytest.raises(SadclError, match=r"3 fields and the header 2.*labels.csv, line 2"):
        detect_source(tmp_path)
    (tmp_path / "labels.csv").rename(tmp_path / "labels.xlsx")
    with pytest.raises(SadclError, match=r"Save the sheet labels\.xlsx as CSV"):
        detect_source(tmp_path)


def test_two_formats_that_differ_are_asked(tmp_path: Path) -> None:
    lines = "".join(f'{{"file_name": "{i}.jpg", "labels": ["cup"]}}\n' for i in range(4))
    put(
        numbered(tmp_path, 4),
        {"metadata.jsonl": lines, "labels.csv": "file,labels\n" + "".join(f"{i}.jpg,cup\n" for i in range(4))},
    )
    detected = detect_source(tmp_path)
    assert (detected.ingest["format"], detected.notes[-1]) == ("csv", "metadata.jsonl (JSON lines) says the same")
    put(tmp_path, {"metadata.jsonl": lines.replace("cup", "plate")})
    with pytest.raises(SadclError, match=r"with other labels or photos.*--format csv or --format jsonl"):
        detect_source(tmp_path)
    assert detect_source(tmp_path, Options("jsonl")).source.classes == ("plate",)
    put(tmp_path, {"labels.csv": "file,labels\n0.jpg,cup\nnowhere.jpg,cup\n"})
    with pytest.raises(SadclError, match=r"can't be read.*--format jsonl"):
        detect_source(tmp_path)


TREES = {
    "a list nobody reads": ({"list.xml": "<a><b>0.jpg</b></a>", "cat/0.jpg": "", "dog/1.jpg": ""}, "list.xml"),
    "a file per photo": ({"cat/0.jpg": "", "cat/0.txt": "0 .5 .5 .1 .1", "dog/1.jpg": ""}, "cat/0.txt"),
    "darknet": ({"obj.data": "train = data/train.txt", "obj_train_data/0.jpg": ""}, "obj.data"),
    "storage": ({"images/0.jpg": "", "upload/1.jpg": ""}, "'images', 'upload' look like names of folders"),
    "one of them storage": ({"cat/0.jpg": "", "JPEGImages/1.jpg": ""}, "'JPEGImages' looks like"),
    "a camera": ({"DCIM/100APPLE/0.jpg": "", "DCIM/101APPLE/1.jpg": ""}, "100APPLE"),
    "dates": ({"2021-05-01/0.jpg": "", "2022/1.jpg": ""}, "2021-05-01"),
    "splits inside": ({"birds/train/0.jpg": "", "cats/train/1.jpg": ""}, "'train'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TREES)
def test_a_tree_that_stores_photos_has_no_labels(tmp_path: Path, kind: str) -> None:
    files, words = TREES[kind]
    put(tmp_path, files)
    with pytest.raises(SadclError, match=words) as caught:
        detect_source(tmp_path)
    assert "--format folder" in str(caught.value)
    assert detect_source(tmp_path, Options("folder")).ingest["format"] == "folder"


def test_a_tree_with_notes_and_a_class_list_is_one(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "cat/0.jpg": "",
            "dog/1.jpg": "",
            "README.txt": "0.jpg is mine",
            "labels.txt": "0 cat\n1 dog\n",
            "0/2.jpg": "",
        },
    )
    assert detect_source(tmp_path).source.classes == ("0", "cat", "dog")


def test_a_folder_around_a_tree_is_no_label(tmp_path: Path) -> None:
    put(tmp_path / "a", {"flowers/daisy/0.jpg": "", "flowers/rose/1.jpg": ""})
    assert detect_source(tmp_path / "a").source.classes == ("daisy", "rose")
    put(tmp_path / "b", {"flowers/train/daisy/0.jpg": "", "flowers/valid/daisy/1.jpg": ""})
    assert detect_source(tmp_path / "b").ingest["images"] == {"train": "flowers/train", "test": "flowers/valid"}


@pytest.mark.parametrize(("meaning", "kept"), [("negative", True), ("unknown", "unknown"), ("drop", False)])
def test_half_finished_labelling_is_asked(tmp_path: Path, meaning: Any, kept: object) -> None:
    half_labelled(tmp_path)
    with pytest.raises(
        SadclError, match=r"6 of 12 photos have no label, all at the end.*--unlabelled unknown, drop or negative"
    ):
        detect_source(tmp_path)
    assert detect_source(tmp_path, Options(unlabelled=meaning)).ingest["keep_unlabelled"] == kept


def test_blank_labels_between_others_are_negatives(tmp_path: Path) -> None:
    cells = [("cup", "plate", "")[i % 3] for i in range(12)]
    assert "keep_unlabelled" not in detect_source(labels_column(tmp_path, cells)).ingest


def test_an_archive_has_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "export.zip").write_bytes(b"PK")
    with pytest.raises(SadclError, match=r"This is an archive .*export\.zip.* Unpack it"):
        detect_source(tmp_path / "export.zip")


def test_entries_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    photos(tmp_path, ["cup/1.jpg", "plate/2.jpg"])
    (tmp_path / "broken").symlink_to("x" * 300)  # longer than file systems allow
    assert trees.settings(tmp_path, scan(tmp_path), insist=True)["images"] == {"train": "."}
    assert visible_folders(tmp_path) == [tmp_path / "cup", tmp_path / "plate"]
    assert visible(tmp_path / "cup/1.jpg") == []  # as a folder without permission


@pytest.mark.parametrize("empty", [("test",), ("val", "test")])
def test_an_empty_folder_is_no_split(tmp_path: Path, empty: Sequence[str]) -> None:
    tree = photos(
        tmp_path / "tree", [f"{split}/{name}/1.jpg" for split in ("train", "val") for name in ("cup", "bowl")]
    )
    yolo = photos(tmp_path / "yolo", ["train/images/1.jpg", "val/images/2.jpg"])
    put(yolo, {f"{split}/labels/{i}.txt": "0 .5 .5 1 1" for split, i in (("train", 1), ("val", 2))})
    put(yolo, {"data.yaml": "train: train/images\nval: val/images\ntest: test/images\nnames: [cup]\n"})
    for name in empty:
        for folder in (tree / name, yolo / name / "images"):
            for path in sorted(folder.rglob("*.jpg")):
                path.unlink()
            folder.mkdir(parents=True, exist_ok=True)
    expected = {"train", "test"} if len(empty) == 1 else {""}
    assert {image.split for image in detect_source(tree).source.images} == expected
    assert {image.split for image in detect_source(yolo).source.images} == expected
    assert set(detect_source(tree).ingest["images"].values()) == {"train", "val"} - {*empty}


def test_a_yolo_description_may_list_its_classes_elsewhere(tmp_path: Path) -> None:
    put(photos(tmp_path, ["images/1.jpg"]), {"labels/1.txt": "1 .5 .5 1 1", "classes.txt": "cup\nbowl\n"})
    put(tmp_path, {"data.yaml": "train: images\nnc: 2\n"})
    detected = detect_source(tmp_path)
    assert (detected.ingest["format"], labels(detected)) == ("yolo", [{"bowl"}])


VECTORS = ([0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0])


def vectors(root: Path, form: str, rows: Sequence[Sequence[float]]) -> Path:
    numbered(root, len(rows))
    if form == "Parquet":
        table = pa.table({"file": [f"{i}.jpg" for i in range(len(rows))], "labels": list(map(list, rows))})
        pq.write_table(table, root / "labels.parquet")
        return root
    lines = {
        "JSON lines": [json.dumps({"file_name": f"{i}.jpg", "labels": row}) for i, row in enumerate(rows)],
        "CSV": ["file,labels", *(f'{i}.jpg,"{row}"' for i, row in enumerate(rows))],
        "numpy": ["file,labels", *(f"{i}.jpg,[{' '.join(map(str, row))}]" for i, row in enumerate(rows))],
        "array": ["file,labels", *(f'{i}.jpg,"array({list(map(bool, row))})"' for i, row in enumerate(rows))],
        "no header": [",".join(map(str, (f"{i}.jpg", *row))) for i, row in enumerate(rows)],
    }[form]
    return put(root, {"labels.jsonl" if form == "JSON lines" else "labels.csv": "\n".join(lines)})


def test_arrays_of_truth_values_are_no_names(tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="vectors of 3 numbers without names of classes"):
        detect_source(vectors(tmp_path, "array", VECTORS))


@pytest.mark.parametrize("form", ["JSON lines", "CSV", "numpy", "no header", "Parquet"])
def test_vectors_are_no_names(tmp_path: Path, form: str) -> None:
    with pytest.raises(SadclError, match="vectors of 3 numbers without names of classes"):
        detect_source(vectors(tmp_path / "flags", form, VECTORS))
    with pytest.raises(SadclError, match="vectors of 2 numbers without names of classes"):
        detect_source(vectors(tmp_path / "scores", form, ([0.9, 0.1], [0.2, 0.8])))
    ids = detect_source(vectors(tmp_path / "ids", form, ([0, 1], [1, 2], [2], [0])))
    assert ids.source.classes == ("0", "1", "2")
