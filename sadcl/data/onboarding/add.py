"""Adding photos to a project (`sadcl data add`): detect the format, copy, write a recipe, track with DVC.

Photos are copied and not linked: DVC makes the files in its cache read-only, and a link would make the originals
read-only, too.
"""

import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from sadcl import extras, files, layout, params, pipeline
from sadcl.data import listed_photos
from sadcl.data.onboarding.bucket import listed
from sadcl.data.onboarding.detect import DetectedSource, detect_source
from sadcl.data.onboarding.photo_folders import read
from sadcl.data.onboarding.preview import preview
from sadcl.data.onboarding.questions import Options
from sadcl.data.onboarding.recipe import completed, has_splits, recipe
from sadcl.data.sources import Source
from sadcl.data.sources.per_photo import files_below
from sadcl.data.sources.photo_files import walk
from sadcl.data.sources.text import short_repr
from sadcl.errors import SadclError
from sadcl.names import counted
from sadcl.progress import say, track

SPARE = 64_000_000
"""Bytes that stay free on the disk."""
ABOUT = ("README.md", "dataset_info.json", "*class-descriptions*.csv")
"""Files next to a list of labels that may hold class names."""
TEXTS = frozenset((".txt", ".names", ".labels"))
"""Suffixes of a YOLO export's label files and class lists, and of lists of splits."""
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]*$")


def add(
    path: Path,
    name: str,
    like: str | None = None,
    root: Path = Path("."),
    options: Options | None = None,
    *,
    photos: str = "",
    dry_run: bool = False,
    show: Callable[[str], None] = say,
) -> list[str]:
    """Show a preview of photos with their labels, and add them to a project; an empty folder becomes one.

    Args:
        path: a folder, or a file of labels next to its photos; it stays unchanged.
        name: of source, recipe and registered model.
        like: recipe to start from; a small one by default.
        root: the project's folder.
        options: what the user has decided about the reading, and who answers questions.
        photos: address of their folder on S3, where they are not next to the labels; they are listed, not copied.
        dry_run: end after the preview; nothing is changed.
        show: prints a line of the preview.

    Returns:
        Lines for the user: what was added, and the next commands; none after a dry run.

    Raises:
        SadclError: the name is taken, the source is incomplete, S3 gives no answer, or the disk has too little room.
            The project stays unchanged, except that an empty folder remains a project if copying or DVC fails, or
            DVC's copy has too little room.
    """
    extras.require("dvc")
    _check_name(name, root)
    with listed(path, photos) if photos else nullcontext():
        return _add(path, name, like, root, options, dry_run, show)


def _add(
    path: Path,
    name: str,
    like: str | None,
    root: Path,
    options: Options | None,
    dry_run: bool,
    show: Callable[[str], None],
) -> list[str]:
    detected = completed(detect_source(path, options), root, like)
    text = recipe(name, detected, root, like)
    copied = _files(detected)
    for line in preview(detected, _unused(detected, copied)):
        show(line)
    if dry_run:
        show("Nothing was changed (--dry-run)")
        return []
    size = sum(_size(detected.root / file) for file in copied)
    files.require_room(root, size + SPARE, "the photos")
    lines = [line for line in [pipeline.start(root, besides=[path, detected.root])] if line]
    pipeline.require_project(root)
    if shutil.disk_usage(root).free < 2 * size + SPARE and not pipeline.links(root):  # which takes a second
        files.require_room(root, 2 * size + SPARE, "the photos and DVC's copy of them")
    folder, fresh = root / layout.RAW / name, not (root / params.FILE).exists()
    with _undone_on_error(name, root):
        _copy(copied, detected, folder)
        files.write_text(recipe_path(name, root), text)
        if fresh:
            files.write_text(root / params.FILE, text)  # DVC can't read the graph without it
        pipeline.add(folder)
    return [*lines, *_summary(name, detected, folder, fresh)]


def _check_name(name: str, root: Path) -> None:
    """Refuse a name that is not valid, or that a source or a recipe has already."""
    if not _NAME.match(name):
        fix = "Use letters, digits, - and _, and begin with a letter or digit"
        raise SadclError(f"{name!r} is no valid name of a source", where="--name", fix=fix)
    folder = root / layout.RAW / name
    for path in (folder, tracked(folder), recipe_path(name, root), folder.with_name(f"{name}.splits.csv")):
        if path.exists() or path.is_symlink():
            raise SadclError("The name is taken", where=path, fix="Choose another name; nothing is overwritten")


def recipe_path(name: str, root: Path) -> Path:
    """File of a source's recipe."""
    return root / params.RECIPES / f"{name}.yaml"


def tracked(folder: Path) -> Path:
    """DVC's file about a folder."""
    return folder.with_name(f"{folder.name}.dvc")


