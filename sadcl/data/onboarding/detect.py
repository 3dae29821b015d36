"""Detection of the format of the user's own photos, and of the folders that have them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sadcl import params
from sadcl.data import sources
from sadcl.data.sources import csv_table, parquet_table, tabular
from sadcl.data.sources.formats import FORMATS
from sadcl.data.sources.photo_files import list_photos
from sadcl.data.sources.photo_lookup import listed_names
from sadcl.data.sources.rows import SPLIT_NAMES, scalar_text
from sadcl.data.sources.safe_yaml import is_file
from sadcl.errors import SadclError

TABLES = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl"}
MAX_FOLDERS = 50
"""Most folders that are tried as the folder of photos."""
KNOWN = (
    "Give a folder tree LABEL/photo.jpg, a CSV or Parquet file with the columns file and labels, a metadata.jsonl, "
    "COCO instances, a Label Studio export as JSON, or YOLO's data.yaml"
)
"""Advice of every error about an unknown format."""


@dataclass(frozen=True)
class DetectedSource:
    """A source with the settings that read it.

    Attributes:
        root: its folder.
        ingest: settings: format, annotations, images, slices.
        whole: the source is the whole folder, not only the photos of one file of labels.
        source: its annotations.
    """

    root: Path
    ingest: dict[str, Any]
    whole: bool
    source: sources.Source = field(repr=False)


def detect_source(path: Path) -> DetectedSource:
    """Detect the format of a source, and read it.

    Args:
        path: a folder, or a file of labels next to its photos or above them.

    Raises:
        SadclError: the format is unknown, or a photo is missing.
    """
    if not path.exists():
        raise SadclError(
            "There is no such file or folder", where=path, fix="Name a folder of photos, or a file of labels"
        )
    root = path if path.is_dir() else path.parent
    settings = _folder(path) if path.is_dir() else _file(path)
    settings, source = _locate_photos(root, settings)
    _refuse_missing(source, root)
    return DetectedSource(root, settings, path.is_dir() or settings["format"] == "yolo", source)


def _folder(root: Path) -> dict[str, Any]:
    """Settings of a folder; a list of labels takes precedence over names of folders."""
    for name in ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml"):
        if (root / name).is_file():
            return _settings("yolo", {"train": name})
    for suffix in TABLES:
        lists = [p for p in _visible(root, 1) if p.suffix.lower() == suffix]
        lists = [p for p in lists if suffix != ".jsonl" or p.name.lower() == "metadata.jsonl"]
        if lists:
            return _lists(root, TABLES[suffix], lists)
    for paths in (_visible(root, 0), _visible(root, 1)):
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
        raise SadclError("The format of this file of labels is unknown", where=path, fix=KNOWN)
    return _lists(path.parent, kind, [path])


def _lists(root: Path, kind: str, paths: Sequence[Path]) -> dict[str, Any]:
    """Settings of one list of labels, or of one list per split by their names."""
    if len(paths) == 1:
        return _settings(kind, {"train": paths[0].relative_to(root).as_posix()})
    relative = [path.relative_to(root) for path in paths]
    by_split = {split: path.as_posix() for path in relative if (split := _split_of(path))}
    if len(by_split) != len(paths) or "train" not in by_split:
        names = ", ".join(sorted(path.relative_to(root).as_posix() for path in paths)[:5])
        raise SadclError(f"There is more than one file of labels: {names}", where=root, fix="Name the file to use")
    return _settings(kind, _held_out(by_split))


def _tree(root: Path) -> dict[str, Any]:
    folders = [path.name for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    if not folders:
        raise SadclError("The folder has no labels", where=root, fix=KNOWN)
    named = {split: name for name in folders if (split := SPLIT_NAMES.get(name.lower()))}
    if "train" not in named or len(named) == 1:
        return {**_settings("folder", {}), "images": {"train": "."}}
    other_folders = [name for name in folders if name not in named.values() and list_photos(root, name)]
    if other_folders:
        reason = f"{' and '.join(named.values())} are splits, but {', '.join(other_folders[:5])} is not"
        raise SadclError(reason, where=root, fix="Move it out of the folder, or rename it to train, val or test")
    return {**_settings("folder", {}), "images": _held_out(named)}


def _settings(kind: str, annotations: dict[str, str]) -> dict[str, Any]:
    return {"format": kind, "annotations": annotations, "images": {}}


def _json_kind(path: Path) -> str:
    """Format of a JSON file; empty if it is none."""
    return next((known.name for known in FORMATS if ".json" in known.suffixes and known.recognises(path)), "")


def _refuse_missing(source: sources.Source, root: Path) -> None:
    if not source.images:
        raise SadclError("The source names no photo", where=root, fix=KNOWN)
    missing = [image.file for image in source.images if not is_file(root / image.file)]
    if missing:
        raise SadclError(
            f"{len(missing):,} of {len(source.images):,} photos are missing; the first is {missing[0]!r}",
            where=root,
            fix="Add them, or remove them from the labels",
        )


def _locate_photos(root: Path, settings: dict[str, Any]) -> tuple[dict[str, Any], sources.Source]:
    """Complete settings by the folder of photos and the slice columns.

    Returns:
        Settings with the most photos on the disk, and the source that they read.

    Raises:
        SadclError: the source is damaged, or has no class.
    """
    if settings["format"] in ("yolo", "folder"):
        return settings, _read(root, settings)
    if settings["format"] in ("csv", "parquet"):
        slices = _slices([root / name for name in settings["annotations"].values()], settings["format"])
        settings = {**settings, **({"slices": slices} if slices else {})}
    best: tuple[int, dict[str, Any], sources.Source] = (-1, settings, sources.Source((), []))
    listed: list[str] | None = None  # names as the lists have them
    for images in _candidate_folders(root, settings):
        candidate, folders = {**settings, "images": images}, set(images.values())
        if listed is not None and len(folders) == 1:  # long lists are read again for a better candidate alone
            folder = root / folders.pop()
            if sum(is_file(folder / name) for name in listed) <= best[0]:
                continue
        source = _read(root, candidate)
        if folders == {"."} and settings["format"] != "labelstudio":  # whose reader tries three folders per photo
            listed = listed_names(source)
        present = sum(is_file(root / name) for name in listed_names(source))  # by their own names, not by others
        if present > best[0]:
            best = present, candidate, source
        if present == len(source.images):
            break
    return best[1:]


def _candidate_folders(root: Path, settings: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Possible folders of photos, by split: that of its list, the source itself, or one of its folders."""
    lists: dict[str, str] = settings["annotations"]
    list_folders = {split: str(Path(name).parent.as_posix()) for split, name in lists.items()}
    yield list_folders
    yield dict.fromkeys(lists, ".")
    folders = [path.relative_to(root).as_posix() for path in _visible(root, 1, folders=True)][:MAX_FOLDERS]
    by_split = _held_out({split: name for name in folders if (split := _split_of(Path(name)))})
    if set(by_split) == set(lists) > {"train"}:
        yield by_split
    for name in folders:
        yield dict.fromkeys(lists, name)


