"""A ``metadata.jsonl`` as in Hugging Face's image folders: one JSON object per line and photo.

``file_name`` (or ``file``, ``filename``, ``image``) names the photo, relative to the folder in ``ingest.images``. Its
labels are in ``labels`` or ``label`` (a name, a number, or a list of them; one text may hold several labels, which
``ingest.separator`` separates, and an item of a longer list is one label), or in the ``categories``, ``category``,
``labels`` or ``label`` of ``objects`` or ``annotations``; a line without these has them in ``tags``, ``tag``,
``classes`` or ``class``. Numbers are indexes of the class names in ``dataset_info``, in a README.md or
dataset_info.json in the same folder; without class names, numbers are names. ``split`` is optional. Every other text or
number is a slice column. Lists, objects, and columns that the table computes itself (``image_id``, ``width``,
``height`` and so on) are ignored.

The format ``json`` takes the same records from one JSON file: a list of them, as Create ML writes, or an object with a
record, or just labels, for each photo (``{"1.jpg": ["cup"]}``).
"""

import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data.sources import Source, json_table, safe_join
from sadcl.data.sources.json_head import read_head
from sadcl.data.sources.json_table import LABELS, NAMES, OBJECTS, TAGS
from sadcl.data.sources.rows import (
    COMPUTED_COLUMNS,
    Row,
    annotation_files,
    build_source,
    check_columns,
    label_names,
    row_split,
    scalar_text,
    validation_as_test,
)
from sadcl.data.sources.safe_yaml import exists, parse_yaml
from sadcl.data.sources.text import is_valid_text, listed_name, normal_name, read_lines, read_text, short_repr
from sadcl.errors import SadclError

BOXES = ("categories", "category", "labels", "label")
"""Keys of the labels in ``OBJECTS``."""
_NOT_SLICES = frozenset((*NAMES, "split", *LABELS)) | COMPUTED_COLUMNS
_FIX = "Correct the file"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the JSONL files, or JSON files of records, that the settings name.

    Raises:
        SadclError: a file is missing or damaged, or a line is invalid.
    """
    rows: list[Row] = []
    classes: list[str] | None = None
    for split, path, folder in annotation_files(root, settings):
        classes = classes or class_names(path.parent) or class_names(root)
        rows += [_row(record, classes, folder, split, where, settings.separator) for where, record in records(path)]
    return build_source(validation_as_test(rows, settings), root / settings.files("train")[0], classes)


def recognises(path: Path) -> bool:
    """Whether the first line is an object that names a photo."""
    value = read_head(path)
    return isinstance(value, dict) and not set(NAMES).isdisjoint(value)


def records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the position and the fields of each record of a file of either format.

    Raises:
        SadclError: the file is missing or damaged.
    """
    return json_table.records(path) if path.suffix.lower() == ".json" else _lines(path)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, line in read_lines(path, "Check ingest.annotations"):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SadclError(f"The line is not JSON: {error}", where=where, fix=_FIX) from None
        if not isinstance(value, dict):
            raise SadclError("The line is not a JSON object", where=where, fix=_FIX)
        yield where, value


def label_text(value: Any) -> Any:
    """Labels of a record; of a list of one text, which a separator may split, this text."""
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) else value


def _row(record: dict[str, Any], classes: list[str] | None, folder: str, split: str, where: str, separator: str) -> Row:
    name = next((record[key] for key in NAMES if key in record), None)
    if not isinstance(name, str) or not is_valid_text(name):
        raise SadclError(f"{short_repr(name)} names no file", where=where, fix="Give each line a file_name")
    check_columns(record, ("split", "labels", "file"), where)
    labels, used = _labels(record, classes, where, separator)
    columns = {key: scalar_text(value) for key, value in record.items() if key not in _NOT_SLICES and key != used}
    return Row(
        safe_join(folder, listed_name(name), where),
        row_split(record.get("split"), split, where),
        labels,
        slices={key: cell for key, cell in columns.items() if cell and is_valid_text(cell)},
    )


