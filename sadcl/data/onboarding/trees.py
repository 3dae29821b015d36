"""Folder trees: whether folders are named after labels, or only store photos."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from sadcl.data.onboarding.candidates import Contents, held_out
from sadcl.data.onboarding.listing import visible, visible_folders
from sadcl.data.sources.formats import FORMATS
from sadcl.data.sources.photo_files import SUFFIXES, list_photos
from sadcl.data.sources.rows import SPLIT_NAMES
from sadcl.data.sources.text import short_repr
from sadcl.errors import SadclError

KNOWN = (
    "Give folders named after labels (LABEL/photo.jpg), or annotations as one of: "
    f"{'; '.join(known.title for known in FORMATS if known.suffixes)} (docs: Annotation formats)"
)
"""Advice of every error about an unknown format."""
STORAGE = frozenset(
    (
        "images", "image", "img", "imgs", "data", "dataset", "datasets", "jpegimages", "annotations",
        "annotation", "imagesets", "segmentationclass", "segmentationobject", "labels", "label", "labelled",
        "labeled", "obj_train_data", "obj_validation_data", "obj_test_data", "default", "upload", "uploads",
        "photos", "photo", "pictures", "pics", "dcim", "camera", "camera roll", "camera uploads",
        "screenshots", "downloads", "raw", "export", "exports", "files", "media", "assets", "originals",
        "original", "processed", "resized", "thumbnails", "thumbs", "masks", "mask", "jpg", "jpeg", "jpegs",
        "png", "project", "new folder", "untitled folder", "neuer ordner", "bilder", "fotos", "imagenes",
        "imágenes", "foto", "temp", "tmp", "backup", "all", "coco", "yolo", "voc", "vocdevkit", "train2014",
        "val2014", "test2014", "train2017", "val2017", "test2017",
    )
)  # fmt: skip
"""Names of folders that store photos, in lower case."""
_STORAGE = re.compile(
    r"(images?|img|data|task|batch|part|job|set|subset|folder|upload|export|photos?|project)[ _-]?\d+"
    r"|\d{3}[a-z_]{5}"  # of cameras: 100APPLE, 101_PANA
    r"|(19|20)\d\d([ ._-]?(0?[1-9]|1[0-2])([ ._-]?[0-3]?\d)?)?|[0-3]?\d[._-][01]?\d[._-](19|20)\d\d"  # dates
    r"|(photos from|whatsapp|google photos|icloud|lightroom)\b.*|.*\.v\d+i\b.*"
)
LISTS = frozenset(
    (
        ".xml", ".json", ".jsonl", ".ndjson", ".txt", ".csv", ".tsv", ".yaml", ".yml", ".data", ".names", ".parquet",
        ".xlsx", ".xls", ".ods",
    )
)  # fmt: skip
"""Suffixes of annotation files."""
SHEETS = (".xlsx", ".xls", ".ods")
"""Suffixes of spreadsheets."""
PROSE = re.compile(r"(read[ _-]?me|licen[cs]e|notice|changelog|citation|credits|about|notes?|copyright|requirements)\b")
"""Beginnings of names of text files for people."""
PEEK = 100_000
_PHOTO = re.compile(rf"[^\s\"'<>]({'|'.join(re.escape(suffix) for suffix in sorted(SUFFIXES))})\b", re.IGNORECASE)
_BOXES = re.compile(r"^\s*\d+(\s+[\d.e+-]+){4,}\s*$", re.MULTILINE)


def settings(root: Path, contents: Contents, *, insist: bool) -> dict[str, Any]:
    """Settings of a folder tree.

    Args:
        root: its folder.
        contents: of the folder.
        insist: the user says that it is one.

    Raises:
        SadclError: it has no folders of photos, or does not look like labels and nobody insists.
    """
    top = "" if insist else _wrapper(root)
    folders = _folders(root / top)
    if not folders:
        raise _no_labels(root, contents)
    if not insist:
        _refuse_annotations(root, contents)
    images = _splits(root, top, folders) or {"train": top or "."}
    if not insist:
        _refuse_storage(root, images, contents)
    return {"format": "folder", "annotations": {}, "images": images}


def describe(paths: Sequence[Path], root: Path) -> str:
    """Names of the first annotation files, and how many there are of each suffix."""
    first = ", ".join(path.relative_to(root).as_posix() for path in paths[:3])
    if len(paths) <= 3:
        return first
    kinds = Counter(path.suffix.lower() for path in paths)
    return f"{first} and {len(paths) - 3:,} more ({', '.join(f'{n:,} {kind}' for kind, n in kinds.most_common(3))})"


def _no_labels(root: Path, contents: Contents) -> SadclError:
    lists = _lists(contents)
    unread = f"; no format of annotations fits {describe(lists, root)}" if lists else ""
    return SadclError(f"The folder has no labels{unread}", where=root, fix=_sheet(lists) or KNOWN)


def _lists(contents: Contents) -> list[Path]:
    """Files that may be annotations by their suffix, without those for people."""
    return [path for path in contents.files if path.suffix.lower() in LISTS and not PROSE.match(path.name.lower())]


def _sheet(lists: Sequence[Path]) -> str:
    """Advice about a spreadsheet; empty if there is none."""
    sheets = [path.name for path in lists if path.suffix.lower() in SHEETS]
    return f"Save the sheet {sheets[0]} as CSV" if sheets else ""


def _refuse_annotations(root: Path, contents: Contents) -> None:
    lists = [path for path in contents.files if _is_list(path)]
    if lists:
        advice = _sheet(lists) or "Export them in another format (docs: Annotation formats)"
        raise SadclError(
            f"There are annotation files in a form that is not read: {describe(lists, root)}",
            where=root,
            fix=f"{advice}. If the names of folders are the labels and these files mean nothing, add --format folder",
        )


def _is_list(path: Path) -> bool:
    """Whether a file looks like annotations: it names photos, has boxes, or lies next to a photo of its name."""
    suffix = path.suffix.lower()
    if suffix not in LISTS or PROSE.match(path.name.lower()):
        return False
    if suffix in (".data", ".names", ".parquet", *SHEETS):
        return True
    if any(path.with_suffix(end).exists() for end in (".jpg", ".JPG", ".jpeg", ".png")):
        return True
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(PEEK).replace("\0", "")
    except OSError:
        return True
    return bool(_PHOTO.search(text) or _BOXES.search(text) or "<annotation" in text)


def _refuse_storage(root: Path, images: dict[str, Any], contents: Contents) -> None:
    for folder in images.values():
        depth = len([part for part in PurePosixPath(folder).parts if part != "."])
        names = {part for photo in list_photos(root, folder) for part in PurePosixPath(photo).parts[depth:-1]}
        storage = sorted(name for name in names if is_storage(name))
        if storage:
            listed = ", ".join(map(short_repr, storage[:4])) + (", ..." if len(storage) > 4 else "")
            verb = (
                "looks like the name of a folder that stores photos"
                if len(storage) == 1
                else ("look like names of folders that store photos")
            )
            lists = _lists(contents)
            unread = "there is no annotation file"
            if lists:
                unread = f"no format of annotations fits {describe(lists, root)}"
            raise SadclError(
                f"The folder has no labels: {unread}, and {listed} {verb}, not like a label",
                where=root,
                fix=f"{KNOWN}. If the names of folders are the labels, add --format folder",
            )


def is_storage(name: str) -> bool:
    """Whether a folder's name is a usual one for storing photos, or a date."""
    plain = name.strip().lower()
    return plain in STORAGE or plain in SPLIT_NAMES or bool(_STORAGE.fullmatch(plain))


