"""YOLO with a description: ``data.yaml`` (Ultralytics, Roboflow), or ``obj.data`` (Darknet, CVAT's YOLO 1.1).

A label file has one line per object, which begins with the index of its class, as a whole number or a decimal; the box
or outline after it is ignored. The path of a label file is that of its photo, with ``labels`` in place of the last
``images``, or it lies next to the photo; its Unicode form and letter case may differ. A photo without a label file has
no labels.

Without ``names``, the classes are the lines of ``classes.txt`` next to ``data.yaml``.

``train``, ``val`` and ``test`` name a folder of photos, several folders, or a text file with one photo per line. Paths
of another computer are shortened from the left until they exist here. A missing or empty ``val`` or ``test`` is
ignored, and so is one that is ``train`` again. ``val`` becomes select if there is a ``test``, else test; with ``train``
alone the source assigns no splits.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from sadcl import params
from sadcl.data.listed_photos import has_folder, is_present
from sadcl.data.sources import Source, safe_join
from sadcl.data.sources.exports import Part, combined
from sadcl.data.sources.photo_files import list_photos
from sadcl.data.sources.rows import Row
from sadcl.data.sources.safe_yaml import exists
from sadcl.data.sources.text import read_lines, short_repr
from sadcl.data.sources.yolo_files import label_path, read_labels, shortened
from sadcl.data.sources.yolo_set import Description, read_description
from sadcl.errors import SadclError

_FIX = "Correct the file"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the descriptions that ``ingest.annotations.train`` names, and the label files of their photos.

    Raises:
        SadclError: a file or folder is missing or damaged, or a label has an unknown class.
    """
    if not settings.files("train"):
        raise SadclError("A YOLO source needs its data.yaml as train", where="ingest.annotations", fix="Name it there")
    parts: list[Part] = []
    for name in settings.files("train"):
        path = root / safe_join("", name, "ingest.annotations")
        description = read_description(path)
        base = PurePosixPath(path.relative_to(root).as_posix()).parent
        photos = [(photo, split) for split, names in _splits(root, base, description) for photo in names]
        labels = read_labels(root, [photo for photo, _ in photos], description.classes)
        rows = [Row(photo, split, present) for (photo, split), present in zip(photos, labels, strict=True)]
        parts.append((description.classes, rows))
    return combined(parts, settings, root / settings.files("train")[0])


def _splits(root: Path, base: PurePosixPath, description: Description) -> list[tuple[str, list[str]]]:
    """Each split that has photos, and these."""
    train = list(_photos(root, base, description, description.places["train"]))
    val, test = (_held_out(root, base, description, description.places.get(key, []), train) for key in ("val", "test"))
    if test:
        return [("train", train), *([("select", val)] if val and val != test else []), ("test", test)]
    return [("train", train), ("test", val)] if val else [("", train)]


def _held_out(
    root: Path, base: PurePosixPath, description: Description, entries: list[str], train: list[str]
) -> list[str]:
    """Photos of a split; none if its entries are missing, or are those of train again."""
    if not any(_resolve(root, base, description, entry) for entry in entries):
        return []
    photos = list(_photos(root, base, description, entries))
    return photos if photos != train else []


def _photos(root: Path, base: PurePosixPath, description: Description, entries: list[str]) -> Iterator[str]:
    for value in entries:
        path = _resolve(root, base, description, value)
        if path is None:
            problem = f"The folder {short_repr(value)} does not exist"
            raise SadclError(problem, where=description.path, fix="Put the photos there")
        if path.endswith(".txt"):
            yield from _listed(root, base, path)
        else:
            yield from list_photos(root, path)


def _resolve(root: Path, base: PurePosixPath, description: Description, value: str) -> str | None:
    """Path of a folder or list: below ``path``, below the description, or what is left of it there; None if missing."""
    starts = [str(base / description.start), str(base)]
    paths = (path for start in starts for path in shortened(start, value))
    return next((path for path in paths if has_folder(root, path) or exists(root / path)), None)


def _listed(root: Path, base: PurePosixPath, path: str) -> Iterator[str]:
    """Photos of a list, relative to its folder or to the description's."""
    starts = dict.fromkeys((str(PurePosixPath(path).parent), str(base)))
    for where, line in read_lines(root / path, _FIX):
        names = [name for start in starts for name in shortened(start, line)]
        if not names:
            raise SadclError(f"{short_repr(line)} names no photo below the source", where=where, fix=_FIX)
        on_disk = (name for name in names if is_present(root, name) or label_path(root, name))
        yield next(on_disk, names[0])
