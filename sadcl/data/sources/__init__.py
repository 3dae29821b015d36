"""Readers of annotation formats: one module per format, and an entry for it in ``formats.FORMATS``."""

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sadcl import params
from sadcl.data.sources.text import short_repr
from sadcl.errors import SadclError

if TYPE_CHECKING:
    from sadcl.data.sources.photo_lookup import Substitution

PUBLISHED = ("nuswide", "vg500", "voc")
"""Formats of published data sets, whose readers know which photos are gone."""


@dataclass(frozen=True)
class Image:
    """One annotated image.

    Attributes:
        image_id: the source's own id.
        file: relative to the source's folder, ``/`` separated, never leaving it.
        split: `train`, `select`, `test`, or empty where the source assigns none.
        labels: indexes of the classes that are present, ascending.
        ignored: indexes of the classes that are neither present nor absent.
        slices: further columns that describe the image (camera, place, ...).
    """

    image_id: str
    file: str
    split: str
    labels: tuple[int, ...]
    ignored: tuple[int, ...] = ()
    slices: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Classes and annotated images of a data set.

    Attributes:
        classes: names, in order of index.
        images: images whose files exist.
        gone: images that the annotations list but whose files no longer exist; only the protocol check counts them.
        substitutions: photos that are used for listed names that are no files.
        notes: sentences for the user about what the reader left out.
    """

    classes: tuple[str, ...]
    images: list[Image]
    gone: list[Image] = field(default_factory=list)
    substitutions: "tuple[Substitution, ...]" = ()
    notes: list[str] = field(default_factory=list)


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the annotations of a source in the format that ``ingest.format`` names.

    Args:
        root: the source's folder.
        settings: format, annotation files and photo folders.

    Raises:
        SadclError: the folder or a file is missing or damaged, or two images share an id or a file.
    """
    from sadcl.data.sources import photo_lookup

    known_readers = readers()
    if settings.format not in known_readers:
        known = ", ".join(sorted(known_readers))
        problem = f"There is no reader for the format {settings.format!r}"
        raise SadclError(problem, where="ingest.format", fix=f"Choose one of {known}")
    if not root.is_dir():
        raise SadclError(
            "The source's folder is missing",
            where=root,
            fix="Run `sadcl data scenes` or `dvc pull`, or put your photos there; ingest.source names the folder",
        )
    source = known_readers[settings.format](root, settings)
    if settings.format not in PUBLISHED:
        source, substitutions = photo_lookup.locate(source, root)
        source = replace(source, substitutions=tuple(substitutions))
    _reject_duplicates(source, root)
    return source


def safe_join(folder: str, name: str, where: object) -> str:
    """Join a file's name to its folder, as a normalised path below the source's folder.

    Annotation files come from strangers: a name such as ``../../.ssh/id_rsa`` must not lead out of the data.

    Raises:
        SadclError: the name is empty, absolute, or leaves the source's folder.
    """
    plain = name.replace("\\", "/")
    path = posixpath.normpath(posixpath.join(folder.replace("\\", "/"), plain))
    leaves = path == ".." or path.startswith(("../", "/")) or plain[1:3] == ":/"
    if leaves or "\0" in name:
        raise SadclError(
            f"The path {short_repr(name)} leaves the data root",
            where=where,
            fix="Use paths below the source's folder only",
        )
    if not plain.strip() or path == "." or plain.endswith("/"):
        raise SadclError(f"{short_repr(name)} names no file", where=where, fix="Give each image a file name")
    return path


def readers() -> dict[str, Callable[[Path, params.Ingest], Source]]:
    """Functions that read a source, by the value of ``ingest.format``."""
    from sadcl.data.sources import formats, nuswide, vg500, voc

    published = {"nuswide": nuswide.read_source, "vg500": vg500.read_source, "voc": voc.read_source}
    return {**{known.name: known.read_source for known in formats.FORMATS}, **published}


def _reject_duplicates(source: Source, root: Path) -> None:
    ids: dict[str, Image] = {}
    paths: dict[str, Image] = {}
    for image in [*source.images, *source.gone]:
        for value, index, attribute in ((image.image_id, ids, "id"), (image.file, paths, "file")):
            if value in index:
                first, second = index[value].split or "the list", image.split or "the list"
                splits = f"both in {first}" if first == second else f"in {first} and in {second}"
                problem = f"Two images have the same {attribute} {short_repr(value)}, {splits}"
                raise SadclError(problem, where=root, fix="Keep one of them")
            index[value] = image
