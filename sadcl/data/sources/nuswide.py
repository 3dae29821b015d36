"""NUS-WIDE with its 81 concepts: the official lists, or the CSV file that other papers use.

Official lists: ``ingest.annotations`` names ``ImageList/TrainImagelist.txt`` and ``ImageList/TestImagelist.txt``. The
labels are in ``Groundtruth/TrainTestLabels``: one file per concept, with 0 or 1 per line in the order of the list.
CSV: one file for `train` with the columns file, labels (``['clouds', 'sky']``) and split (`train`, `val`), under any
header.

Flickr no longer has every photo. Images without a photo are counted for the protocol only. With ``ingest.random_test``,
the labelled images of both lists are split again at random. The draw includes images without a photo, so that it is the
same for everyone who has the lists.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sadcl import params
from sadcl.data.listed_photos import is_present
from sadcl.data.sources import Image, Source, safe_join
from sadcl.data.sources.text import read_lines, read_text, short_repr
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
_FIX = "Download the file again"
_SPLITS = {"train": "train", "val": "test", "test": "test"}
"""Split names in the CSV file, and the split of each."""


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the lists and labels, and separate images with and without a photo.

    Raises:
        SadclError: a list or a label file is missing or damaged, their lengths differ, or no photo exists.
    """
    images = list(_csv(root, settings) if _is_csv(settings) else _official(root, settings))
    if settings.random_test is not None:
        images = _draw_splits(images, settings.random_test, settings.random_seed, settings.keep_unlabelled is not False)
    present: list[Image] = []
    missing: list[Image] = []
    for image in track(images, "looking for photos"):
        (present if is_present(root, image.file) else missing).append(image)
    if images and not present:
        raise SadclError(
            f"None of the {len(images):,} photos exists, such as {short_repr(images[0].file)}",
            where=root,
            fix="Check ingest.images: the names in the lists are relative to it",
        )
    return Source(CLASSES, present, missing)


def _is_csv(settings: params.Ingest) -> bool:
    names = settings.annotations
    if set(names) == {"train"} and settings.file("train").endswith(".csv"):
        return True
    if set(names) == {"train", "test"}:
        return False
    raise SadclError(
        "A NUS-WIDE source needs a list for train and one for test, or one CSV file for both",
        where="ingest.annotations",
        fix="Name ImageList/TrainImagelist.txt and ImageList/TestImagelist.txt, or the CSV file as train",
    )


def _official(root: Path, settings: params.Ingest) -> Iterator[Image]:
    for split in settings.annotations:
        name = settings.file(split)
        plain = PurePosixPath(safe_join("", name, "ingest.annotations"))
        part = re.fullmatch("(Train|Test)Imagelist.txt", plain.name)
        if part is None:
            raise SadclError(
                f"{name} is not one of NUS-WIDE's two lists",
                where="ingest.annotations",
                fix="Name ImageList/TrainImagelist.txt and ImageList/TestImagelist.txt",
            )
        entries = list(read_lines(root / plain, "Check ingest.annotations, or download NUS-WIDE's ImageList"))
        folder = settings.images.get(split, settings.images.get("train", ""))
        labels = _labels(root / plain.parent.parent / "Groundtruth/TrainTestLabels", part[1], len(entries))
        for (where, line), present in zip(entries, labels, strict=True):
            image = line.replace("\\", "/")
            yield Image(image, safe_join(folder, image, where), split, tuple(present))


def _labels(folder: Path, part: str, count: int) -> list[list[int]]:
    """Indexes of the concepts of each image in a list, from one label file per concept."""
    labels: list[list[int]] = [[] for _ in range(count)]
    for i, name in enumerate(track(CLASSES, "reading labels", unit="files")):
        path = folder / f"Labels_{name}_{part}.txt"
        flags = read_text(path, "Download NUS-WIDE's Groundtruth, and keep its folder structure").split()
        if len(flags) != count:
            raise SadclError(
                f"The file has {len(flags):,} labels, and the list of images {count:,} lines",
                where=path,
                fix="Download both again: they correspond line by line",
            )
        if not set(flags) <= {"0", "1"}:
            invalid = next(flag for flag in flags if flag not in ("0", "1"))
            raise SadclError(f"A label is {short_repr(invalid)}, which is not 0 or 1", where=path, fix=_FIX)
        for row, flag in enumerate(flags):
            if flag == "1":
                labels[row].append(i)
    return labels


def _csv(root: Path, settings: params.Ingest) -> Iterator[Image]:
    path = root / safe_join("", settings.file("train"), "ingest.annotations")
    rows = csv.reader(io.StringIO(read_text(path, "Check ingest.annotations"), newline=""), strict=True)
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
            f"The row is not file, labels, train or val: {short_repr(row)}", where=where, fix="Use NUS-WIDE's columns"
        )
    image, labels = row[0].strip(), row[1].strip()
    if not (labels.startswith("[") and labels.endswith("]")):
        raise SadclError(f"{short_repr(labels)} is not a list of concepts", where=where, fix="Write ['clouds', 'sky']")
    names = [name.strip(" '\"") for name in labels[1:-1].split(",") if name.strip()]
    for name in names:
        if name not in _INDEX:
            raise SadclError(f"{short_repr(name)} is not one of the 81 concepts", where=where, fix=_FIX)
    present = tuple(sorted({_INDEX[name] for name in names}))
    return Image(image, safe_join(folder, image, where), _SPLITS[row[2].strip()], present)


def _draw_splits(images: list[Image], tests: int, seed: int, keep_unlabelled: bool) -> list[Image]:
    """Assign ``tests`` images to the test split and the rest to train, at random by ``seed`` and image id."""
    pool = [image for image in images if keep_unlabelled or image.labels]
    if tests >= len(pool):
        raise SadclError(
            f"{tests:,} images to test leave none of {len(pool):,} to train on",
            where="ingest.random_test",
            fix="Use a smaller number",
        )
    order = sorted(pool, key=lambda image: hashlib.sha256(f"{seed}/{image.image_id}".encode()).digest())
    return [replace(image, split="test" if i < tests else "train") for i, image in enumerate(order)]
