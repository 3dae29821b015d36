"""Parts that readers of exports have in common: where photos lie, and several files as one source."""

import posixpath
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sadcl import params
from sadcl.data.listed_photos import is_present
from sadcl.data.sources import Source, safe_join
from sadcl.data.sources.rows import SPLIT_NAMES, Row, build_source, validation_as_test
from sadcl.data.sources.text import is_valid_text, listed_name, normal_name, short_repr
from sadcl.errors import SadclError

Part = tuple[Sequence[str], list[Row]]
"""Class list of a file, and its rows."""


def photo_path(root: Path, name: str, folders: Iterable[str], where: object) -> str:
    """Path of a listed photo relative to ``root``: in the first folder that has it, else in the first folder.

    Raises:
        SadclError: the name is no valid text, or leaves the source.
    """
    listed, places = listed_name(name), list[str]()
    if not is_valid_text(name) or posixpath.basename(listed) in ("", ".", ".."):
        raise SadclError(f"{short_repr(name)} names no file", where=where, fix="Give each photo a file name")
    for folder in folders:
        with suppress(SadclError):  # ../1.jpg is below the source for some folders only
            places.append(safe_join(folder, listed, where))
            if is_present(root, places[-1]):
                return places[-1]
    return places[0] if places else safe_join("", listed, where)


def photo_folders(root: Path, path: Path, folder: str, inner: Sequence[str] = ("images",)) -> list[str]:
    """Folders that may hold an export's photos: of the settings, of its file, above that, and the usual ones in each.

    Args:
        root: the source's folder.
        path: the annotation file.
        folder: by the settings.
        inner: usual folders of the format, from the most to the least special.
    """
    own = posixpath.dirname(path.relative_to(root).as_posix())
    near = (own, posixpath.dirname(own))
    starts = dict.fromkeys((*near, "") if folder in ("", ".") else (folder, *near))
    return [posixpath.join(start, name) for start in starts for name in ("", *inner)]


def split_named(name: object, default: str) -> str:
    """Split that a subset's name means (``valid``, ``Test``); ``default`` for any other name."""
    return SPLIT_NAMES.get(name.strip().lower(), default) if isinstance(name, str) else default


def combined(parts: Sequence[Part], settings: params.Ingest, where: object) -> Source:
    """Source of several files: classes in the order in which the files list them, then the labels that none lists.

    A class that a file with a list of classes neither lists nor has on a photo is unknown for the photos of that file.

    Args:
        parts: the class list and the rows of each file; the list is empty where the file has none.
        settings: annotation files by split; validation becomes test where there is no other test.
        where: the file or folder, for errors.

    Raises:
        SadclError: no photo has a label.
    """
    lists = [frozenset(map(normal_name, names)) for names, _ in parts]
    used = [{normal_name(label) for row in rows for label in row.labels | row.ignored} for _, rows in parts]
    listed = dict.fromkeys(normal_name(name) for names, _ in parts for name in names)
    classes = [*listed, *sorted(set().union(*used) - set(listed))]
    combined: list[Row] = []
    for (_, rows), names, labels in zip(parts, lists, used, strict=True):
        unknown = frozenset(classes) - names - labels if names else frozenset[str]()
        combined += [replace(row, ignored=row.ignored | unknown) for row in rows] if unknown else rows
    return build_source(validation_as_test(combined, settings), where, classes)


def by_folder(names: Sequence[str], start: str) -> list[str]:
    """Split of each file by the first folder on its path from ``start`` that is named after one.

    All are empty where a file is in no such folder, or none is in train.
    """
    paths = [posixpath.relpath(f"/{name}", f"/{start}").split("/")[:-1] for name in names]
    splits = [next((split for part in path if (split := split_named(part, ""))), "") for path in paths]
    return splits if all(splits) and "train" in splits else [""] * len(names)
