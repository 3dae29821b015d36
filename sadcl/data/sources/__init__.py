"""Sources: formats of annotations, each a file of its own and one line in the registry."""

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sadcl import params
from sadcl.data.sources.text import shown
from sadcl.errors import SadclError


@dataclass(frozen=True)
class Image:
    """One annotated image.

    Attributes:
        image_id: the source's own id.
        file: relative to the source's folder, ``/`` separated, never leaving it.
        split: `train`, `select`, `test`, or empty where the source says nothing.
        labels: indexes of the classes that are present, ascending.
        ignored: indexes of the classes that are neither present nor absent.
        slices: anything else known about it (camera, place, ...).
    """

    image_id: str
    file: str
    split: str
    labels: tuple[int, ...]
    ignored: tuple[int, ...] = ()
    slices: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """What a source says.

    Attributes:
        classes: names, in order of index.
        images: those that can be used.
        gone: those that its lists name and nobody has any more; they count for the protocol alone.
    """

    classes: tuple[str, ...]
    images: list[Image]
    gone: list[Image] = field(default_factory=list)


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the annotations of a source.

    Args:
        root: the source's folder.
        settings: which format, which files.

    Raises:
        SadclError: the folder or a file is missing, damaged, or contradicts itself.
    """
    readers = _readers()
    if settings.format not in readers:
        known = ", ".join(sorted(readers))
        words = f"There is no reader for the format {settings.format!r}"
        raise SadclError(words, where="ingest.format", fix=f"Choose one of {known}")
    if not root.is_dir():
        raise SadclError(
            "The source's folder is missing",
            where=root,
            fix="Make it (`sadcl data scenes`), get it (`dvc pull`), or link your photos there; see ingest.source",
        )
    source = readers[settings.format](root, settings)
    _refuse_twins(source, root)
    return source


def inside(folder: str, name: str, where: object) -> str:
    """Join a file's name to its folder, as a plain path below the source's folder.

    Raises:
        SadclError: the name is empty, absolute, or leaves the source's folder.
    """
    plain = name.replace("\\", "/")
    path = posixpath.normpath(posixpath.join(folder.replace("\\", "/"), plain))
    leaves = path == ".." or path.startswith(("../", "/")) or plain[1:3] == ":/"
    if leaves or "\0" in name:
        raise SadclError(
            f"The path {shown(name)} leaves the data root", where=where, fix="Name files below the source only"
        )
    if not plain.strip() or path == "." or plain.endswith("/"):
        raise SadclError(f"{shown(name)} names no file", where=where, fix="Give each image its file")
    return path


def _readers() -> dict[str, Callable[[Path, params.Ingest], Source]]:
    from sadcl.data.sources import coco, csv_table, folder, jsonl, labelstudio, nuswide, parquet_table, vg500, voc, yolo

    return {
        "coco": coco.read_source,
        "csv": csv_table.read_source,
        "folder": folder.read_source,
        "jsonl": jsonl.read_source,
        "labelstudio": labelstudio.read_source,
        "nuswide": nuswide.read_source,
        "parquet": parquet_table.read_source,
        "vg500": vg500.read_source,
        "voc": voc.read_source,
        "yolo": yolo.read_source,
    }


def _refuse_twins(source: Source, root: Path) -> None:
    ids: dict[str, Image] = {}
    paths: dict[str, Image] = {}
    for image in [*source.images, *source.gone]:
        for value, seen, what in ((image.image_id, ids, "id"), (image.file, paths, "file")):
            if value in seen:
                first, second = seen[value].split or "the list", image.split or "the list"
                places = f"both in {first}" if first == second else f"in {first} and in {second}"
                raise SadclError(
                    f"Two images have the same {what} {shown(value)}, {places}", where=root, fix="Keep one of them"
                )
            seen[value] = image
