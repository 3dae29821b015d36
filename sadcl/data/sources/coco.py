"""COCO instances JSON: 2014, 2017, and anything written like it.

A label is set by any annotation, crowd included; classes stand in ascending order of their ids
(method, section 6). Boxes may be missing: ``image_id`` and ``category_id`` are enough.
"""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data.sources import Image, Source, inside
from sadcl.errors import SadclError

_FIX = "Mend the annotation file"


def read(root: Path, settings: params.Ingest) -> Source:
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
    categories: list[tuple[int, str]] = []
    images: list[Image] = []
    for split, name in settings.annotations.items():
        path = root / inside("", name, "ingest.annotations")
        data = _checked(_json(path), path)
        found = [(category["id"], category["name"]) for category in data["categories"]]
        if categories and found != categories:
            words = f"The categories are not those of train: {_difference(categories, found)}"
            raise SadclError(words, where=path, fix=_FIX)
        categories = found
        folder = settings.images.get(split, settings.images.get("train", ""))
        images += _images(data, "" if alone else split, folder, path)
    return Source(tuple(name for _, name in categories), images)


def _json(path: Path) -> dict[str, Any]:
    value = files.read_json(path, fix="Check ingest.annotations, or get the file again; it may be truncated")
    if not isinstance(value, dict):
        raise SadclError("The file holds no COCO instances: it is not an object", where=path, fix=_FIX)
    for key in ("images", "annotations", "categories"):
        if not isinstance(value.get(key), list):
            raise SadclError(f"The file holds no COCO instances: it has no list {key!r}", where=path, fix=_FIX)
    return value


def _checked(value: dict[str, Any], path: Path) -> dict[str, Any]:
    """The same with only what labels need, ids in one form, and every reference checked."""
    images = [
        {"id": _image_id(item.get("id"), what, path), "file_name": _text(item, "file_name", what, path)}
        for what, item in _items(value["images"], "Image", path)
    ]
    categories: list[dict[str, Any]] = [
        {"id": _number(item.get("id"), f"{what} has the id", path), "name": _text(item, "name", what, path)}
        for what, item in _items(value["categories"], "Category", path)
    ]
    _refuse_repeats([image["id"] for image in images], "Two images have the id", path)
    _refuse_repeats([category["id"] for category in categories], "Two categories have the id", path)
    _refuse_repeats([category["name"] for category in categories], "Two categories have the name", path)
    if not categories:
        raise SadclError("There is not one category", where=path, fix=_FIX)
    annotations = _annotations(value["annotations"], {i["id"] for i in images}, {c["id"] for c in categories}, path)
    categories.sort(key=lambda category: category["id"])
    return {"images": images, "annotations": annotations, "categories": categories}


def _annotations(items: list[Any], images: set[Any], categories: set[Any], path: Path) -> list[dict[str, Any]]:
    annotations = []
    for number, (what, item) in enumerate(_items(items, "Annotation", path)):
        image = _image_id(item.get("image_id"), what, path)
        if image not in images:
            raise SadclError(f"{what} is for the unknown image {image}", where=path, fix=_FIX)
        category = _number(item.get("category_id"), f"{what} has the category", path)
        if category not in categories:
            raise SadclError(f"{what} is for the unknown category {category}", where=path, fix=_FIX)
        annotations.append({"id": number, "image_id": image, "category_id": category})
    return annotations


def _images(data: dict[str, Any], split: str, folder: str, path: Path) -> list[Image]:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = data
    with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress by print
        coco.createIndex()
    index = {category["id"]: i for i, category in enumerate(data["categories"])}
    return [
        Image(
            image_id=image["id"],
            file=inside(folder, image["file_name"], f"{path}, image {image['id']}"),
            split=split,
            labels=tuple(sorted({index[annotation["category_id"]] for annotation in coco.imgToAnns[image["id"]]})),
        )
        for image in data["images"]
    ]


def _items(values: list[Any], kind: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each item with words that find it in the file."""
    for position, item in enumerate(values):
        if not isinstance(item, dict):
            raise SadclError(f"{kind} number {position + 1} is not an object", where=path, fix=_FIX)
        yield f"{kind} {item['id']}" if "id" in item else f"{kind} number {position + 1}", item


def _image_id(value: Any, what: str, path: Path) -> str:
    """Ids are words; a number and the same number as a word are one id."""
    if isinstance(value, bool) or not isinstance(value, (int, str, float)) or not _is_text(str(value)):
        raise SadclError(f"{what} has no image id that can be used: {value!r}", where=path, fix=_FIX)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _number(value: Any, what: str, path: Path) -> int:
    try:
        if isinstance(value, bool) or int(value) != float(value):
            raise ValueError
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise SadclError(f"{what} {value!r}, which is no whole number", where=path, fix=_FIX) from None


def _text(item: dict[str, Any], key: str, what: str, path: Path) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not _is_text(value):
        raise SadclError(f"{what} has no {key}", where=path, fix=_FIX)
    return value.strip()


def _is_text(value: str) -> bool:
    """Not blank, and free of the halves of characters that JSON can smuggle in."""
    return bool(value.strip()) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _refuse_repeats(values: list[Any], words: str, path: Path) -> None:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise SadclError(f"{words} {value}", where=path, fix=_FIX)
        seen.add(value)


def _difference(expected: list[tuple[int, str]], found: list[tuple[int, str]]) -> str:
    missing, extra = set(expected) - set(found), set(found) - set(expected)
    parts = [f"{words} {sorted(those)[0]}" for words, those in (("it lacks", missing), ("it adds", extra)) if those]
    return " and ".join(parts)
