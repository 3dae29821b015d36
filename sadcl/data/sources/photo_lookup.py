"""Photos that a list names otherwise than the disk does: by letter case, extension, escapes or folder.

Lists travel between computers. A name that is no file is compared with the photos below the source's folder, from the
closest form to the loosest, and exactly one photo has to fit in the first form that any fits:

1. in the same folder: in another Unicode form (NFC, NFD), letter case, spelling of the extension (``.jpeg``, ``.JPG``),
   or with another extension or none;
2. in any folder: the photos of this name, with any spelling of the extension, that share the longest end of the path,
   and of these the ones nearest to the listed folder (``job_1/annotations`` goes with ``job_1/images``).
   Where the folder of the listed name has photos, only those below it count: a photo that was removed from ``2023`` is
   not the one of the same name in ``2024``.

Addresses (``https://host/x/1.jpg``, ``gs://bucket/1.jpg``, ``C:\\photos\\1.jpg``) count as the path in them.
Where a manifest lists the photos of a source, its paths take the place of those on the disk.
"""

import os
import posixpath
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

from sadcl.data.listed_photos import of_source, presence
from sadcl.data.sources import Image, Source
from sadcl.data.sources.photo_files import SUFFIXES, is_photo, walk_photos
from sadcl.data.sources.text import normal_name, short_repr
from sadcl.names import counted

MAX_PHOTOS = 1_000_000
"""Most photos that are compared with a name, to bound memory; below a folder with more, nothing is found."""
NAMED = 3
"""Number of substitutions that a sentence names."""
KINDS = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif", ".heif": ".heic", ".hif": ".heic"}
"""Spellings of an extension, and the usual one."""
SHOWN = 10
"""Most photos that are reported for an ambiguous name."""
LONGEST = 4096
"""Longest path in characters that is looked up; no file system has longer ones."""
SEPARATOR, LAST = "\0", "\U0010ffff"
"""A character that no path has, and one that sorts after all others."""
_SCHEME = re.compile(r"(?:.*/)?[A-Za-z][A-Za-z0-9+.-]*:/+", re.DOTALL)
_UPWARDS = re.compile(r"^(?:\.\./|/)+")


@dataclass(frozen=True)
class Substitution:
    """A photo that is used for a listed name.

    Attributes:
        listed: path that the list gives, relative to the source's folder.
        file: path of the photo, relative to the source's folder.
        reason: in what they differ: ``Unicode form``, ``letter case``, ``extension``, ``path`` (an address, escapes,
            separators) or ``folder``.
    """

    listed: str
    file: str
    reason: str


class PhotoLookup:
    """Lookup of photos below a folder by names that differ from theirs.

    The folder is read at the first question.

    Args:
        root: the source's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._by_end: dict[bool, list[tuple[str, str]]] = {}

    def find(self, file: str) -> str | None:
        """Path of the only photo that fits a listed path; None if none or several fit."""
        photos, _ = self.match(file)
        return photos[0] if len(photos) == 1 else None

    def candidates(self, file: str) -> list[str]:
        """Paths of the photos that fit a listed path equally well, at most ten."""
        return self.match(file)[0]

    def match(self, file: str) -> tuple[list[str], str]:
        """Photos that fit a listed path equally well, at most ten, and the reason (``Substitution.reason``)."""
        readings = list(_readings(file)) if len(file) <= LONGEST else []
        for compare in (self._same_folder, self._any_folder):
            for number, name in enumerate(readings):
                photos, reason = compare(name)
                if photos:
                    return sorted(photos)[:SHOWN], reason if number == 0 or reason == "folder" else "path"
        return [], ""

    def _same_folder(self, name: str) -> tuple[list[str], str]:
        folder, (stem, kind) = _folder(name), _stem(name)
        photos = [photo for _, photo in _between(self._photos.get(stem, []), f"{folder}/", f"{folder}/\0")]
        if len(photos) > SHOWN:
            return photos, "extension"
        written, folded = normal_name(name), fold(name)
        for reason, fits in (
            ("path", [photo for photo in photos if photo == name]),
            ("Unicode form", [photo for photo in photos if normal_name(photo) == written]),
            ("letter case", [photo for photo in photos if fold(photo) == folded]),
            ("extension", [photo for photo in photos if _stem(photo)[1] == kind]),
            ("extension", photos),
        ):
            if fits:
                return fits, reason
        return [], ""

    def _any_folder(self, name: str) -> tuple[list[str], str]:
        folder, (stem, kind) = _folder(name), _stem(name)
        if folder in self._folders:
            below = _between(self._photos.get(stem, []), f"{folder}/", f"{folder}/{LAST}")
            alike = [photo for _, photo in below if len(below) > SHOWN or kind in ("", _stem(photo)[1])]
            return alike, "folder"
        ends = self._ends(kind != "")
        parts = _end(name, kind != "").split(SEPARATOR)
        for length in range(len(parts) - 1, 1, -1):  # the end of the path, one folder shorter each time
            end = SEPARATOR.join(parts[:length]) + SEPARATOR
            if photos := [photo for _, photo in _between(ends, end, end + LAST)]:
                return _nearest(folder, photos), "folder"
        return [], ""

    @cached_property
    def _photos(self) -> dict[str, list[tuple[str, str]]]:
        """By the folded name without its extension: folded folder and path of the photos, sorted."""
        photos: dict[str, list[tuple[str, str]]] = {}
        paths = (path for path in walk_photos(self._root, strict=False) if _is_text(path))
        for number, path in enumerate(filter(presence(self._root), paths)):
            if number == MAX_PHOTOS:
                return {}
            photos.setdefault(_stem(path)[0], []).append((f"{_folder(path)}/", path))
        for group in photos.values():
            group.sort()
        return photos

    @cached_property
    def _folders(self) -> set[str]:
        """Folded paths of the folders with photos in or below them, without the source's folder itself."""
        folders: set[str] = set()
        for group in self._photos.values():
            for folder, _ in group:
                plain = folder[:-1]
                while plain and plain not in folders:
                    folders.add(plain)
                    plain = posixpath.dirname(plain)
        return folders

    def _ends(self, with_kind: bool) -> list[tuple[str, str]]:
        """Path from its end to its start, and path, of all photos, sorted: equal ends are neighbours."""
        if with_kind not in self._by_end:
            photos = (photo for group in self._photos.values() for _, photo in group)
            self._by_end[with_kind] = sorted((_end(photo, with_kind), photo) for photo in photos)
        return self._by_end[with_kind]


