"""VGG Image Annotator (VIA 1 and 2): annotations or a project as JSON, or annotations as CSV.

The labels are the values of one attribute of regions and photos: the one called ``class``, ``label``, ``name``,
``type``, ``category`` or ``tag`` or the like, else the only one. Of checkboxes, each option that is set is a label, and
options that nobody set are classes too. Attributes of a photo that VIA adds itself (``caption``, ``public_domain``,
``image_url``) are ignored. Other attributes are ignored, and a note names them.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data.sources import Source, csv_table
from sadcl.data.sources.cells import NoFlagError, flag
from sadcl.data.sources.exports import photo_folders, photo_path
from sadcl.data.sources.json_head import first_object, read_head
from sadcl.data.sources.rows import Row, annotation_files, build_source, label_names, scalar_text
from sadcl.data.sources.text import short_repr
from sadcl.errors import SadclError

USUAL = frozenset(
    name + ending
    for name in ("class", "label", "name", "type", "category", "tag", "object")
    for ending in ("", "s", "es")
) | {"categories"}
"""Usual names of the attribute with the label."""
_ADDED = frozenset(("caption", "public_domain", "image_url"))
_FIX = "Export the annotations again from VIA"

Attributes = list[dict[str, Any]]
"""Attributes of a photo, and those of each of its regions."""


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the exports that the settings name.

    Raises:
        SadclError: a file is missing or damaged, or it is unknown which attribute is the label.
    """
    photos: list[tuple[str, str, Attributes, str]] = []
    for split, path, folder in annotation_files(root, settings):
        folders, merged = photo_folders(root, path, folder), dict[str, tuple[str, Attributes]]()
        for where, name, attributes in _photos(path):
            merged.setdefault(photo_path(root, name, folders, where), (where, []))[1].extend(attributes)
        photos += [(file, split, attributes, where) for file, (where, attributes) in merged.items()]
    first = root / settings.files("train")[0]
    names = dict.fromkeys(name for *_, parts, _ in photos for part in parts for name, value in part.items() if value)
    label, others = _label(list(names), first)
    classes: set[str] = set()
    rows = []
    for file, split, parts, place in photos:
        present, options = _values([part.get(label) for part in parts], place)
        classes |= options
        rows.append(Row(file, split, present))
    notes = [f"Attributes that are no labels: {', '.join(map(short_repr, others))}"] if others else []
    return replace(build_source(rows, first, sorted(classes)), notes=notes)


def recognises(path: Path) -> bool:
    """Whether a file has photos with regions, or the columns of VIA's CSV."""
    if path.suffix.lower() == ".csv":
        try:
            return {"filename", "region_attributes"} <= set(csv_table.open_rows(path)[0])
        except SadclError:
            return False
    value = read_head(path)
    if not isinstance(value, dict):
        return False
    return "_via_img_metadata" in value or {"filename", "regions"} <= set(first_object(value))


def _photos(path: Path) -> Iterator[tuple[str, str, Attributes]]:
    """Position, name and attributes of each photo, or of each region in a CSV file."""
    if path.suffix.lower() == ".csv":
        for where, record in csv_table.open_rows(path)[1]:
            cells = [_parsed(record.get(key) or "{}", where) for key in ("file_attributes", "region_attributes")]
            yield where, str(record.get("filename", "")), cells
        return
    value = files.read_json(path, _FIX)
    value = value.get("_via_img_metadata", value) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        raise SadclError("The file is no object with photos", where=path, fix=_FIX)
    for number, photo in enumerate(value.values(), start=1):
        where = f"{path}, photo {number}"
        if not isinstance(photo, dict) or not isinstance(photo.get("filename"), str):
            raise SadclError("The photo has no filename", where=where, fix=_FIX)
        regions = photo.get("regions") or []
        regions = list(regions.values()) if isinstance(regions, dict) else regions  # as VIA 1 writes them
        if not isinstance(regions, list) or not all(isinstance(region, dict) for region in regions):
            raise SadclError("The regions are not a list of objects", where=where, fix=_FIX)
        parts = [photo.get("file_attributes"), *(region.get("region_attributes") for region in regions)]
        yield where, photo["filename"], [_checked({} if part is None else part, where) for part in parts]


def _parsed(cell: str, where: str) -> dict[str, Any]:
    try:
        return _checked(json.loads(cell), where)
    except (ValueError, RecursionError) as error:
        raise SadclError(f"The attributes are not JSON: {error}", where=where, fix=_FIX) from None


def _checked(value: Any, where: str) -> dict[str, Any]:
    """The attributes that a person defined."""
    if not isinstance(value, dict):
        raise SadclError(f"The attributes are {short_repr(value)}, which is not an object", where=where, fix=_FIX)
    return {name: inner for name, inner in value.items() if name not in _ADDED}


def _label(names: list[str], where: Path) -> tuple[str, list[str]]:
    """The attribute with the label, and the others.

    Raises:
        SadclError: there is none, or several may be it.
    """
    usual = [name for name in names if name.strip().lower() in USUAL]
    candidates = usual or names
    if len(candidates) != 1:
        listed = ", ".join(map(short_repr, candidates[:5])) or "none"
        problem = f"It is unknown which attribute is the label: {listed}"
        raise SadclError(problem, where=where, fix="Remove the others in VIA, or call the one with the label `label`")
    return candidates[0], [name for name in names if name != candidates[0]]


def _values(values: list[Any], where: str) -> tuple[frozenset[str], frozenset[str]]:
    """Labels that are set, and all that are mentioned: those and the options of checkboxes that are not set."""
    present: set[str] = set()
    options: set[str] = set()
    for value in values:
        if isinstance(value, dict):
            names = {name: label_names([name], where) for name in value}
            options = options.union(*names.values())
            present = present.union(*(names[name] for name, is_set in value.items() if _is_set(is_set, where)))
        elif value is not None:
            present |= label_names([value], where)
    return frozenset(present), frozenset(options | present)


def _is_set(value: Any, where: str) -> bool:
    """Whether an option of checkboxes is set, as a truth value or the text of one."""
    try:
        return flag("?" if (text := scalar_text(value)) is None else text) is True
    except NoFlagError:
        raise SadclError(f"A checkbox has the value {short_repr(value)}", where=where, fix=_FIX) from None
