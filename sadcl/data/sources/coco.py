"""COCO instances JSON: 2014, 2017, and anything written like it.

A label is set by any annotation, crowd included; classes stand in ascending order of their ids
(method, section 6). Boxes may be missing: ``image_id`` and ``category_id`` are enough, and
whatever else a file holds is let go while it is parsed, outlines above all.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data.sources import Image, Source, inside
from sadcl.data.sources.text import is_text, shown
from sadcl.errors import SadclError

CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""COCO's 80 class names, in ascending order of category ids."""
_FIX = "Mend the annotation file"
_LISTS = ("images", "annotations", "categories")
_NEEDED = (*_LISTS, "id", "file_name", "image_id", "category_id", "name")

Categories = list[tuple[int, str]]
"""Id and name, in ascending order of ids."""


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the annotation file of each split.

    Raises:
        SadclError: a file is missing or damaged, or an item in it contradicts another.
    """
    alone = set(settings.annotations) == {"train"}  # then the file says nothing of splits
    if "train" not in settings.annotations or not (alone or "test" in settings.annotations):
        raise SadclError(
            "A COCO source needs an annotation file for train, and one for test if there is another",
            where="ingest.annotations",
            fix="Name them",
        )
    categories: Categories = []
    images: list[Image] = []
    for split, name in settings.annotations.items():
        path = root / inside("", name, "ingest.annotations")
        folder = settings.images.get(split, settings.images.get("train", ""))
        found, those = _file(path, "" if alone else split, folder)
        if categories and found != categories:
            words = f"The categories are not those of train: {_difference(categories, found)}"
            raise SadclError(words, where=path, fix=_FIX)
        categories = found
        images += those
    return Source(tuple(name for _, name in categories), images)


def _file(path: Path, split: str, folder: str) -> tuple[Categories, list[Image]]:
    """Categories and images of one file, ids in one form and every reference checked."""
    value = _json(path)
    names = {
        _image_id(item.value.get("id"), item, path): _text(item, "file_name", path)
        for item in _distinct(value["images"], "Image", path)
    }
    categories = sorted(
        (_number(item.value.get("id"), item, "has the id", path), _text(item, "name", path).strip())
        for item in _items(value["categories"], "Category", path)
    )
    _refuse_repeats((number for number, _ in categories), "Two categories have the id", path)
    _refuse_repeats((name for _, name in categories), "Two categories have the name", path)
    if not categories:
        raise SadclError("There is not one category", where=path, fix=_FIX)
    labels: dict[str, set[int]] = {image: set() for image in names}
    index = {number: i for i, (number, _) in enumerate(categories)}
    for item in _items(value["annotations"], "Annotation", path):
        image = _image_id(item.value.get("image_id"), item, path)
        if image not in labels:
            raise SadclError(f"{item} is for the unknown image {image[:80]}", where=path, fix=_FIX)
        category = _number(item.value.get("category_id"), item, "has the category", path)
        if category not in index:
            raise SadclError(f"{item} is for the unknown category {category}", where=path, fix=_FIX)
        labels[image].add(index[category])
    return categories, [
        Image(image, inside(folder, name, f"{path}, image {image[:80]}"), split, tuple(sorted(labels[image])))
        for image, name in names.items()
    ]


def _json(path: Path) -> dict[str, Any]:
    fix = "Check ingest.annotations, or get the file again; it may be truncated"
    value = files.read_json(path, fix, object_hook=lambda item: {key: item[key] for key in _NEEDED if key in item})
    if not isinstance(value, dict):
        raise SadclError("The file holds no COCO instances: it is not an object", where=path, fix=_FIX)
    for key in _LISTS:
        if not isinstance(value.get(key), list):
            raise SadclError(f"The file holds no COCO instances: it has no list {key!r}", where=path, fix=_FIX)
    return value


class _Item:
    """An object in one of the file's lists; as text it is the words that find it there."""

    __slots__ = ("kind", "position", "value")

    def __init__(self, kind: str, position: int, value: dict[str, Any]) -> None:
        self.kind, self.position, self.value = kind, position, value

    def __str__(self) -> str:
        own = self.value.get("id")
        named = isinstance(own, (int, float)) or (isinstance(own, str) and is_text(own))
        return f"{self.kind} {str(own)[:80]}" if named else f"{self.kind} number {self.position}"


def _items(values: list[Any], kind: str, path: Path) -> Iterator[_Item]:
    for position, value in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise SadclError(f"{kind} number {position} is not an object", where=path, fix=_FIX)
        yield _Item(kind, position, value)


def _distinct(values: list[Any], kind: str, path: Path) -> list[_Item]:
    """Images, of which no two have one id."""
    items = list(_items(values, kind, path))
    _refuse_repeats((_image_id(item.value.get("id"), item, path) for item in items), "Two images have the id", path)
    return items


def _image_id(value: Any, item: _Item, path: Path) -> str:
    """Ids are words; a number and the same number as a word are one id."""
    if type(value) is int:
        return str(value)
    if isinstance(value, str) and is_text(value):
        return value.strip()
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else str(value)
    raise SadclError(f"{item} has no image id that can be used: {shown(value)}", where=path, fix=_FIX)


def _number(value: Any, item: _Item, words: str, path: Path) -> int:
    if type(value) is int:
        return value
    try:
        if isinstance(value, bool) or int(value) != float(value):
            raise ValueError
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise SadclError(f"{item} {words} {shown(value)}, which is no whole number", where=path, fix=_FIX) from None


def _text(item: _Item, key: str, path: Path) -> str:
    value = item.value.get(key)
    if not isinstance(value, str) or not is_text(value):
        raise SadclError(f"{item} has no {key}", where=path, fix=_FIX)
    return value


def _refuse_repeats(values: Iterable[Any], words: str, path: Path) -> None:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise SadclError(f"{words} {str(value)[:80]}", where=path, fix=_FIX)
        seen.add(value)


def _difference(expected: Categories, found: Categories) -> str:
    missing, extra = set(expected) - set(found), set(found) - set(expected)
    parts = [f"{words} {sorted(those)[0]}" for words, those in (("it lacks", missing), ("it adds", extra)) if those]
    return " and ".join(parts)
