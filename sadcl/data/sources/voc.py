"""PASCAL VOC 2007 and 2012: the devkit's XML files and its lists of images.

``ingest.annotations`` names the list of each split, such as ``VOCdevkit/VOC2007/ImageSets/Main/trainval.txt``. The XML
files are in the same devkit (``VOCdevkit/VOC2007/Annotations``), and so are the photos where ``ingest.images`` names no
folder. The classes are VOC's twenty, in alphabetical order.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from sadcl import params
from sadcl.data.sources import Image, Source, safe_join
from sadcl.data.sources.text import read_lines, read_text, short_repr
from sadcl.errors import SadclError
from sadcl.progress import track

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_INDEX = {name: i for i, name in enumerate(CLASSES)}
_FIX = "Correct the file, or download it again"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the list of each split, and the XML file of each image in it.

    Raises:
        SadclError: a list or an XML file is missing or damaged, or an object's class is not one of VOC's.
    """
    if "train" not in settings.annotations or "test" not in settings.annotations:
        raise SadclError(
            "A VOC source needs a list of images for train and one for test",
            where="ingest.annotations",
            fix="Name the lists, such as VOCdevkit/VOC2007/ImageSets/Main/trainval.txt",
        )
    images: list[Image] = []
    for split in settings.annotations:
        plain = safe_join("", settings.file(split), "ingest.annotations")
        year = _year(plain)
        folder = settings.images.get(split, f"{year}/JPEGImages")
        for where, image in track(list(ids(root / plain)), f"reading labels of {split}"):
            file = safe_join(folder, f"{image}.jpg", where)
            labels, ignored = _labels(
                root / safe_join(f"{year}/Annotations", f"{image}.xml", where), settings.difficult
            )
            images.append(Image(image, file, split, labels, ignored))
    return Source(CLASSES, images)


def ids(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the position (``FILE, line 3``) and the id of each image in a list.

    Raises:
        SadclError: the list is missing or damaged, or is the list of a single class.
    """
    for where, line in read_lines(path, "Check ingest.annotations, or unpack the devkit again"):
        if len(line.split()) != 1:
            raise SadclError(
                f"The line has more than an image id: {short_repr(line)}",
                where=where,
                fix="Name a list of images (trainval.txt, test.txt), not the list of a class (aeroplane_trainval.txt)",
            )
        yield where, line


def _year(name: str) -> str:
    """Folder of a year's devkit, three levels above an image list."""
    path = PurePosixPath(name)
    if path.parts[-3:-1] != ("ImageSets", "Main"):
        raise SadclError(
            f"{name} is not in a folder ImageSets/Main, so its XML files can't be located",
            where="ingest.annotations",
            fix="Keep the devkit's folders as they are",
        )
    return str(path.parents[2])


def _labels(path: Path, difficult: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Indexes of the present classes, and of the classes that are neither present nor absent."""
    easy: set[int] = set()
    hard: set[int] = set()
    for name, is_hard in _objects(path):
        (hard if is_hard else easy).add(_class(name, path))
    present = easy | hard if difficult == "positive" else easy
    ignored = hard - easy if difficult == "ignore" else set()
    return tuple(sorted(present)), tuple(sorted(ignored))


def _objects(path: Path) -> Iterator[tuple[str, bool]]:
    """The class name of each object, and whether it is marked difficult."""
    content = read_text(path, "Unpack the devkit again: each image of the list has a file in Annotations")
    if "<!DOCTYPE" in content:  # without one there are no entities, which can expand without end or read other files
        raise SadclError("The file has a document type; VOC's files have none", where=path, fix=_FIX)
    try:
        tree = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise SadclError(f"The file is not XML: {error}", where=path, fix=_FIX) from None
    if tree.tag != "annotation":
        raise SadclError(f"The root element is {short_repr(tree.tag)}, not 'annotation'", where=path, fix=_FIX)
    for item in tree.iterfind("object"):
        flag = (item.findtext("difficult") or "0").strip()
        if flag not in ("0", "1"):
            raise SadclError(f"An object has difficult {short_repr(flag)}, which is not 0 or 1", where=path, fix=_FIX)
        yield (item.findtext("name") or "").strip(), flag == "1"


def _class(name: str, path: Path) -> int:
    if name not in _INDEX:
        raise SadclError(f"{short_repr(name)} is not one of VOC's twenty classes", where=path, fix=_FIX)
    return _INDEX[name]
