"""NUS-WIDE: 81 concepts, its official lists or the CSV form that other papers use.

Official: ``ingest.annotations`` names ``ImageList/TrainImagelist.txt`` and ``ImageList/TestImagelist.txt``; a file a
concept with 0 or 1 a line, in the order of the list, is found beside them (``Groundtruth/TrainTestLabels``).
CSV: one file for `train` with file, labels as ``['clouds', 'sky']`` and split (`train`, `val`), under any header.

Flickr no longer has every photo: those that are not there are named in ``Source.gone``. With ``ingest.random_test``
the labelled images of both lists are drawn anew into train and test, those that are gone among them, so that everyone
who has the lists draws the same.
"""

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sadcl import params
from sadcl.data.sources import Image, Source, inside
from sadcl.data.sources.text import lines, shown, text
from sadcl.errors import SadclError
from sadcl.progress import track

CLASSES = (
    "airport", "animal", "beach", "bear", "birds", "boats", "book", "bridge", "buildings", "cars", "castle", "cat",
    "cityscape", "clouds", "computer", "coral", "cow", "dancing", "dog", "earthquake", "elk", "fire", "fish", "flags",
    "flowers", "food", "fox", "frost", "garden", "glacier", "grass", "harbor", "horses", "house", "lake", "leaf", "map",
    "military", "moon", "mountain", "nighttime", "ocean", "person", "plane", "plants", "police", "protest", "railroad",
    "rainbow", "reflection", "road", "rocks", "running", "sand", "sign", "sky", "snow", "soccer", "sports", "statue",
    "street", "sun", "sunset", "surf", "swimmers", "tattoo", "temple", "tiger", "tower", "town", "toy", "train", "tree",
    "valley", "vehicle", "water", "waterfall", "wedding", "whales", "window", "zebra",
)  # fmt: skip
_INDEX = {name: i for i, name in enumerate(CLASSES)}
_FIX = "Get the file again"
_SPLITS = {"train": "train", "val": "test", "test": "test"}
"""Words of the CSV form."""


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the lists, and look which photos are there.

    Raises:
        SadclError: a list or a label file is missing or damaged, they do not belong together, or no photo is there.
    """
    images = list(_csv(root, settings) if _is_csv(settings) else _official(root, settings))
    if settings.random_test is not None:
        images = _drawn(images, settings.random_test, settings.random_seed, settings.keep_unlabelled)
    here: list[Image] = []
    gone: list[Image] = []
    for image in track(images, "looking for photos"):
        (here if os.path.isfile(root / image.file) else gone).append(image)
    if images and not here:
        raise SadclError(
            f"Not one of the {len(images):,} photos is there, such as {shown(images[0].file)}",
            where=root,
            fix="Check ingest.images: it is the folder that the names in the lists begin at",
        )
    return Source(CLASSES, here, gone)


def _is_csv(settings: params.Ingest) -> bool:
    names = settings.annotations
    if set(names) == {"train"} and names["train"].endswith(".csv"):
        return True
    if set(names) == {"train", "test"}:
        return False
    raise SadclError(
        "A NUS-WIDE source needs a list for train and one for test, or one CSV file for both",
        where="ingest.annotations",
        fix="Name ImageList/TrainImagelist.txt and ImageList/TestImagelist.txt, or the CSV file as train",
    )


def _official(root: Path, settings: params.Ingest) -> Iterator[Image]:
    for split, name in settings.annotations.items():
        plain = PurePosixPath(inside("", name, "ingest.annotations"))
        part = re.fullmatch("(Train|Test)Imagelist.txt", plain.name)
        if part is None:
            raise SadclError(
                f"{name} is not one of NUS-WIDE's two lists",
                where="ingest.annotations",
                fix="Name ImageList/TrainImagelist.txt and ImageList/TestImagelist.txt",
            )
        listed = list(lines(root / plain, "Check ingest.annotations, or get NUS-WIDE's ImageList"))
        folder = settings.images.get(split, settings.images.get("train", ""))
        labels = _labels(root / plain.parent.parent / "Groundtruth/TrainTestLabels", part[1], len(listed))
        for (where, line), present in zip(listed, labels, strict=True):
            image = line.replace("\\", "/")
            yield Image(image, inside(folder, image, where), split, tuple(present))


def _labels(folder: Path, part: str, count: int) -> list[list[int]]:
    """For each image of a list the concepts that it has, from a file a concept."""
    labels: list[list[int]] = [[] for _ in range(count)]
    for i, name in enumerate(track(CLASSES, "reading labels", unit="files")):
        path = folder / f"Labels_{name}_{part}.txt"
        flags = text(path, "Get NUS-WIDE's Groundtruth, and keep its folders as they are").split()
        if len(flags) != count:
            raise SadclError(
                f"The file has {len(flags):,} labels, and the list of images {count:,} lines",
                where=path,
                fix="Get both again: they go line by line",
            )
        if not set(flags) <= {"0", "1"}:
            odd = next(flag for flag in flags if flag not in ("0", "1"))
            raise SadclError(f"A label is {shown(odd)}, which is not 0 or 1", where=path, fix=_FIX)
        for row, flag in enumerate(flags):
            if flag == "1":
                labels[row].append(i)
    return labels


def _csv(root: Path, settings: params.Ingest) -> Iterator[Image]:
    path = root / inside("", settings.annotations["train"], "ingest.annotations")
    rows = csv.reader(io.StringIO(text(path, "Check ingest.annotations"), newline=""), strict=True)
    try:
        next(rows, None)  # the header, which differs between copies
        for row in rows:
            if row:
                yield _row(row, settings.images.get("train", ""), f"{path}, line {rows.line_num}")
    except csv.Error as error:
        raise SadclError(f"The file is not CSV: {error}", where=path, fix=_FIX) from None


def _row(row: list[str], folder: str, where: str) -> Image:
    if len(row) != 3 or row[2].strip() not in _SPLITS:
        raise SadclError(
            f"The row is not file, labels, train or val: {shown(row)}", where=where, fix="Use NUS-WIDE's CSV form"
        )
    image, labels = row[0].strip(), row[1].strip()
    if not (labels.startswith("[") and labels.endswith("]")):
        raise SadclError(f"{shown(labels)} is no list of concepts", where=where, fix="Write ['clouds', 'sky']")
    names = [name.strip(" '\"") for name in labels[1:-1].split(",") if name.strip()]
    for name in names:
        if name not in _INDEX:
            raise SadclError(f"{shown(name)} is not one of the 81 concepts", where=where, fix=_FIX)
    present = tuple(sorted({_INDEX[name] for name in names}))
    return Image(image, inside(folder, image, where), _SPLITS[row[2].strip()], present)


def _drawn(images: list[Image], tests: int, seed: int, keep_unlabelled: bool) -> list[Image]:
    """Deal images out anew: ``tests`` of them to test, the others to train."""
    pool = [image for image in images if keep_unlabelled or image.labels]
    if tests >= len(pool):
        raise SadclError(
            f"{tests:,} images to test leave none of {len(pool):,} to train on",
            where="ingest.random_test",
            fix="Ask for fewer",
        )
    order = sorted(pool, key=lambda image: hashlib.sha256(f"{seed}/{image.image_id}".encode()).digest())
    return [replace(image, split="test" if i < tests else "train") for i, image in enumerate(order)]
