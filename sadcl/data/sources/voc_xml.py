"""PASCAL VOC's XML files for photos of one's own, with any class names, as LabelImg, Roboflow and CVAT write them.

``ingest.annotations`` names the folder of XML files, or one folder per split; the files may lie next to their photos.
The name of each object gives a label; parts of objects and deleted ones (LabelMe's XML) do not. ``ingest.difficult``
says what objects marked difficult mean. A photo has the name of its XML file, else the one in ``filename``, and is in
``JPEGImages``, ``images`` or ``data`` next to that folder, next to the XML file, or below ``ingest.images``. A photo
without an XML file is left out.

With one folder, the lists ``train.txt``, ``val.txt``, ``trainval.txt`` and ``test.txt`` in ``ImageSets/Main`` give the
splits, and a photo in two of them is refused; else names of folders do, if every photo is in one such as ``train`` or
``valid``. Lists of a class (``cup_train.txt`` next to ``train.txt``) add labels: 1 is present, 0 neither.
"""

import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path

from sadcl import params
from sadcl.data.sources import Source, per_photo, xml_events
from sadcl.data.sources.exports import split_named
from sadcl.data.sources.photo_files import is_photo
from sadcl.data.sources.rows import Row, build_source, validation_as_test
from sadcl.data.sources.text import is_valid_text, read_lines, short_repr
from sadcl.errors import SadclError
from sadcl.progress import track

_FIX = "Correct the file, or export it again as Pascal VOC"
_FLAG = re.compile(r"\s+(-1|0|1)$")
"""Flag after the name of a photo in the list of a class."""
_PHOTOS = ("JPEGImages", "images", "data")


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the XML files below the folders that the settings name.

    Raises:
        SadclError: a folder is missing, or a file is damaged.
    """
    rows: list[Row] = []
    matched: dict[Path, bool] = {}
    for split, folder, images in per_photo.folders(root, settings):
        files = per_photo.files_below(root, folder, ".xml")
        names = [posixpath.splitext(file[len(folder) :].lstrip("/"))[0] for file in files]
        sets = _read_sets(root, folder, frozenset(names))
        if not split:
            matched |= {path: fits or matched.get(path, False) for path, fits in sets.matched.items()}
        photos = [_read_file(root, file, folder, images) for file in track(files, "reading XML")]
        splits = per_photo.splits_of(files, [photo for photo, _ in photos], folder)
        for name, (photo, objects), by_name in zip(names, photos, splits, strict=True):
            row_split = split or sets.splits.get(name, "" if sets.splits else by_name)
            rows.append(_row(photo, row_split, objects, sets, name, settings.difficult))
    for path, fits in matched.items():
        if not fits:
            fix = "List the photos by the names of their XML files, or remove the list"
            raise SadclError("No photo of the list has an XML file", where=path, fix=fix)
    return build_source(validation_as_test(rows, settings), root)


def recognises(path: Path) -> bool:
    """Whether an XML file begins with ``annotation``, as VOC's do."""
    return xml_events.head(path)[:1] == ["annotation"]


@dataclass(frozen=True)
class _Sets:
    """Split of each photo in the lists of a devkit, and classes that are present or neither.

    Attributes:
        splits: by the name of the XML file without suffix, as are the others.
        present: classes on the photo.
        unknown: classes that are neither present nor absent.
        matched: whether a list of a split names a photo that has an XML file.
    """

    splits: dict[str, str] = field(default_factory=dict)
    present: dict[str, set[str]] = field(default_factory=dict)
    unknown: dict[str, set[str]] = field(default_factory=dict)
    matched: dict[Path, bool] = field(default_factory=dict)