def _wrapper(root: Path) -> str:
    """Folder below which the tree begins: the root, or the only folder in it, if that has several folders."""
    inner = ""
    while len(folders := _folders(root / inner)) == 1 and not _has_photos(root / inner):
        below = f"{inner}/{folders[0]}".lstrip("/")
        if not _folders(root / below):
            break
        inner = below
        if any(name.lower() in SPLIT_NAMES for name in _folders(root / inner)):
            break
    return inner if len(_folders(root / inner)) > 1 else ""


def _folders(root: Path) -> list[str]:
    return [path.name for path in visible_folders(root)]


def _has_photos(root: Path) -> bool:
    return any(path.suffix.lower() in SUFFIXES for path in visible(root))


def _splits(root: Path, top: str, folders: list[str]) -> dict[str, Any]:
    """Folder of each split; empty if the folders are not named after splits."""
    named = {split: name for name in folders if (split := SPLIT_NAMES.get(name.lower()))}
    if "train" not in named or len(named) == 1:
        return {}
    named = {
        split: name for split, name in named.items() if list_photos(root, f"{top}/{name}")
    }  # the copy has no others
    if "train" not in named:
        raise SadclError(
            "The folder of train has no photo", where=root, fix="Put photos into folders named after labels"
        )
    others = [name for name in folders if name not in named.values() and list_photos(root, f"{top}/{name}")]
    if others:
        reason = f"{' and '.join(named.values())} are splits, but {', '.join(others[:5])} is not"
        raise SadclError(reason, where=root, fix="Move it out of the folder, or rename it to train, val or test")
    return held_out({split: f"{top}/{name}".lstrip("/") for split, name in named.items()})