@contextmanager
def _undone_on_error(name: str, root: Path) -> Iterator[None]:
    """Remove all files of a source that was added in part, also after an interruption."""
    folder = root / layout.RAW / name
    changed = (recipe_path(name, root), tracked(folder), folder.with_name(".gitignore"), root / params.FILE)
    before = {path: path.read_bytes() if path.exists() else None for path in changed}
    try:
        yield
    except BaseException:
        with _uninterrupted():
            for path, content in before.items():
                if content is None:
                    path.unlink(missing_ok=True)
                elif not path.exists() or path.read_bytes() != content:
                    path.write_bytes(content)
            # a second Ctrl-C may have stopped the removal of the unfinished copy
            for copy in (folder, *folder.parent.glob(f".{name}.*.part")):
                shutil.rmtree(copy, ignore_errors=True)
        raise


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _files(detected: DetectedSource) -> list[str]:
    """Files to copy, relative to the source's folder: photos, lists of labels, and files with class names."""
    used = {image.file for image in detected.source.images if not detected.photos}
    lists = [name for name in detected.annotation_files if (detected.root / name).is_file()]
    for folder in {".", *(Path(file).parent.as_posix() for file in lists)}:
        about = (path for pattern in ABOUT for path in (detected.root / folder).glob(pattern) if path.is_file())
        used |= {path.relative_to(detected.root).as_posix() for path in about}
    known, root = detected.format, detected.root
    if known.per_photo:
        folders = ["" if name == "." else name for name in detected.annotation_files]
        used |= {name for folder in folders for suffix in known.suffixes for name in files_below(root, folder, suffix)}
    if known.per_photo or known.name.startswith("yolo"):
        used |= {name for name in _visible_files(detected) if Path(name).suffix.lower() in TEXTS}
    return sorted(used | set(lists))


def _visible_files(detected: DetectedSource) -> Iterator[str]:
    """Files in the source's folder and in folders that it links to, relative to it, under each path, without junk."""
    for folder, names in walk(detected.root, each_path=True):
        yield from (f"{folder}/{name}" if folder else name for name in names)


def _unused(detected: DetectedSource, copied: list[str]) -> list[str]:
    unread = set(_visible_files(detected)) if detected.whole else set()
    used = set(copied)
    if detected.photos:
        unread |= set(detected.photos.below())
        used |= {image.file for image in detected.source.images}
    return sorted(unread - used - {listed_photos.FILE})


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:  # a link that leads nowhere
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> SadclError:
    fix = "Check its permissions, or remove it from the source"
    return SadclError(f"The file can't be read: {error.strerror}", where=path, fix=fix)


def _copy(names: list[str], detected: DetectedSource, folder: Path) -> None:
    source = detected.root
    with files.atomic_directory(folder) as staging:
        for name in track(names, "copying", unit="files"):
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(source / name, staging / name)
            except (PermissionError, FileNotFoundError) as error:
                raise _unreadable(source / name, error) from None
        if detected.photos:
            shutil.copyfile(detected.photos.path, staging / listed_photos.FILE)
        _verify(staging, detected)


def _verify(copy: Path, detected: DetectedSource) -> None:
    """Read the copy by the recipe's settings.

    Raises:
        SadclError: it has other photos, labels or splits than the preview.
    """
    fix = "Replace links by the files themselves, and leave the source unchanged while it is copied"
    try:
        copied = _contents(read(copy, detected.ingest))
    except SadclError as error:
        problem = f"The copy of the source can't be read: {error.what}"
        raise SadclError(problem, where=detected.root, fix=fix) from None
    if (shown := _contents(detected.source)) != copied:
        first = min(name for name in shown.keys() | copied if shown.get(name) != copied.get(name))
        problem = "The copy of the source has other photos, labels or splits than the preview"
        raise SadclError(f"{problem}; the first is {short_repr(first)}", where=detected.root, fix=fix)


def _contents(source: Source) -> dict[str, tuple[str, frozenset[str], frozenset[str]]]:
    """Split, labels and ignored classes of each photo."""
    names = source.classes
    return {
        image.file: (image.split, frozenset(names[i] for i in image.labels), frozenset(names[i] for i in image.ignored))
        for image in source.images
    }


def _summary(name: str, detected: DetectedSource, folder: Path, fresh: bool) -> Iterator[str]:
    images, classes = detected.usable_images, detected.source.classes
    size = f"{counted(len(images), 'photo')} of {counted(len(classes), 'class', 'classes')}"
    verb = "is" if len(images) == 1 else "are"
    verb += " listed" if detected.photos else ""
    yield f"{size}, read as {detected.ingest['format']}, {verb} in {folder}, tracked by DVC"
    if detected.photos:
        yield f"Their bytes stay on {detected.photos.place}; after changes there: sadcl data relist {name}"
    if not has_splits(detected):
        yield f"The first run assigns them to train, select and test and writes {folder}.splits.csv: commit that file"
    lists = [] if detected.format.per_photo or detected.format.name.startswith("yolo") else detected.annotation_files
    for file in lists[:3]:
        yield f"Before you edit {folder / file}: dvc unprotect {folder / file}"
    yield f"The recipe is recipes/{name}.yaml{', and params.yaml is a copy of it' if fresh else ''}"
    yield "Next:"
    yield from [] if fresh else [f"    sadcl recipe {name}"]
    yield "    dvc repro"
    yield "    sadcl register"
    yield '    sadcl promote 1 --first --reason "..."'
