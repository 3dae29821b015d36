"""Visual Genome 500: two lists of photos from SSGRL, and a JSON index of their classes.

``ingest.annotations`` names the lists (``train_list_500.txt``, ``test_list_500.txt``), with one file name per line.
``ingest.index`` names the file that maps each file name to class numbers (``vg_category_500_labels_index.json``). The
index has no class names, so the classes are named by their numbers, with three digits.
"""

from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data.sources import Image, Source, safe_join
from sadcl.data.sources.text import read_lines, short_repr
from sadcl.errors import SadclError

CLASSES = tuple(f"{number:03d}" for number in range(500))
_FIX = "Download the lists and the index again, from the same source"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the list of each split and the index.

    Raises:
        SadclError: a file is missing or damaged, the index lacks a photo, or a class number is not in 0 to 499.
    """
    if "train" not in settings.annotations or "test" not in settings.annotations or settings.index is None:
        raise SadclError(
            "A VG500 source needs a list for train, one for test, and the index",
            where="ingest",
            fix="Name the files in ingest.annotations and ingest.index",
        )
    path = root / safe_join("", settings.index, "ingest.index")
    index = files.read_json(path, fix="Check ingest.index, or download the file again")
    if not isinstance(index, dict):
        raise SadclError("The index is not an object of file names and class numbers", where=path, fix=_FIX)
    images: list[Image] = []
    for split in settings.annotations:
        folder = settings.images.get(split, settings.images.get("train", ""))
        photos = root / safe_join("", settings.file(split), "ingest.annotations")
        for where, photo in read_lines(photos, "Check ingest.annotations"):
            if photo not in index:
                raise SadclError(f"The index lacks the photo {short_repr(photo)}", where=where, fix=_FIX)
            images.append(Image(photo, safe_join(folder, photo, where), split, _labels(index[photo], photo, path)))
    return Source(CLASSES, images)


def _labels(value: Any, photo: str, path: Path) -> tuple[int, ...]:
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        if type(number) is not int or not 0 <= number < len(CLASSES):
            problem = f"The photo {short_repr(photo)} has the class {short_repr(number)}, not a number from 0 to 499"
            raise SadclError(problem, where=path, fix=_FIX)
    return tuple(sorted(set(numbers)))
