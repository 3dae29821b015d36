"""COCO instances JSON: COCO 2014 and 2017, and other files in this format.

Any annotation sets its label, crowd annotations too. Classes are in ascending order of their ids (method, section 6).
Boxes may be missing: ``image_id`` and ``category_id`` are enough. Other keys, such as the outlines, are dropped while
the file is parsed, to save memory.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data.sources import Image, Source, safe_join
from sadcl.data.sources.text import is_valid_text, short_repr
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
_FIX = "Correct the annotation file"
_LISTS = ("images", "annotations", "categories")
_KEYS = (*_LISTS, "id", "file_name", "image_id", "category_id", "name")

Categories = list[tuple[int, str]]
"""Id and name, in ascending order of ids."""


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the annotation file of each split.

    Raises:
        SadclError: a file is missing or damaged, an id occurs twice, or an annotation refers to an unknown id.
    """
    single = set(settings.annotations) == {"train"}  # one file for all images assigns no splits
    if "train" not in settings.annotations or not (single or "test" in settings.annotations):
        raise SadclError(
            "A COCO source needs an annotation file for train, and one for test if it has several files",
            where="ingest.annotations",
            fix="Name the files there",
        )
    categories: Categories = []
    images: list[Image] = []
    for split in settings.annotations:
        path = root / safe_join("", settings.file(split), "ingest.annotations")
        folder = settings.images.get(split, settings.images.get("train", ""))
        split_categories, split_images = _read_file(path, "" if single else split, folder)
        if categories and split_categories != categories:
            problem = f"The categories differ from those of train: {_difference(categories, split_categories)}"
            raise SadclError(problem, where=path, fix=_FIX)
        categories = split_categories
        images += split_images
    return Source(tuple(name for _, name in categories), images)


def recognises(path: Path) -> bool:
    """Whether a JSON file is an object with images, annotations and categories."""
    try:
        value = files.read_json(path)
    except SadclError:
        return False
    return isinstance(value, dict) and set(_LISTS) <= set(value)


def _read_file(path: Path, split: str, folder: str) -> tuple[Categories, list[Image]]:
    """Categories and images of one file, with normalised ids and checked references."""
    value = _read_json(path)
    names = {
        _image_id(item.value.get("id"), item, path): _text(item, "file_name", path)
        for item in _unique_items(value["images"], "Image", path)
    }
    categories = sorted(
        (_number(item.value.get("id"), item, "has the id", path), _text(item, "name", path).strip())
        for item in _items(value["categories"], "Category", path)
    )
    _reject_repeats((number for number, _ in categories), "Two categories have the id", path)
    _reject_repeats((name for _, name in categories), "Two categories have the name", path)
    if not categories:
        raise SadclError("The file has no categories", where=path, fix=_FIX)
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
        Image(image, safe_join(folder, name, f"{path}, image {image[:80]}"), split, tuple(sorted(labels[image])))
        for image, name in names.items()
    ]


def _read_json(path: Path) -> dict[str, Any]:
    fix = "Check ingest.annotations, or download the file again; it may be truncated"
    value = files.read_json(path, fix, object_hook=lambda item: {key: item[key] for key in _KEYS if key in item})
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


def _unique_items(values: list[Any], kind: str, path: Path) -> list[_Item]:
    """Items of a list, after a check that no two have the same image id."""
    items = list(_items(values, kind, path))
    _reject_repeats((_image_id(item.value.get("id"), item, path) for item in items), "Two images have the id", path)
    return items


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


def _difference(expected: Categories, actual: Categories) -> str:
    missing, extra = sorted(set(expected) - set(actual)), sorted(set(actual) - set(expected))
    parts = [f"{verb} {items[0]}" for verb, items in (("it lacks", missing), ("it adds", extra)) if items]
    return " and ".join(parts)
