"""Photos with their labels, and the differences of two lists; annotation tables of others are read with bounds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from sadcl import bounded_json, bounded_parquet
from sadcl.data.table import METADATA_KEY, SPLITS
from sadcl.errors import SadclError, first_line

COLUMNS = ("image_id", "file", "split", "labels", "ignored", "sha256")
LONGEST = 300
"""Characters of a name that are kept."""
MOST_VALUES = 5_000_000
"""Values in the JSON part of a table."""


@dataclass(frozen=True)
class Photo:
    """One photo of a table.

    Attributes:
        sha256: of its bytes.
        image_id, file: its id, and its path below the source.
        split: `train`, `select` or `test`.
        labels: names of the classes that are present.
        ignored: names of the classes that are neither present nor absent.
    """

    sha256: str
    image_id: str
    file: str
    split: str
    labels: frozenset[str]
    ignored: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PhotoList:
    """Photos of a table.

    Attributes:
        classes: names.
        photos: by SHA-256 of their bytes; of equal files, the first.
        source: folder of the files, relative to the project.
        look_alikes: pairs across the border of test: id in test, id of the other, transform, similarity.
    """

    classes: tuple[str, ...]
    photos: dict[str, Photo]
    source: str
    look_alikes: tuple[tuple[str, str, str, float], ...]

    @property
    def by_id(self) -> dict[str, Photo]:
        """Photos by their id."""
        return {photo.image_id: photo for photo in self.photos.values()}


@dataclass(frozen=True)
class Differences:
    """Differences of two lists; photos are equal if their bytes are.

    Attributes:
        added, removed: photos of the later and of the earlier list alone.
        relabelled, moved: earlier and later photo, with other labels among the classes of both lists, or another split.
    """

    added: list[Photo]
    removed: list[Photo]
    relabelled: list[tuple[Photo, Photo]]
    moved: list[tuple[Photo, Photo]]


def differences(before: PhotoList, after: PhotoList) -> Differences:
    """Compare a list of photos with an earlier one."""
    shared = frozenset(before.classes) & frozenset(after.classes)
    both = [(before.photos[digest], photo) for digest, photo in after.photos.items() if digest in before.photos]
    return Differences(
        added=[photo for digest, photo in after.photos.items() if digest not in before.photos],
        removed=[photo for digest, photo in before.photos.items() if digest not in after.photos],
        relabelled=[pair for pair in both if _state(pair[0], shared) != _state(pair[1], shared)],
        moved=[pair for pair in both if pair[0].split != pair[1].split],
    )


def _state(photo: Photo, classes: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Those of the classes that are present, and those that are neither present nor absent."""
    return photo.labels & classes, photo.ignored & classes


def read_photo_list(path: str | Path) -> PhotoList:
    """Read the photos of an annotation table.

    Raises:
        SadclError: the file is missing, damaged, no annotation table, or larger than its size allows.
    """
    fix = "Register the version again"
    try:
        table = bounded_parquet.read(path, list(COLUMNS))
        return _photo_list(bounded_json.parse(table.schema.metadata[METADATA_KEY], MOST_VALUES), table)
    except FileNotFoundError:
        raise SadclError("The table of photos is missing", where=path, fix=fix) from None
    # another Parquet file, or a damaged one, fails in any of these ways
    except (
        pa.ArrowException, KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError,
        OSError, SadclError,
    ) as error:  # fmt: skip
        reason = first_line(error)
        raise SadclError(f"The table of photos is damaged: {reason}", where=path, fix=fix) from None


def _photo_list(about: dict[str, object], table: pa.Table) -> PhotoList:
    classes = _texts(about["classes"])
    photos: dict[str, Photo] = {}
    for photo in _photos(table, classes):
        photos.setdefault(photo.sha256, photo)
    pairs = about.get("look_alikes", [])
    if not isinstance(pairs, list):
        raise TypeError("look-alikes are no list")
    look_alikes = tuple((_text(pair[0]), _text(pair[1]), _text(pair[2]), _share(pair[3])) for pair in pairs)
    return PhotoList(tuple(classes), photos, _text(about["source"]), look_alikes)


def _photos(table: pa.Table, classes: list[str]) -> Iterator[Photo]:
    columns = [table.column(name).to_pylist() for name in COLUMNS]
    names: dict[tuple[int, ...], frozenset[str]] = {}  # most photos share their set of labels with others
    for image_id, file, split, labels, ignored, sha256 in zip(*columns, strict=True):
        if split not in SPLITS:
            raise ValueError("a split is unknown")
        if sha256 is None:  # the photo could not be read
            continue
        if min((*labels, *ignored), default=0) < 0:
            raise ValueError("a label has no class")
        present, unknown = (
            names.setdefault(tuple(indexes), frozenset(classes[index] for index in indexes))
            for indexes in (labels, ignored)
        )
        yield Photo(_text(sha256), _text(image_id), _text(file), split, present, unknown)


def _share(value: object) -> float:
    """A number from 0 to 1."""
    if not isinstance(value, int | float) or not 0 <= value <= 1:  # also where it is not a number
        raise ValueError("a similarity is not from 0 to 1")
    return float(value)


def _texts(values: object) -> list[str]:
    if not isinstance(values, list):
        raise TypeError("names are no list")
    return [_text(value) for value in values]


def _text(value: object) -> str:
    """A text in UTF-8, cut where it is long."""
    if not isinstance(value, str):
        raise TypeError("a name is no text")
    value.encode()
    return value[:LONGEST]
