"""LabelMe: one JSON file per photo, with labelled shapes and flags.

``ingest.annotations`` names the folder of JSON files, or one folder per split; the files usually lie next to their
photos. The label of each shape and the name of each flag that is set are labels. The classes are all of them, and the
flags that are never set. A photo has the name of its JSON file, else the one in ``imagePath``. With one folder, names
of folders give the splits, if every photo is in one such as ``train`` or ``valid``.
"""

from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data.sources import Source, per_photo
from sadcl.data.sources.json_head import read_head
from sadcl.data.sources.rows import Row, build_source, validation_as_test
from sadcl.data.sources.text import is_valid_text, short_repr
from sadcl.errors import SadclError
from sadcl.progress import track

LARGEST = 200_000_000
"""Bytes of a file; LabelMe may put the photo into it."""
_FIX = "Correct the file, or save it again with LabelMe"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the JSON files below the folders that the settings name.

    Raises:
        SadclError: a folder is missing, or a file is damaged.
    """
    rows: list[Row] = []
    classes: set[str] = set()
    for split, folder, images in per_photo.folders(root, settings):
        names = per_photo.files_below(root, folder, ".json")
        photos = [_read_file(root, name, folder, images) for name in track(names, "reading JSON")]
        splits = per_photo.splits_of(names, [photo for photo, _ in photos], folder)
        classes.update(name for _, labels in photos for name in labels)
        rows += [
            Row(photo, split or own, frozenset(name for name, is_set in labels.items() if is_set))
            for (photo, labels), own in zip(photos, splits, strict=True)
        ]
    return build_source(validation_as_test(rows, settings), root, sorted(classes))


def recognises(path: Path) -> bool:
    """Whether a JSON file has a list of shapes and the path or size of its photo."""
    value = read_head(path)
    keys = set(value) if isinstance(value, dict) else set()
    return "shapes" in keys and bool(keys & {"imagePath", "imageData", "imageHeight", "flags", "version"})


def _read_file(root: Path, file: str, folder: str, images: str) -> tuple[str, dict[str, bool]]:
    """Photo of a file, and whether each label or flag is set."""
    path = root / file
    with files.json_errors(path, _FIX):
        size = path.stat().st_size
    if size > LARGEST:
        raise SadclError(f"The file has more than {LARGEST / 1e6:.0f} MB", where=path, fix=_FIX)
    value = files.read_json(path, _FIX)
    shapes = value.get("shapes") if isinstance(value, dict) else None
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise SadclError("The file has no list of shapes", where=path, fix=_FIX)
    flags, listed = value.get("flags") or {}, value.get("imagePath") or ""
    if not isinstance(flags, dict) or not isinstance(listed, str):
        raise SadclError("The flags or the path of the photo have another type", where=path, fix=_FIX)
    labels = {_name(name, path): is_set is True for name, is_set in flags.items()}
    labels |= {_name(shape.get("label"), path): True for shape in shapes}
    return per_photo.photo_of(root, file, folder, listed, images, ("images", "JPEGImages", "data")), labels


def _name(value: Any, path: Path) -> str:
    if not isinstance(value, str) or not is_valid_text(value):
        raise SadclError(f"{short_repr(value)} is not the name of a label", where=path, fix=_FIX)
    return value.strip()
