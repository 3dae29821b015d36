"""Datumaro JSON, as CVAT exports it: ``annotations/SUBSET.json``, one file per subset.

Each annotation with a ``label_id`` gives a label: tags, boxes, polygons, masks and others. The classes are those of
``categories``, matched by name where subsets list them differently; parts of a skeleton are left out. The name of a
file is its subset, and the split of its photos if it is train, val, test or the like. The photos are in
``images/SUBSET`` next to ``annotations``, or below ``ingest.images``.
"""

from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data.sources import Source
from sadcl.data.sources.exports import Part, combined, photo_folders, photo_path, split_named
from sadcl.data.sources.json_head import first_object, read_head
from sadcl.data.sources.rows import Row, annotation_files
from sadcl.data.sources.text import is_valid_text, short_repr
from sadcl.errors import SadclError

_FIX = "Export it again as Datumaro 1.0"
_KEYS = frozenset(
    (
        "categories",
        "label",
        "labels",
        "name",
        "parent",
        "items",
        "id",
        "annotations",
        "label_id",
        "image",
        "media",
        "path",
    )
)


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the exports that the settings name.

    Raises:
        SadclError: a file is missing or damaged, or a label has an unknown class.
    """
    parts: list[Part] = []
    for split, path, folder in annotation_files(root, settings):
        export = files.read_json(path, _FIX, object_hook=_without_unused_keys)
        names, main = _classes(export, path)
        rows: list[Row] = []
        folders = photo_folders(root, path, folder, (f"images/{path.stem}", "images"))
        for number, item in enumerate(_items(export, path), start=1):
            where = f"{path}, item {number}"
            file = photo_path(root, _name(item, where), folders, where)
            rows.append(Row(file, split or split_named(path.stem, ""), _labels(item, names, where)))
        parts.append((main, rows))
    return combined(parts, settings, root / settings.files("train")[0])


def recognises(path: Path) -> bool:
    """Whether a JSON file has items and categories as Datumaro writes them."""
    value = read_head(path)
    if not isinstance(value, dict):
        return False
    categories, item = value.get("categories"), first_object(value.get("items"))
    return (isinstance(categories, dict) and "label" in categories) or {"id", "annotations"} <= set(item)


def _without_unused_keys(item: dict[str, Any]) -> dict[str, Any]:
    return {key: item[key] for key in _KEYS & item.keys()}


def _classes(export: Any, path: Path) -> tuple[list[str], list[str]]:
    """Names by ``label_id``, and those that are not parts of another."""
    labels = export["categories"] if isinstance(export, dict) and "categories" in export else None
    for key in ("label", "labels"):
        labels = labels.get(key) if isinstance(labels, dict) else None
    if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
        raise SadclError("The file has no list categories.label.labels", where=path, fix=_FIX)
    names = [label.get("name") for label in labels]
    bad = [name for name in names if not isinstance(name, str) or not is_valid_text(name)]
    if bad:
        raise SadclError(f"{short_repr(bad[0])} is not the name of a class", where=path, fix=_FIX)
    plain = [str(name).strip() for name in names]
    return plain, [name for name, label in zip(plain, labels, strict=True) if not label.get("parent")]


def _items(export: Any, path: Path) -> list[Any]:
    items = export.get("items")
    if not isinstance(items, list):
        raise SadclError("The file has no list of items", where=path, fix=_FIX)
    return items


def _name(item: Any, where: str) -> str:
    """Name of an item's photo, else its id, which is the name without a suffix."""
    media = next((item[key] for key in ("image", "media") if key in item), None) if isinstance(item, dict) else None
    name = media.get("path") if isinstance(media, dict) else None
    name = name or (item.get("id") if isinstance(item, dict) else None)
    if not isinstance(name, str) or not is_valid_text(name):
        raise SadclError(f"{short_repr(name)} names no photo", where=where, fix=_FIX)
    return name


def _labels(item: dict[str, Any], names: list[str], where: str) -> frozenset[str]:
    annotations = item.get("annotations", [])
    if not isinstance(annotations, list) or not all(isinstance(annotation, dict) for annotation in annotations):
        raise SadclError("The annotations are not a list of objects", where=where, fix=_FIX)
    ids = [annotation["label_id"] for annotation in annotations if annotation.get("label_id") is not None]
    for number in ids:
        if type(number) is not int or not 0 <= number < len(names):
            problem = f"The label_id {short_repr(number)} is not the index of one of the {len(names)} classes"
            raise SadclError(problem, where=where, fix=_FIX)
    return frozenset(names[number] for number in ids)