def _slices(paths: Sequence[Path], kind: str) -> list[str]:
    """Slice columns of a table with one column per class: those whose cells are mostly no flags.

    A column with a few wrong cells still counts as a class; its reader reports the first of them.
    """
    reader = csv_table.open_rows if kind == "csv" else parquet_table.open_rows
    filled, not_flags = Counter[str](), Counter[str]()
    for path in paths:
        columns, records = tabular.table(path, reader)
        if "labels" in columns or "file" not in columns:
            return []
        columns_left = [name for name in columns if name not in tabular.RESERVED_COLUMNS]
        for _, record in records:
            cells = {
                name: "?" if (cell := scalar_text(record[name])) is None else cell.lower() for name in columns_left
            }
            filled.update(name for name, cell in cells.items() if cell)
            not_flags.update(name for name, cell in cells.items() if cell not in tabular.FLAGS)
    slices = [name for name in columns_left if 2 * not_flags[name] > filled[name]]
    if len(slices) == len(columns_left):
        reason = "The header has no column 'labels', and no column holds 0 and 1 for a class"
        raise SadclError(reason, where=paths[0], fix=KNOWN)
    return slices


def _split_of(path: Path) -> str | None:
    """Split in a file's name (test.csv, instances_val2017.json) or in its folder's name (test/metadata.jsonl)."""
    for name in (path.stem, path.parent.name):
        splits = {split for word in re.findall("[a-z]+", name.lower()) if (split := SPLIT_NAMES.get(word))}
        if len(splits) == 1:
            return splits.pop()
    return None


def _held_out(by_split: dict[str, str]) -> dict[str, str]:
    """Use the validation split as test split where a source has no other, in the order of the splits."""
    if "select" in by_split and "test" not in by_split:
        by_split["test"] = by_split.pop("select")
    return {split: by_split[split] for split in ("train", "select", "test") if split in by_split}


def _read(root: Path, ingest: dict[str, Any]) -> sources.Source:
    """Read a source by settings that lack the source's name.

    Raises:
        SadclError: the source is damaged.
    """
    return sources.read_source(root, params.Ingest.model_validate({"source": "own", **ingest}))


def _visible(root: Path, depth: int, *, folders: bool = False) -> list[Path]:
    """Files (or folders) of a folder and of its folders down to a depth, sorted, without hidden ones."""
    paths: list[Path] = []
    for path in sorted(root.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            paths += [path] if folders else []
            paths += _visible(path, depth - 1, folders=folders) if depth else []
        elif not folders:
            paths.append(path)
    return paths