def locate(source: Source, root: Path) -> tuple[Source, list[Substitution]]:
    """Look up the images of a source whose files are not on the disk.

    A photo that another image names by its own path is no candidate in another folder. An image id that equals the
    listed path follows the photo.

    Returns:
        The source with the paths of the photos, and what was substituted, in the order of the images. Where nothing is
        missing, it is the same source, and the folder was not read.
    """
    present = list(map(presence(root), (image.file for image in source.images)))
    if all(present):
        return source, []
    taken = {image.file for image, has_photo in zip(source.images, present, strict=True) if has_photo}
    listed, lookup, images, substitutions = of_source(root), PhotoLookup(root), list(source.images), []
    for i, image in enumerate(images):
        if present[i]:
            continue
        if listed is not None and (file := listed.relative(image.file)):  # its address: no other name
            images[i] = _renamed(image, file)
            continue
        photos, reason = lookup.match(image.file)
        if len(photos) == 1 and not (reason == "folder" and photos[0] in taken):
            substitutions.append(Substitution(image.file, photos[0], reason))
            images[i] = _renamed(image, photos[0])
    return replace(source, images=images), substitutions


def listed_names(source: Source) -> list[str]:
    """Path of each image as its list gives it, before ``locate``."""
    listed = {item.file: item.listed for item in source.substitutions}
    return [listed.get(image.file, image.file) for image in source.images]


def describe(substitutions: tuple[Substitution, ...]) -> str:
    """Sentence about substitutions for the user: how many, and the first of them."""
    named = [(short_repr(item.listed), short_repr(item.file), item.reason) for item in substitutions[:NAMED]]
    first = ", ".join(f"{listed} is {file} ({reason})" for listed, file, reason in named)
    more = ", ..." if len(substitutions) > NAMED else ""
    photos = counted(len(substitutions), "photo has", "photos have")
    return f"{photos} another name on the disk than in the list: {first}{more}"


def fold(text: str) -> str:
    """Normal form without letter case."""
    return text.lower() if text.isascii() else normal_name(normal_name(text).casefold())


def _readings(file: str) -> Iterator[str]:
    """A listed path as it is written, and if it differs, as the path in an address, without escapes."""
    name = _inner(file)
    yield name
    if (unescaped := _inner(unquote(name))) != name:
        yield unescaped


def _inner(name: str) -> str:
    """Relative path in an address or an absolute path; without query, and without ``..`` at its start."""
    plain = name.replace("\\", "/")
    scheme = _SCHEME.match(plain)
    address = plain[scheme.end() :] if scheme else plain
    before, mark, _ = address.partition("?")
    if mark and (address != plain or is_photo(before)):
        address = before
    return _UPWARDS.sub("", posixpath.normpath(address))


def _stem(path: str) -> tuple[str, str]:
    """Folded file name without extension, and the usual spelling of the extension; empty if it is none of a photo."""
    stem, suffix = os.path.splitext(posixpath.basename(path))
    suffix = suffix.lower()
    if suffix not in SUFFIXES:
        return fold(posixpath.basename(path)), ""
    return fold(stem), KINDS.get(suffix, suffix)


def _folder(path: str) -> str:
    return fold(posixpath.dirname(path))


def _end(path: str, with_kind: bool) -> str:
    """Extension, folded name and folders of a path from its end to its start, each followed by the separator."""
    stem, kind = _stem(path)
    folders = _folder(path).split("/")
    parts = [kind if with_kind else "", stem, *reversed(folders)]
    return SEPARATOR.join(parts) + SEPARATOR


def _nearest(folder: str, photos: list[str]) -> list[str]:
    """Photos that share the most folders with a listed one, from the source's folder on: those of the same export."""
    if not 1 < len(photos) <= SHOWN:  # of more, the nearest may be among those that were not listed
        return photos
    shared = [len(posixpath.commonpath([f"/{folder}", f"/{_folder(photo)}"])) for photo in photos]
    return [photo for photo, length in zip(photos, shared, strict=True) if length == max(shared)]


def _between(pairs: list[tuple[str, str]], first: str, last: str) -> list[tuple[str, str]]:
    """Pairs of a sorted list whose first text is at least ``first`` and below ``last``, at most eleven."""
    start = bisect_left(pairs, (first,))
    return list(takewhile(lambda pair: pair[0] < last, pairs[start : start + SHOWN + 1]))


def _renamed(image: Image, file: str) -> Image:
    return replace(image, file=file, image_id=file if image.image_id == image.file else image.image_id)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
