"""Subset of COCO by a list of image ids.

The list docs/coco-mini.csv gives the photos and labels of coco-mini, split by split, with COCO's own photos in place of
coco-mini's small copies.
"""

import csv
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from sadcl import files, layout, pipeline
from sadcl.data.sources import safe_join
from sadcl.errors import SadclError
from sadcl.progress import track

COLUMNS = ("coco_2014_split", "image_id")


def cut(ids: Path, source: Path, name: str, root: Path = Path(".")) -> str:
    """Write ``data/raw/NAME`` with ``images/`` and ``annotations/instances_{train,test}.json``, and track it with DVC.

    Images and annotations are those of the full set, each image with its split of origin; all categories stay.
    Photos are hard links where the disk allows it, copies otherwise.

    Args:
        ids: CSV with the columns ``COLUMNS``; the split names a folder of the source and its annotation file.
        source: the full set: ``SPLIT/`` and ``annotations/instances_SPLIT.json`` for each split that the list names.
        name: of the folder in ``data/raw``.
        root: the project's folder.

    Returns:
        A sentence for the user.

    Raises:
        SadclError: the list can't be read, or the source lacks an image that it names; no folder appears then.
    """
    pipeline.require_project(root)
    folder = root / layout.RAW / safe_join("", name, "--name")
    if folder.exists():
        raise SadclError("The folder exists", where=folder, fix="Choose another name with --name")
    listed = read_ids(ids)
    parts: dict[str, dict[str, Any]] = {}
    photos: dict[str, Path] = {}
    for split in sorted({split for split, _ in listed}):
        _add_split(source, split, {image_id for origin, image_id in listed if origin == split}, parts, photos)
    with files.atomic_directory(folder) as staging:
        for part, instances in parts.items():
            instances["images"].sort(key=lambda image: image["id"])
            files.write_text(staging / "annotations" / f"instances_{part}.json", json.dumps(instances))
        (staging / "images").mkdir()
        for file, photo in track(photos.items(), f"photos of {name}", total=len(photos)):
            files.link(photo.resolve(), staging / "images" / file)
    pipeline.add(folder)
    counts = ", ".join(f"{len(instances['images']):,} for {part}" for part, instances in parts.items())
    return f"{folder} holds {len(photos):,} photos ({counts}) and is tracked by DVC; commit {folder}.dvc"


def split_of(image_id: int) -> str:
    """Split of an image by coco-mini's rule: ``test`` for about three tenths of the ids, ``train`` for the rest."""
    return (
        "test" if int(hashlib.md5(str(image_id).encode(), usedforsecurity=False).hexdigest(), 16) % 10 < 3 else "train"
    )


def read_ids(path: Path) -> list[tuple[str, int]]:
    """Read the list of images.

    Returns:
        Split of origin and id of each image.

    Raises:
        SadclError: the list is missing or lacks a column, or a row is wrong.
    """
    fix = f"It needs the columns {','.join(COLUMNS)} and rows like train2014,61"
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SadclError(f"The list of ids can't be read: {error}", where=path, fix=fix) from None
    header = [text.strip() for text in rows[0]] if rows else []
    if any(column not in header for column in COLUMNS):
        raise SadclError("The list of ids lacks a column", where=path, fix=fix)
    positions = [header.index(column) for column in COLUMNS]
    images: dict[tuple[str, int], None] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        split, text = (row[i].strip() if i < len(row) else "" for i in positions)
        if not re.fullmatch(r"[A-Za-z0-9_]{1,40}", split) or not re.fullmatch(r"[0-9]{1,18}", text):
            raise SadclError("A row names no image", where=f"{path}, line {number}", fix=fix)
        if (split, int(text)) in images:
            raise SadclError(f"The image {text} is listed twice", where=f"{path}, line {number}", fix="Keep one row")
        images[split, int(text)] = None
    if not images:
        raise SadclError("The list of ids is empty", where=path, fix=fix)
    return list(images)


def _add_split(
    source: Path, split: str, ids: set[int], parts: dict[str, dict[str, Any]], photos: dict[str, Path]
) -> None:
    """Add the listed images of one split of the source to ``parts``, and their files to ``photos``.

    Raises:
        SadclError: the annotations are no COCO instances, or lack a listed image, or a photo is missing.
    """
    path = source / "annotations" / f"instances_{split}.json"
    fix = "Get the full COCO with `sadcl data fetch coco2014`, or name its folder with --source"
    data = files.read_json(path, fix=fix)
    lists = [data.get(key) if isinstance(data, dict) else None for key in ("images", "annotations", "categories")]
    if not all(isinstance(items, list) and all(isinstance(item, dict) for item in items) for items in lists):
        raise SadclError("The file holds no COCO instances", where=path, fix=fix)
    images = {image["id"]: image for image in data["images"] if isinstance(image.get("id"), int)}
    annotations = [item for item in data["annotations"] if isinstance(item.get("image_id"), int)]
    missing = ids - images.keys()
    if missing:
        reason = f"{len(missing):,} images of the list are not in the annotations; the first is {min(missing)}"
        raise SadclError(reason, where=path, fix="Check that the list was made for this data set")
    for part in ("train", "test"):
        empty = {"info": {}, "licenses": [], "categories": data["categories"], "images": [], "annotations": []}
        if parts.setdefault(part, empty)["categories"] != data["categories"]:
            raise SadclError("The splits have different categories", where=path, fix=fix)
        parts[part]["info"], parts[part]["licenses"] = data.get("info", {}), data.get("licenses", [])
        parts[part]["images"] += [
            {**images[image_id], "coco_2014_split": split} for image_id in ids if split_of(image_id) == part
        ]
        parts[part]["annotations"] += [
            item for item in annotations if item["image_id"] in ids and split_of(item["image_id"]) == part
        ]
    for image_id in ids:
        file = images[image_id].get("file_name")
        if not isinstance(file, str) or "/" in file:
            raise SadclError(f"The image {image_id} has no plain file name", where=path, fix=fix)
        photo = source / safe_join(split, file, path)
        if file in photos or not photo.is_file():
            reason = f"Two images have the file {file}" if file in photos else "A photo of the list is missing"
            raise SadclError(reason, where=photo, fix=fix)
        photos[file] = photo