class _Photo(xml_events.Handler):
    """Name of the photo, and each object's name with whether it is difficult."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _FIX)
        self.filename = ""
        self.objects: list[tuple[str, bool]] = []
        self._is_deleted = False

    def opened(self, name: str, attributes: dict[str, str]) -> None:  # noqa: ARG002
        if not self.parents and name != "annotation":
            raise self.refuse(f"The root element is {short_repr(name)}, not 'annotation'")
        if self.parents == ["annotation"] and name == "object":
            self.objects.append(("", False))
            self._is_deleted = False

    def closed(self, name: str, text: str) -> None:
        if self.parents == ["annotation"] and name == "filename":
            self.filename = text
        elif self.parents == ["annotation", "object"] and name == "name":
            self.objects[-1] = (text, self.objects[-1][1])
        elif self.parents == ["annotation", "object"] and name == "difficult":
            self.objects[-1] = (self.objects[-1][0], text == "1")
        elif self.parents == ["annotation", "object"] and name == "deleted":
            self._is_deleted = text == "1"
        elif self.parents == ["annotation"] and name == "object":
            self._end_object()

    def _end_object(self) -> None:
        if not is_valid_text(self.objects[-1][0]):
            raise self.refuse(f"Object number {len(self.objects)} has no name")
        if self._is_deleted:
            self.objects.pop()


def _read_file(root: Path, file: str, folder: str, images: str) -> tuple[str, list[tuple[str, bool]]]:
    """Photo and objects of an XML file."""
    photo = _Photo(root / file)
    xml_events.parse(photo)
    return per_photo.photo_of(root, file, folder, photo.filename, images, _PHOTOS), photo.objects


def _row(photo: str, split: str, objects: list[tuple[str, bool]], sets: _Sets, name: str, difficult: str) -> Row:
    easy = {label for label, is_hard in objects if not is_hard} | sets.present.get(name, set())
    hard = {label for label, is_hard in objects if is_hard} - easy
    unknown = sets.unknown.get(name, set()) | (hard if difficult == "ignore" else set())
    present = easy | hard if difficult == "positive" else easy
    return Row(photo, split, frozenset(present), frozenset(unknown - present))


def _read_sets(root: Path, folder: str, known: frozenset[str]) -> _Sets:
    """Lists in ``ImageSets/Main`` next to a folder of XML files, or in it; ``known`` names may end like a flag."""
    sets = _Sets()
    starts = (posixpath.dirname(folder), folder)
    main = next((path for start in starts if (path := root / start / "ImageSets/Main").is_dir()), None)
    if main is None:
        return sets
    names, first = sorted(path.stem for path in main.glob("*.txt")), dict[str, str]()
    # lists of train come first: those of val take their photos out of trainval
    for subset in sorted(names, key=lambda name: (name.lower() not in ("train", "training", "trainval"), name)):
        split = split_named("train" if subset == "trainval" and "train" not in names else subset, "")
        if split:
            path = main / f"{subset}.txt"
            lines = [line for _, line in read_lines(path, _FIX)]
            listed = [name if (name := _listed(line)) in known else _listed(_FLAG.sub("", line)) for line in lines]
            for name in listed:
                of_val = split == "select" and first.get(name, "").lower() == "trainval"
                if name in known and not of_val and sets.splits.get(name, split) != split:
                    problem = f"The photo {short_repr(name)} is in two splits, by {first[name]}.txt and {path.name}"
                    raise SadclError(problem, where=main, fix="Keep it in one of the lists")
                sets.splits[name], first[name] = split, subset
            if listed:
                sets.matched[path] = not known.isdisjoint(listed)
        for label in (name.removesuffix(f"_{subset}") for name in names if name.endswith(f"_{subset}")):
            for _, line in read_lines(main / f"{label}_{subset}.txt", _FIX):
                flag = _FLAG.search(line)
                group = {"1": sets.present, "0": sets.unknown}.get(flag[1] if flag else "")
                if flag and group is not None:
                    group.setdefault(_listed(line[: flag.start()]), set()).add(label)
    return sets


def _listed(name: str) -> str:
    """Name of a photo in a list, without the suffix of a photo."""
    return posixpath.splitext(name)[0] if is_photo(name) else name
