"""Visual Genome 500: SSGRL's two lists of photos, and the JSON index of their classes.

``ingest.annotations`` names the lists (``train_list_500.txt``, ``test_list_500.txt``), a photo's name a line, and
``ingest.index`` the file that gives each name its class numbers (``vg_category_500_labels_index.json``). The index
has no names for classes, so they are called by their numbers, in three digits.
"""

from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data.sources import Image, Source, inside
from sadcl.data.sources.text import lines, shown
from sadcl.errors import SadclError

CLASSES = tuple(f"{number:03d}" for number in range(500))
_FIX = "Get the lists and the index again, from one place"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the list of each split and the index.

    Raises:
        SadclError: a file is missing or damaged, or the index lacks a photo or names a class beyond 499.
    """
    if "train" not in settings.annotations or "test" not in settings.annotations or settings.index is None:
        raise SadclError(
            "A VG500 source needs a list for train, one for test, and the index",
            where="ingest",
            fix="Name them in ingest.annotations and ingest.index",
        )
    path = root / inside("", settings.index, "ingest.index")
    index = files.read_json(path, fix="Check ingest.index, or get the file again")
    if not isinstance(index, dict):
        raise SadclError("The index is no object of names and class numbers", where=path, fix=_FIX)
    images: list[Image] = []
    for split, name in settings.annotations.items():
        folder = settings.images.get(split, settings.images.get("train", ""))
        for where, photo in lines(root / inside("", name, "ingest.annotations"), "Check ingest.annotations"):
            if photo not in index:
                raise SadclError(f"The index does not have the photo {shown(photo)}", where=where, fix=_FIX)
            images.append(Image(photo, inside(folder, photo, where), split, _labels(index[photo], photo, path)))
    return Source(CLASSES, images)


def _labels(value: Any, photo: str, path: Path) -> tuple[int, ...]:
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        if type(number) is not int or not 0 <= number < len(CLASSES):
            raise SadclError(
                f"The photo {shown(photo)} has the class {shown(number)}, which is no number from 0 to 499",
                where=path,
                fix=_FIX,
            )
    return tuple(sorted(set(numbers)))
