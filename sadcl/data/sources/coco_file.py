"""One file of COCO instances, with normalised ids and checked references.

Other keys than those that count, such as outlines, are dropped while the file is parsed, to save memory.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sadcl import files
from sadcl.data.sources.text import is_valid_text, normal_name, short_repr
from sadcl.errors import SadclError

_FIX = "Correct the annotation file"
_LISTS = ("images", "annotations", "categories")
_KEYS = frozenset(
    (*_LISTS, "id", "file_name", "coco_url", "image_id", "category_id", "name", "supercategory", "neg_category_ids",
     "segments_info")
)  # fmt: skip


@dataclass(slots=True)
class CocoImage:
    """An image as its file describes it.

    Attributes:
        image_id: as text.
        name: of the photo, as written.
        labels: names of the annotated categories.
        absent: names of the categories that are known to be absent; None if those are all others.
    """

    image_id: str
    name: str
    labels: set[str] = field(default_factory=set)
    absent: frozenset[str] | None = None


@dataclass(frozen=True)
class CocoFile:
    """Contents of a file.

    Attributes:
        path: the file.
        categories: name and supercategory of each category, by id.
        images: in the order of the file.
        used: names of the categories that an annotation or an image refers to.
    """

    path: Path
    categories: dict[int, tuple[str, str]]
    images: list[CocoImage]
    used: set[str]


def read_file(path: Path) -> CocoFile:
    """Read a file.

    Raises:
        SadclError: it is missing or damaged, an id occurs twice, or an annotation refers to an unknown id.
    """
    value = _read_json(path)
    items = list(_items(value["categories"], "Category", path))
    ids = [_number(item.value.get("id"), item, "has the id", path) for item in items]
    _reject_repeats(ids, "Two categories have the id", path)
    categories = {
        number: (
            normal_name(_text(item, "name", path).strip()),
            normal_name(str(item.value.get("supercategory") or "").strip()[:1000]),
        )
        for number, item in zip(ids, items, strict=True)
    }
    if not categories:
        raise SadclError("The file has no categories", where=path, fix=_FIX)
    listed = list(_images(value["images"], categories, path))
    _reject_repeats((image.image_id for image in listed), "Two images have the id", path)
    images = {image.image_id: image for image in listed}
    for item in _items(value["annotations"], "Annotation", path):
        image = _image_id(item.value.get("image_id"), item, path)
        if image not in images:
            raise SadclError(f"{item} is for the unknown image {image[:80]}", where=path, fix=_FIX)
        images[image].labels.update(categories[number][0] for number in _category_ids(item, categories, path))
    used = {name for image in listed for name in (*image.labels, *(image.absent or ()))}
    return CocoFile(path, categories, listed, used)


def _images(values: list[Any], categories: dict[int, tuple[str, str]], path: Path) -> Iterator[CocoImage]:
    for item in _items(values, "Image", path):
        key = "coco_url" if "file_name" not in item.value and "coco_url" in item.value else "file_name"
        image = CocoImage(_image_id(item.value.get("id"), item, path), _text(item, key, path))
        absent = item.value.get("neg_category_ids")
        if isinstance(absent, list):
            numbers = (_known(number, item, categories, path) for number in absent)
            image.absent = frozenset(categories[number][0] for number in numbers)
        yield image


def _category_ids(item: "_Item", categories: dict[int, tuple[str, str]], path: Path) -> list[int]:
    """Categories of an annotation, or those of its segments in a panoptic file."""
    segments = item.value.get("segments_info")
    if isinstance(segments, list) and "category_id" not in item.value:
        values = [segment.get("category_id") if isinstance(segment, dict) else None for segment in segments]
    else:
        values = [item.value.get("category_id")]
    return [_known(value, item, categories, path) for value in values]


def _known(value: Any, item: "_Item", categories: dict[int, tuple[str, str]], path: Path) -> int:
    number = _number(value, item, "has the category", path)
    if number not in categories:
        raise SadclError(f"{item} is for the unknown category {number}", where=path, fix=_FIX)
    return number


def _read_json(path: Path) -> dict[str, Any]:
    fix = "Check ingest.annotations, or download the file again; it may be truncated"
    value = files.read_json(path, fix, object_hook=lambda item: {key: item[key] for key in _KEYS & item.keys()})
    if not isinstance(value, dict):
        raise SadclError("The file is not COCO instances JSON: it is not an object", where=path, fix=_FIX)
    for key in _LISTS:
        if not isinstance(value.get(key), list):
            raise SadclError(f"The file is not COCO instances JSON: it has no list {key!r}", where=path, fix=_FIX)
    return value


class _Item:
    """An object in one of the file's lists; ``str`` identifies it in error messages."""

    __slots__ = ("kind", "position", "value")

    def __init__(self, kind: str, position: int, value: dict[str, Any]) -> None:
        self.kind, self.position, self.value = kind, position, value

    def __str__(self) -> str:
        item_id = self.value.get("id")
        printable = isinstance(item_id, (int, float)) or (isinstance(item_id, str) and is_valid_text(item_id))
        return f"{self.kind} {str(item_id)[:80]}" if printable else f"{self.kind} number {self.position}"


def _items(values: list[Any], kind: str, path: Path) -> Iterator[_Item]:
    for position, value in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise SadclError(f"{kind} number {position} is not an object", where=path, fix=_FIX)
        yield _Item(kind, position, value)


def _image_id(value: Any, item: _Item, path: Path) -> str:
    """An image id as text: the number 7 and the string "7" are the same id."""
    if type(value) is int:
        return str(value)
    if isinstance(value, str) and is_valid_text(value):
        return value.strip()
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else str(value)
    raise SadclError(f"{item} has no usable image id: {short_repr(value)}", where=path, fix=_FIX)


def _number(value: Any, item: _Item, role: str, path: Path) -> int:
    if type(value) is int:
        return value
    try:
        if isinstance(value, bool) or int(value) != float(value):
            raise ValueError
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise SadclError(
            f"{item} {role} {short_repr(value)}, which is not a whole number", where=path, fix=_FIX
        ) from None


def _text(item: _Item, key: str, path: Path) -> str:
    value = item.value.get(key)
    if not isinstance(value, str) or not is_valid_text(value):
        raise SadclError(f"{item} has no {key}", where=path, fix=_FIX)
    return value


def _reject_repeats(values: Iterable[Any], problem: str, path: Path) -> None:
    unique: set[Any] = set()
    for value in values:
        if value in unique:
            raise SadclError(f"{problem} {str(value)[:80]}", where=path, fix=_FIX)
        unique.add(value)