def _labels(
    record: dict[str, Any], classes: list[str] | None, where: str, separator: str
) -> tuple[frozenset[str], str]:
    """Labels of a line, and the key that has them."""
    values = [(key, record[key]) for key in LABELS if key in record]
    values += [(key, value) for key in OBJECTS for value in _of_objects(record.get(key))]
    values = values or [(key, record[key]) for key in TAGS if key in record]
    if len(values) != 1:
        fix = "Give labels, label or objects.categories"
        raise SadclError(f"The line has {'two kinds of' if values else 'no'} labels", where=where, fix=fix)
    key, value = values[0]
    if classes is None:
        return label_names(value if key in OBJECTS else label_text(value), where, separator), key
    items = value if isinstance(value, list) else [value]
    return frozenset().union(*(_class_name(item, classes, where, separator) for item in items)), key


def _of_objects(objects: Any) -> list[Any]:
    """Labels of ``objects``: an object of lists, a list of objects, or a list of names."""
    if isinstance(objects, list) and not any(isinstance(item, dict) for item in objects):
        return [objects]
    if isinstance(objects, list) and all(isinstance(item, dict) for item in objects):
        keys = [key for key in BOXES if any(key in item for item in objects)]
        return [[item.get(key) for item in objects] for key in keys] or [[]]
    return [objects[key] for key in BOXES if key in objects] if isinstance(objects, dict) else []


def _class_name(item: Any, classes: list[str], where: str, separator: str) -> frozenset[str]:
    """The class that a label names, by index or by name."""
    if isinstance(item, int) and not isinstance(item, bool) and 0 <= item < len(classes):
        return frozenset([classes[item]])
    if item in classes:  # its name may contain the separator
        return frozenset([item])
    if isinstance(item, bool | int) or not label_names(item, where, separator) <= set(classes):
        problem = f"{short_repr(item)} is not one of the {len(classes)} classes of dataset_info"
        raise SadclError(problem, where=where, fix="Correct the label or dataset_info")
    return label_names(item, where, separator)


def class_names(folder: Path) -> list[str] | None:
    """Class names of the ClassLabel feature in ``dataset_info``, in order of index; None where it has none."""
    description = _description(folder)
    features = description.get("features") if isinstance(description, dict) else None
    if isinstance(features, list):
        features = {str(item["name"]): item for item in features if isinstance(item, dict) and "name" in item}
    if not isinstance(features, dict):
        return None
    for key in (*LABELS, "objects", *TAGS):
        classes = _names_in(features.get(key))
        if classes and (len(set(classes)) != len(classes) or not all(is_valid_text(name) for name in classes)):
            raise SadclError("Two classes of dataset_info share a name, or one has none", where=folder, fix=_FIX)
        if classes:
            return classes
    return None


def _description(folder: Path) -> Any:
    if exists(folder / "dataset_info.json"):
        return files.read_json(folder / "dataset_info.json", fix=_FIX)
    readme = folder / "README.md"
    if not exists(readme):
        return None
    with files.json_errors(readme, _FIX):
        start = readme.read_bytes().removeprefix(BOM_UTF8).split(b"\n---")[0]
    if not start.startswith(b"---") or b"dataset_info" not in start:  # a text for people, in any encoding
        return None
    head = read_text(readme, _FIX).split("\n---")[0]
    value = parse_yaml(head.removeprefix("---"), readme, _FIX, as_text=True)
    return value.get("dataset_info") if isinstance(value, dict) else None


def _names_in(feature: Any) -> list[str] | None:
    """The first ``names`` below a feature: a list, or an object with the indexes as keys."""
    stack = [feature]
    while stack:  # versions of the library nest the feature in different ways
        value = stack.pop()
        entries = value.get("names") if isinstance(value, dict) else None
        if isinstance(entries, dict) and {str(key) for key in entries} == {str(i) for i in range(len(entries))}:
            entries = [name for _, name in sorted(entries.items(), key=lambda item: int(item[0]))]
        if isinstance(entries, list) and entries:
            return [normal_name(scalar_text(name) or "") for name in entries]
        stack += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return None
