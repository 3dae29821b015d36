"""Annotation files below a folder, by format, and which of them belong together."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from sadcl.data import listed_photos
from sadcl.data.onboarding.tables import is_table, table_error
from sadcl.data.sources.formats import FORMATS, Format
from sadcl.data.sources.photo_files import SUFFIXES, walk
from sadcl.data.sources.rows import SPLIT_NAMES
from sadcl.errors import SadclError

MAX_FOLDERS = 20_000
"""Most folders that are looked into."""
MAX_FILES = 50_000
"""Files of one suffix after which the first of each further folder is listed; of a file per photo, any will do."""
MAX_READ = 1_000
"""Most files of one suffix whose beginning is read, besides the first of each folder that is no table."""
TABLES = (".csv", ".tsv", ".parquet")
"""Suffixes of tables, of which more than the beginning may be read."""
MAX_TABLES = 20
"""Most tables whose errors are reported where no format fits."""
PROGRAMS = frozenset(("node_modules", "site-packages", "wandb", "mlruns"))
"""Folders of programs, in lower case."""
INSTANCES = "instances"
"""Name of COCO's annotations of all classes, next to those of keypoints and captions."""
_SPLIT_WORD = re.compile(rf"({'|'.join(SPLIT_NAMES)})(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Contents:
    """Files below a folder.

    Attributes:
        files: those that are no photos, the shallow ones first.
        complete: every folder was looked into.
    """

    files: list[Path]
    complete: bool


def scan(root: Path) -> Contents:
    """List the files that are no photos, without hidden ones, in a bounded number of folders."""
    files: list[Path] = []
    counts: Counter[str] = Counter()
    manifest = listed_photos.FILE if listed_photos.of_source(root) else ""
    folders = walk(root, skip=PROGRAMS)
    for folder, names in islice(folders, MAX_FOLDERS):
        in_folder: set[str] = set()
        for name in names:
            suffix = os.path.splitext(name)[1].lower()
            if suffix in SUFFIXES or (name == manifest and not folder):
                continue
            if counts[suffix] < MAX_FILES or suffix not in in_folder:
                files.append(root / folder / name)
            counts[suffix] += 1
            in_folder.add(suffix)
    return Contents(files, complete=next(folders, None) is None)


def candidates(files: Sequence[Path], chosen: str = "") -> list[tuple[Format, list[Path]]]:
    """Annotation files by format, in the order of ``FORMATS``; a file belongs to the first format that recognises it.

    Args:
        files: to look at.
        chosen: the only format to consider; where it recognises no file, the suffix decides. Empty for all formats.
    """
    by_format: dict[str, list[Path]] = {}
    formats = [known for known in FORMATS if chosen in ("", known.name)]
    for path in _sample(files):
        fits = (known for known in formats if path.suffix.lower() in known.suffixes and _recognises(known, path))
        if known := next(fits, None):
            by_format.setdefault(known.name, []).append(path)
    if not by_format:  # a table whose column of labels has an unusual name
        tables = [
            (known, path)
            for known in formats
            if known.name in ("csv", "parquet")
            for path in files[:MAX_READ]
            if path.suffix.lower() in known.suffixes and is_table(path, loosely=True)
        ]
        for known, path in tables:
            by_format.setdefault(known.name, []).append(path)
    if chosen and not by_format:
        by_format = {known.name: [path for path in files if path.suffix.lower() in known.suffixes] for known in formats}
    return [(known, by_format[known.name]) for known in FORMATS if by_format.get(known.name)]


def first_error(files: Sequence[Path]) -> SadclError | None:
    """Error in the first table with one among a few tables; None if there are many tables, or no error."""
    tables = [path for path in files if path.suffix.lower() in TABLES]
    errors = (table_error(path) for path in tables) if len(tables) <= MAX_TABLES else ()
    return next((error for error in errors if error), None)


def _sample(files: Sequence[Path]) -> list[Path]:
    """Files whose beginning is read: of each suffix the first of each folder, then the second, up to ``MAX_READ``."""
    ranks: Counter[tuple[Path, str]] = Counter()
    by_suffix: dict[str, list[tuple[int, int]]] = {}
    for i, path in enumerate(files):
        suffix = path.suffix.lower()
        by_suffix.setdefault(suffix, []).append((ranks[path.parent, suffix], i))
        ranks[path.parent, suffix] += suffix != ".txt"  # whose names are enough
    chosen = [
        i
        for suffix, places in by_suffix.items()
        for number, (rank, i) in enumerate(sorted(places))
        if number < MAX_READ or (rank == 0 and suffix not in TABLES)
    ]
    return [files[i] for i in sorted(chosen)]


def _recognises(known: Format, path: Path) -> bool:
    return known.recognises(path) and (known.name not in ("csv", "parquet") or is_table(path))


def alternatives(root: Path, known: Format, paths: Sequence[Path]) -> list[dict[str, str | list[str]]]:
    """Possible values of ``ingest.annotations``: files of one export by split, or files of several exports together.

    Files of different names (``labels.csv``, ``old.csv``) are alternatives.

    Raises:
        SadclError: the files of an export name several splits without train.
    """
    if known.per_photo:
        return [{"train": Path(os.path.commonpath([path.parent for path in paths])).relative_to(root).as_posix()}]
    names = [path.relative_to(root).as_posix() for path in paths]
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_kind(name), []).append(name)
    if known.one_for_all:
        return [{"train": group[0] if len(group) == 1 else group} for group in groups.values()]
    if INSTANCES in groups:
        groups = {INSTANCES: groups[INSTANCES]}
    for kind, group in list(groups.items()):
        without = [name for name in group if split_of(name) is None]
        if 0 < len(without) < len(group):  # labels.csv next to train.csv and test.csv
            groups[kind] = [name for name in group if name not in without]
            groups[f"{kind} "] = without
    return [_by_split(group, root) for group in groups.values()]


def split_of(name: str) -> str | None:
    """Split in a file's name (test.csv, instances_val2017.json) or in a folder's name (test/labels/metadata.jsonl)."""
    path = PurePosixPath(name)
    for part in (path.stem, *reversed(path.parts[:-1])):
        splits = {split for word in re.findall("[a-z]+", part.lower()) if (split := SPLIT_NAMES.get(word))}
        if len(splits) == 1:
            return splits.pop()
    return None


def held_out(by_split: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
    """Use the validation split as test split where a source has no other, in the order of the splits."""
    if "select" in by_split and "test" not in by_split:
        by_split["test"] = by_split.pop("select")
    return {split: by_split[split] for split in ("train", "select", "test") if split in by_split}


def _kind(name: str) -> str:
    """A file's name without split, numbers and marks: files of one export, or of several, share it."""
    return re.sub(r"[\W\d_]+", "", _SPLIT_WORD.sub("", PurePosixPath(name).stem.lower()))


def _by_split(names: list[str], root: Path) -> dict[str, str | list[str]]:
    if len(names) == 1:
        return {"train": names[0]}
    by_split: dict[str, list[str]] = {}
    for name in sorted(names):
        by_split.setdefault(split_of(name) or "train", []).append(name)
    if len(by_split) == 1:
        return {"train": sorted(names)}
    if "train" not in by_split:
        raise SadclError(f"None of {', '.join(sorted(names)[:5])} is for train", where=root, fix="Name the file to use")
    return held_out({split: group[0] if len(group) == 1 else group for split, group in by_split.items()})
