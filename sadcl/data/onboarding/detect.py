"""Which of the formats a folder or file of people's own photos is, and where its photos are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sadcl.data import sources
from sadcl.data.sources.photo_files import photos
from sadcl.data.sources.rows import SPLIT_NAMES
from sadcl.data.sources.safe_yaml import is_file
from sadcl.data.whereabouts import KNOWN, held_out, locate_photos, split_of, visible
from sadcl.errors import SadclError

TABLES = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl"}


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
