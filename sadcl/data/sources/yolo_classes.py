"""YOLO without a description: a list of class names (``classes.txt``, ``obj.names``, ``_darknet.labels``).

So export Label Studio, LabelImg, makesense.ai and Roboflow (Darknet). The photos are below ``ingest.images``, else
below the folder of the list; their label files are as in ``yolo``. With one list, photos are in the split that their
folder is named after (``train/1.jpg``, ``images/val/2.jpg``), if every photo is in such a folder.
"""

import posixpath
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from sadcl import params
from sadcl.data.sources import Source
from sadcl.data.sources.exports import Part, by_folder, combined
from sadcl.data.sources.photo_files import list_photos
from sadcl.data.sources.rows import Row, annotation_files
from sadcl.data.sources.safe_yaml import exists
from sadcl.data.sources.yolo_files import first_index, read_labels
from sadcl.data.sources.yolo_set import CLASS_LISTS, listed_classes

_MOST_FILES = 1000


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the lists of classes that the settings name, and the label files of the photos.

    Raises:
        SadclError: a file is missing or damaged, or a label has an unknown class.
    """
    parts: list[Part] = []
    for split, path, folder in annotation_files(root, settings):
        names = listed_classes(path, "Check ingest.annotations")
        start = folder if folder not in ("", ".") else _own_folder(root, path)
        photos = list_photos(root, start)
        known = [split] * len(photos) if split else by_folder(photos, start)
        labels = read_labels(root, photos, names)
        parts.append((names, [Row(*row) for row in zip(photos, known, labels, strict=True)]))
    return combined(parts, settings, root / settings.files("train")[0])


def recognises(path: Path) -> bool:
    """Whether a file has a usual name of a list of classes, no description next to it, and label files near it."""
    if path.name.lower() not in CLASS_LISTS or any(exists(path.with_name(name)) for name in ("data.yaml", "obj.data")):
        return False
    return any(_is_label_file(file) for file in _text_files(path) if file.name.lower() not in CLASS_LISTS)


def _own_folder(root: Path, path: Path) -> str:
    """Folder of a list, or the one above if the list lies among the labels."""
    own = posixpath.dirname(path.relative_to(root).as_posix())
    return posixpath.dirname(own) if posixpath.basename(own) == "labels" else own


def _text_files(path: Path) -> Iterator[Path]:
    """Text files next to a list of classes, and those in ``labels`` and one level below."""
    for pattern in ("*.txt", "labels/*.txt", "labels/*/*.txt", "*/*.txt"):
        try:
            yield from islice(path.parent.glob(pattern), _MOST_FILES)
        except OSError:
            continue


def _is_label_file(path: Path) -> bool:
    """Whether the first line that is not blank has the index of a class and at least four numbers."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            head = file.read(10_000)
    except OSError:
        return False
    line = next((line for line in head.splitlines() if line.strip()), "")
    return len(line.split()) >= 5 and first_index(line) is not None
