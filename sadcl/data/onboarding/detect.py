"""Which of the formats a folder or file of people's own photos is, and where its photos are."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sadcl import params
from sadcl.data import sources
from sadcl.data.sources import csv_table, parquet_table, tabular
from sadcl.data.sources.photo_files import photos
from sadcl.data.sources.rows import SPLIT_NAMES, words
from sadcl.data.sources.safe_yaml import is_file
from sadcl.errors import SadclError

TABLES = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl"}
FOLDERS = 50
"""Folders that are looked through for photos, at most."""
KNOWN = (
    "Give a folder tree LABEL/photo.jpg, a CSV or Parquet file with the columns file and labels, a metadata.jsonl, "
    "COCO instances, a Label Studio export as JSON, or YOLO's data.yaml"
)
"""What to give, for who gave something else."""


@dataclass(frozen=True)
class DetectedSource:
    """A source as it lies somewhere.

    Attributes:
        root: its folder.
        ingest: the settings that read it: format, annotations, images, slices.
        whole: it is all of the folder, not only what one file names.
        source: what it says.
    """

    root: Path
    ingest: dict[str, Any]
    whole: bool
    source: sources.Source = field(repr=False)


def recognise(path: Path) -> DetectedSource:
    """Find out what was given, and read it.

    Args:
        path: a folder, or an annotation file beside or above its photos.

    Raises:
        SadclError: it is nothing that is known, or not whole; each photo that it names has to be there.
    """
    if not path.exists():
        raise SadclError(
            "There is nothing of this name", where=path, fix="Name a folder of photos, or a file of labels"
        )
    root = path if path.is_dir() else path.parent
    settings = _folder(path) if path.is_dir() else _file(path)
    settings, source = locate_photos(root, settings)
    _refuse_missing(source, root)
    return DetectedSource(root, settings, path.is_dir() or settings["format"] == "yolo", source)


def _folder(root: Path) -> dict[str, Any]:
    """Settings by what lies in a folder; a list of labels goes before names of folders."""
    for name in ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml"):
        if (root / name).is_file():
            return _settings("yolo", {"train": name})
    for suffix in TABLES:
        lists = [p for p in visible(root, 1) if p.suffix.lower() == suffix]
        lists = [p for p in lists if suffix != ".jsonl" or p.name.lower() == "metadata.jsonl"]
        if lists:
            return _lists(root, TABLES[suffix], lists)
    for paths in (visible(root, 0), visible(root, 1)):
        kinds = {p: kind for p in paths if p.suffix.lower() == ".json" and (kind := _json_kind(p))}
        if kinds:
            first = next(iter(kinds.values()))
            return _lists(root, first, [p for p, kind in kinds.items() if kind == first])
    return _tree(root)


def _file(path: Path) -> dict[str, Any]:
    suffix = path.suffix.lower()
    kind = TABLES.get(suffix) or (
        "yolo" if suffix in (".yaml", ".yml") else _json_kind(path) if suffix == ".json" else ""
    )
    if not kind:
        raise SadclError("This is no file of labels that is known", where=path, fix=KNOWN)
    return _lists(path.parent, kind, [path])


def _lists(root: Path, kind: str, paths: Sequence[Path]) -> dict[str, Any]:
    """Settings of one list, or of one a split by their names."""
    if len(paths) == 1:
        return _settings(kind, {"train": paths[0].relative_to(root).as_posix()})
    inner = [path.relative_to(root) for path in paths]
    by_split = {split: path.as_posix() for path in inner if (split := split_of(path))}
    if len(by_split) != len(paths) or "train" not in by_split:
        names = ", ".join(sorted(path.relative_to(root).as_posix() for path in paths)[:5])
        raise SadclError(f"There is more than one file of labels: {names}", where=root, fix="Give the one that counts")
    return _settings(kind, held_out(by_split))


def _tree(root: Path) -> dict[str, Any]:
    folders = [path.name for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    if not folders:
        raise SadclError("The folder holds no labels", where=root, fix=KNOWN)
    named = {split: name for name in folders if (split := SPLIT_NAMES.get(name.lower()))}
    if "train" not in named or len(named) == 1:
        return {**_settings("folder", {}), "images": {"train": "."}}
    strangers = [name for name in folders if name not in named.values() and photos(root, name)]
    if strangers:
        what = (
            f"{' and '.join(named.values())} are folders of splits, and {', '.join(strangers[:5])} beside them is none"
        )
        raise SadclError(what, where=root, fix="Take what is no split elsewhere, or rename it to train, val or test")
    return {**_settings("folder", {}), "images": held_out(named)}


def _settings(kind: str, annotations: dict[str, str]) -> dict[str, Any]:
    return {"format": kind, "annotations": annotations, "images": {}}


def _json_kind(path: Path) -> str:
    """Whether a JSON file is COCO's or Label Studio's; empty for all others."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    if isinstance(value, dict) and {"images", "annotations", "categories"} <= set(value):
        return "coco"
    tasks = isinstance(value, list) and value and isinstance(value[0], dict) and "data" in value[0]
    return "labelstudio" if tasks else ""


