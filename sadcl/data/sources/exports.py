"""Parts that readers of exports have in common: where photos lie, and class lists of several files."""

import posixpath
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from sadcl.data.sources import safe_join
from sadcl.data.sources.rows import SPLIT_NAMES, Row
from sadcl.data.sources.safe_yaml import is_file
from sadcl.data.sources.text import is_valid_text, listed_name, short_repr
from sadcl.errors import SadclError


def photo_path(root: Path, name: str, folders: Iterable[str], where: object) -> str:
    """Path of a listed photo relative to ``root``: in the first folder that has it, else in the first folder.

    Raises:
        SadclError: the name is no valid text, or leaves the source.
    """
    if not is_valid_text(name):
        raise SadclError(f"{short_repr(name)} names no file", where=where, fix="Give each photo a file name")
    listed, places = listed_name(name), []
    for folder in folders:
        with suppress(SadclError):  # ../1.jpg is below the source for some folders only
            places.append(safe_join(folder, listed, where))
            if is_file(root / places[-1]):
                return places[-1]
    return places[0] if places else safe_join("", listed, where)


def beside(root: Path, path: Path, folder: str, inner: Sequence[str] = ("images",)) -> list[str]:
    """Folders that may hold an export's photos, in order: of the settings, of its file, above that, and those in each.

    Args:
        root: the source's folder.
        path: the annotation file.
        folder: by the settings.
        inner: usual folders of the format, from the most to the least special.
    """
    own = posixpath.dirname(path.relative_to(root).as_posix())
    starts = list(dict.fromkeys((folder, own, posixpath.dirname(own))))
    return [posixpath.join(start, name) for start in starts for name in ("", *inner)]


def split_named(name: object, default: str) -> str:
    """Split that a subset's name means (``valid``, ``Test``); ``default`` for any other name."""
    return SPLIT_NAMES.get(name.strip().lower(), default) if isinstance(name, str) else default


def all_classes(listed: Iterable[str], rows: Iterable[Row]) -> list[str]:
    """Classes in the order of a list, without repeats, and then the labels that it lacks, sorted."""
    known = dict.fromkeys(listed)
    labels = {label for row in rows for label in row.labels | row.ignored}
    return [*known, *sorted(labels - set(known))]


def by_folder(names: Sequence[str], start: str) -> list[str]:
    """Split of each photo by the first of its folders below ``start`` that is named after one.

    All are empty where a photo is in no such folder, or none is in train.
    """
    splits = [
        next((split for part in name[len(start) :].split("/")[:-1] if (split := split_named(part, ""))), "")
        for name in names
    ]
    return splits if all(splits) and "train" in splits else [""] * len(names)
