"""Photos with a ``metadata.jsonl`` as Hugging Face's image folders have it: one JSON object a line.

``file_name`` names the photo, relative to the folder in ``ingest.images``. Its labels are ``labels`` or ``label`` (a
name, a number, or a list of them) or ``objects.categories``; numbers are indexes of the class names that the
``dataset_info`` of a README.md or a dataset_info.json beside it gives, and where nobody gives any they are names
themselves. ``split`` is optional; every other word or number is a slice column. Lists and objects are left out, and so
is what the table finds out itself (``image_id``, ``width``, ``height`` and the like).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data.sources import Source, inside
from sadcl.data.sources.rows import (
    BETTER,
    Row,
    annotation_files,
    check_columns,
    given_split,
    held_out,
    names,
    source,
    words,
)
from sadcl.data.sources.safe_yaml import there, yaml
from sadcl.data.sources.text import is_text, lines, shown, text
from sadcl.errors import SadclError

LABELS = ("labels", "label")
BOXES = ("categories", "category")
"""Names under ``objects``."""
_NO_SLICES = frozenset(("file_name", "split", *LABELS)) | BETTER
_FIX = "Mend the file"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the JSONL files that the settings name.

    Raises:
        SadclError: a file is missing or damaged, or a line is wrong.
    """
    rows: list[Row] = []
    classes: list[str] | None = None
    for split, path, folder in annotation_files(root, settings):
        classes = classes or _class_names(path.parent) or _class_names(root)
        rows += [_row(record, classes, folder, split, where) for where, record in _lines(path)]
    return source(held_out(rows, settings), root / settings.annotations["train"], classes)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, line in lines(path, "Check ingest.annotations"):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SadclError(f"The line is not JSON: {error}", where=where, fix=_FIX) from None
        if not isinstance(value, dict):
            raise SadclError("The line is no JSON object", where=where, fix=_FIX)
        yield where, value


def _row(record: dict[str, Any], classes: list[str] | None, folder: str, split: str, where: str) -> Row:
    name = record.get("file_name")
    if not isinstance(name, str) or not is_text(name):
        raise SadclError(f"{shown(name)} names no file", where=where, fix="Give each line its file_name")
    check_columns(record, ("split", "labels"), where)
    others = {key: words(value) for key, value in record.items() if key not in _NO_SLICES}
    return Row(
        inside(folder, name, where),
        given_split(record.get("split"), split, where),
        _labels(record, classes, where),
        slices={key: cell for key, cell in others.items() if cell and is_text(cell)},
    )


def _labels(record: dict[str, Any], classes: list[str] | None, where: str) -> frozenset[str]:
    objects = record.get("objects")
    values = [record[key] for key in LABELS if key in record]
    values += [objects[key] for key in BOXES if key in objects] if isinstance(objects, dict) else []
    if len(values) != 1:
        fix = "Give labels, label or objects.categories"
        raise SadclError(f"The line has {'two kinds of' if values else 'no'} labels", where=where, fix=fix)
    if classes is None:
        return names(values[0], where)
    items = values[0] if isinstance(values[0], list) else [values[0]]
    return frozenset().union(*(_named(item, classes, where) for item in items))


def _named(item: Any, classes: list[str], where: str) -> frozenset[str]:
    """A label that is an index or a name of the class list."""
    if isinstance(item, int) and not isinstance(item, bool) and 0 <= item < len(classes):
        return frozenset([classes[item]])
    if isinstance(item, bool | int) or not names(item, where) <= set(classes):
        what = f"{shown(item)} is no class of dataset_info, which has {len(classes)}"
        raise SadclError(what, where=where, fix="Mend one of them")
    return names(item, where)


def _class_names(folder: Path) -> list[str] | None:
    """Names of the ClassLabel feature that a data set's description gives, in order of index."""
    about = _description(folder)
    features = about.get("features") if isinstance(about, dict) else None
    if isinstance(features, list):
        features = {str(item["name"]): item for item in features if isinstance(item, dict) and "name" in item}
    if not isinstance(features, dict):
        return None
    for key in (*LABELS, "objects"):
        found = _names_in(features.get(key))
        if found and (len(set(found)) != len(found) or not all(is_text(name) for name in found)):
            raise SadclError("dataset_info does not give each class a name of its own", where=folder, fix=_FIX)
        if found:
            return found
    return None


def _description(folder: Path) -> Any:
    if there(folder / "dataset_info.json"):
        return files.read_json(folder / "dataset_info.json", fix=_FIX)
    if not there(folder / "README.md"):
        return None
    head = text(folder / "README.md", _FIX).split("\n---")[0]
    value = yaml(head.removeprefix("---"), folder / "README.md", _FIX) if head.startswith("---") else None
    return value.get("dataset_info") if isinstance(value, dict) else None


def _names_in(feature: Any) -> list[str] | None:
    """The first ``names`` in a feature, a list or an object by index; features are nested in more than one way."""
    waiting = [feature]
    while waiting:
        value = waiting.pop()
        given = value.get("names") if isinstance(value, dict) else None
        if isinstance(given, dict) and {str(key) for key in given} == {str(i) for i in range(len(given))}:
            given = [name for _, name in sorted(given.items(), key=lambda item: int(item[0]))]
        if isinstance(given, list) and given:
            return [words(name) or "" for name in given]
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return None