def _refuse_missing(source: sources.Source, root: Path) -> None:
    if not source.images:
        raise SadclError("It names no photo", where=root, fix=KNOWN)
    missing = [image.file for image in source.images if not is_file(root / image.file)]
    if missing:
        raise SadclError(
            f"{len(missing):,} of {len(source.images):,} photos are not there, {missing[0]!r} first",
            where=root,
            fix="Put them there, or take them out of the labels",
        )


def locate_photos(root: Path, settings: dict[str, Any]) -> tuple[dict[str, Any], sources.Source]:
    """Settings completed by where the photos lie, and by which columns are no class."""
    if settings["format"] in ("yolo", "folder"):
        return settings, read(root, settings)
    if settings["format"] in ("csv", "parquet"):
        slices = _slices([root / name for name in settings["annotations"].values()], settings["format"])
        settings = {**settings, **({"slices": slices} if slices else {})}
    best: tuple[int, dict[str, Any], sources.Source] = (-1, settings, sources.Source((), []))
    plain: list[str] | None = None  # names as the lists give them
    for images in _places(root, settings):
        tried, places = {**settings, "images": images}, set(images.values())
        if plain is not None and len(places) == 1:  # lists may be long: they are read again for the winner alone
            folder = root / places.pop()
            if sum(is_file(folder / name) for name in plain) <= best[0]:
                continue
        source = read(root, tried)
        if places == {"."} and settings["format"] != "labelstudio":  # its reader looks for each photo in three places
            plain = [image.file for image in source.images]
        there = sum(is_file(root / image.file) for image in source.images)
        if there > best[0]:
            best = there, tried, source
        if there == len(source.images):
            break
    return best[1:]


def _places(root: Path, settings: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Where the photos of each split could be: beside its list, in the source, or in one of its folders."""
    lists: dict[str, str] = settings["annotations"]
    beside = {split: str(Path(name).parent.as_posix()) for split, name in lists.items()}
    yield beside
    yield dict.fromkeys(lists, ".")
    folders = [path.relative_to(root).as_posix() for path in visible(root, 1, folders=True)][:FOLDERS]
    by_split = held_out({split: name for name in folders if (split := split_of(Path(name)))})
    if set(by_split) == set(lists) > {"train"}:
        yield by_split
    for name in folders:
        yield dict.fromkeys(lists, name)


def _slices(paths: Sequence[Path], kind: str) -> list[str]:
    """Columns of a sheet with one column a class that mostly hold more than 0 and 1.

    A column with a few odd cells is a class all the same, whose reader names the first of them.
    """
    reader = csv_table.open_rows if kind == "csv" else parquet_table.open_rows
    filled, odd = Counter[str](), Counter[str]()
    for path in paths:
        columns, records = tabular.table(path, reader)
        if "labels" in columns or "file" not in columns:
            return []
        others = [name for name in columns if name not in tabular.OWN]
        for _, record in records:
            cells = {name: "?" if (cell := words(record[name])) is None else cell.lower() for name in others}
            filled.update(name for name, cell in cells.items() if cell)
            odd.update(name for name, cell in cells.items() if cell not in tabular.FLAGS)
    found = [name for name in others if 2 * odd[name] > filled[name]]
    if len(found) == len(others):
        what = "The header has no column 'labels', and no column holds 0 and 1 for a class"
        raise SadclError(what, where=paths[0], fix=KNOWN)
    return found


def split_of(path: Path) -> str | None:
    """The split in a file's name (test.csv, instances_val2017.json), or in that of its folder (test/metadata.jsonl)."""
    for name in (path.stem, path.parent.name):
        told = {split for word in re.findall("[a-z]+", name.lower()) if (split := SPLIT_NAMES.get(word))}
        if len(told) == 1:
            return told.pop()
    return None


def held_out(by_split: dict[str, str]) -> dict[str, str]:
    """Without a test split, the one for validation is what the model is tested on."""
    if "select" in by_split and "test" not in by_split:
        by_split["test"] = by_split.pop("select")
    return {split: by_split[split] for split in ("train", "select", "test") if split in by_split}


def read(root: Path, ingest: dict[str, Any]) -> sources.Source:
    """Read a source by settings that have no source's name yet."""
    return sources.read_source(root, params.Ingest.model_validate({"source": "own", **ingest}))


def visible(root: Path, depth: int, *, folders: bool = False) -> list[Path]:
    """Files (or folders) of a folder, and of those in it down to a depth, in order."""
    found: list[Path] = []
    for path in sorted(root.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            found += [path] if folders else []
            found += visible(path, depth - 1, folders=folders) if depth else []
        elif not folders:
            found.append(path)
    return found
