"""YOLO's label files, and paths as YOLO's descriptions and lists have them."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from sadcl.data.listed_photos import presence
from sadcl.data.sources import safe_join
from sadcl.data.sources.exports import split_named
from sadcl.data.sources.photo_files import walk
from sadcl.data.sources.photo_lookup import PhotoLookup, fold
from sadcl.data.sources.safe_yaml import is_file
from sadcl.data.sources.text import is_valid_text, listed_name, read_lines, short_repr
from sadcl.data.sources.yolo_set import CLASS_LISTS
from sadcl.errors import SadclError

_MOST_PARTS = 20
_FIX = "Correct the file"


def read_labels(root: Path, photos: Sequence[str], classes: Sequence[str]) -> list[frozenset[str]]:
    """Classes of the objects in the label file of each photo; none without a file.

    Raises:
        SadclError: a line begins with no index of a class, or several files fit a photo.
    """
    return [
        frozenset(classes[i] for i in _indexes(root / path, len(classes))) if path else frozenset()
        for path in _label_paths(root, photos)
    ]


def label_path(root: Path, photo: str) -> str | None:
    """Path of the label file with a photo's name: in ``labels`` in place of the last ``images``, or next to it."""
    return next((path for path in _places(photo) if is_file(root / path)), None)


def _places(photo: str) -> list[str]:
    sibling = PurePosixPath(photo).with_suffix(".txt")
    parts = sibling.parts
    last = max((i for i, part in enumerate(parts[:-1]) if part.lower() == "images"), default=None)
    places = [] if last is None else [PurePosixPath(*parts[:last], n, *parts[last + 1 :]) for n in ("labels", "Labels")]
    return [str(path) for path in (*places, sibling)]


def _label_paths(root: Path, photos: Sequence[str]) -> list[str | None]:
    """Label file of each photo: the one of its name, else one in another Unicode form or letter case.

    A photo that a list names otherwise than the disk does may have the label file of either name.
    """
    paths = [label_path(root, photo) for photo in photos]
    if all(paths):
        return paths
    left, lookup, is_present = _texts(root, {path for path in paths if path}), PhotoLookup(root), presence(root)
    for i, photo in enumerate(photos):
        if paths[i] is None:
            name = photo if is_present(photo) else lookup.find(photo) or photo
            paths[i] = label_path(root, name) or _alike(root, name, left)
    return paths


def _texts(root: Path, taken: Collection[str]) -> dict[str, list[str]]:
    """Paths of the text files that are not taken, by their folded form."""
    texts: dict[str, list[str]] = {}
    for folder, names in walk(root, each_path=True):
        paths = (f"{folder}/{name}" if folder else name for name in names if _may_be_labels(name))
        for path in paths:
            if path not in taken:
                texts.setdefault(fold(path), []).append(path)
    return texts


def _may_be_labels(name: str) -> bool:
    """Whether a file may be the label file of a photo: a text that is neither a list of classes nor one of a split."""
    stem, _, suffix = name.lower().rpartition(".")
    return suffix == "txt" and name.lower() not in CLASS_LISTS and not split_named(stem, "")


def _alike(root: Path, photo: str, texts: Mapping[str, list[str]]) -> str | None:
    """The text file whose folded path is that of a photo's label file; None without one."""
    fits = next((texts[place] for place in map(fold, _places(photo)) if place in texts), [])
    if len(fits) > 1:
        problem = f"Several label files fit the photo {short_repr(photo)}: {', '.join(map(short_repr, fits[:3]))}"
        raise SadclError(problem, where=root, fix="Keep the one of its name")
    return fits[0] if fits else None


def shortened(start: str, value: str) -> Iterator[str]:
    """Paths below ``start`` that a value may mean, without those that leave the source.

    The value itself comes first. Values of another computer (``/content/set/train/images``, ``../train/images``,
    ``data/obj_train_data/1.jpg``) follow without their first parts, up to a name of a split or ``images``: the folder
    ``images`` is not a missing ``test/images``.
    """
    if not is_valid_text(value) or "\0" in value or not is_valid_text(start) or "\0" in start:
        return
    parts = re.sub(r"^(\.{1,2}/)+", "", listed_name(value)).split("/")
    fixed = next((i for i, part in enumerate(parts[:-1]) if part == "images" or split_named(part, "")), len(parts) - 1)
    ends = ("/".join(parts[i:]) for i in range(min(fixed + 1, _MOST_PARTS)))
    for name in dict.fromkeys((value, *ends)):
        try:
            yield safe_join(start, name, "")
        except SadclError:
            continue


def first_index(line: str) -> int | None:
    """The number that a line begins with; None if it is no whole number: ``3``, ``3.0`` and ``3.000e+00`` are."""
    first = line.split(maxsplit=1)[0]
    if len(first) > 30 or not first.isascii() or not first[0].isdigit():
        return None
    try:
        value = float(first)
    except ValueError:
        return None
    return int(value) if value.is_integer() and value < 1e9 else None


def _indexes(path: Path, classes: int) -> set[int]:
    indexes = set()
    for where, line in read_lines(path, _FIX):
        index = first_index(line)
        if index is None or index >= classes:
            first = short_repr(line.split()[0])
            problem = f"A line begins with {first}, which is not an index of the {classes} classes"
            raise SadclError(problem, where=where, fix=_FIX)
        indexes.add(index)
    return indexes
