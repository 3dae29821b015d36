"""People's own photos brought into a project: looked at, copied, described by a recipe, tracked by DVC.

They are copied and not linked: DVC makes what it keeps read-only, and a link would make the originals so, too.
"""

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sadcl import extras, files, layout, params, pipeline
from sadcl.data.onboarding.detect import DetectedSource, recognise
from sadcl.data.onboarding.recipe import has_splits, recipe
from sadcl.data.table import SPLITS
from sadcl.errors import SadclError
from sadcl.progress import track

SPARE = 64_000_000
"""Bytes that stay free on the disk."""
ABOUT = ("README.md", "dataset_info.json")
"""Files beside a list of labels that may hold the names of its classes."""
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]*$")


def add(given: Path, name: str, like: str | None = None, root: Path = Path(".")) -> list[str]:
    """Bring photos with their labels into a project, which an empty folder becomes.

    Args:
        given: a folder, or a file of labels beside its photos; it is left as it is.
        name: of source, recipe and registered model.
        like: the recipe that the new one is made from; by default a small one.
        root: the project's folder.

    Returns:
        What was done and what comes next, a sentence a line.

    Raises:
        SadclError: the name is taken, the source is not whole, or there is no room. Nothing was changed,
            but that an empty folder is a project when copying or DVC failed.
    """
    extras.require("dvc")
    if not _NAME.match(name):
        fix = "Use letters, digits, - and _, and begin with a letter or digit"
        raise SadclError(f"{name!r} can't be the name of a source", where="--name", fix=fix)
    folder, written = root / layout.RAW / name, root / params.RECIPES / f"{name}.yaml"
    tracked = folder.with_name(f"{name}.dvc")
    _refuse_taken((folder, tracked, written, folder.with_name(f"{name}.splits.csv")))
    found = recognise(given)
    text = recipe(name, found, root, like)
    copied = _files(found)
    files.require_room(root, sum((found.root / one).stat().st_size for one in copied) + SPARE, "the photos")
    said = [line for line in [pipeline.start(root, besides=[given, found.root])] if line]
    pipeline.require_project(root)
    fresh = not (root / params.FILE).exists()
    ignored = folder.with_name(".gitignore")
    before = ignored.read_bytes() if ignored.exists() else None
    try:
        _copy(copied, found.root, folder)
        files.write_text(written, text)
        if fresh:
            files.write_text(root / params.FILE, text)  # DVC can't read the graph without it
        pipeline.add(folder)
    except BaseException:
        for path in (written, tracked, ignored, *([root / params.FILE] if fresh else [])):
            path.unlink(missing_ok=True)
        if before is not None:
            ignored.write_bytes(before)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return [*said, *_sentences(name, found, folder, fresh, _unused(found, copied))]


def _refuse_taken(places: tuple[Path, ...]) -> None:
    for place in places:
        if place.exists() or place.is_symlink():
            raise SadclError("This is there already", where=place, fix="Take another name; nothing is overwritten")


def _files(found: DetectedSource) -> list[str]:
    """All that is copied, relative to the source's folder: photos, lists of labels, and what tells names of classes."""
    lists = list(found.ingest["annotations"].values())
    about = {f"{folder}/{name}" for folder in (".", *(Path(one).parent.as_posix() for one in lists)) for name in ABOUT}
    used = {image.file for image in found.source.images} | set(lists)
    used |= {Path(name).as_posix() for name in about if (found.root / name).is_file()}
    return sorted(used | {name for name in _lying(found) if found.ingest["format"] == "yolo" and name.endswith(".txt")})


def _lying(found: DetectedSource) -> Iterator[str]:
    """Files in the source's folder, but for hidden ones."""
    for folder, folders, names in os.walk(found.root, followlinks=found.ingest["format"] == "folder"):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inner = Path(folder).relative_to(found.root)
        yield from ((inner / name).as_posix() for name in names if not name.startswith("."))


def _unused(found: DetectedSource, copied: list[str]) -> list[str]:
    return sorted(set(_lying(found)) - set(copied)) if found.whole else []


def _copy(names: list[str], source: Path, folder: Path) -> None:
    with files.atomic_directory(folder) as beside:
        for name in track(names, "copying", unit="files"):
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(source / name, beside / name)
            except (PermissionError, FileNotFoundError) as error:
                raise SadclError(f"The file can't be read: {error.strerror}", where=source / name) from None


def _sentences(name: str, found: DetectedSource, folder: Path, fresh: bool, unused: list[str]) -> Iterator[str]:
    images, classes = found.source.images, found.source.classes
    size = f"{len(images):,} photos of {len(classes)} class{'' if len(classes) == 1 else 'es'}"
    yield f"{size}, read as {found.ingest['format']}, are in {folder} now, and tracked by DVC"
    yield f"Classes: {_first(classes, 8)}"
    if found.ingest.get("slices"):
        yield f"Columns that are no class: {', '.join(found.ingest['slices'])}"
    if unused:
        kinds = Counter(Path(file).suffix.lower() for file in unused)
        most = ", ".join(f"{count:,} {kind or 'without a suffix'}" for kind, count in kinds.most_common(5))
        yield f"Left out: {len(unused):,} files that are no photo or have no labels ({most}): {_first(unused, 3)}"
    if has_splits(found):
        sizes = Counter(image.split for image in images)
        yield ", ".join(f"{split} {sizes[split]:,}" for split in SPLITS if sizes[split])
    else:
        yield f"The first run deals them out to train, select and test and keeps that in {folder}.splits.csv: commit it"
    for file in found.ingest["annotations"].values() if found.ingest["format"] != "yolo" else ():
        yield f"Before you edit {folder / file}: dvc unprotect {folder / file}"
    yield f"The recipe is recipes/{name}.yaml{', and params.yaml is a copy of it' if fresh else ''}"
    yield "Next:"
    yield from [] if fresh else [f"    sadcl recipe {name}"]
    yield "    dvc repro"
    yield "    sadcl register"
    yield '    sadcl promote 1 --first --reason "..."'


def _first(names: Sequence[str], count: int) -> str:
    return ", ".join(map(ascii, names[:count])) + (", ..." if len(names) > count else "")
