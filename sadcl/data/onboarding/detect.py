"""Detection of the format of the user's own photos, and of the folders that have them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sadcl import s3
from sadcl.data import listed_photos, sources
from sadcl.data.listed_photos import ListedPhotos
from sadcl.data.onboarding import trees
from sadcl.data.onboarding.candidates import (
    MAX_FOLDERS,
    Contents,
    alternatives,
    candidates,
    first_error,
    scan,
)
from sadcl.data.onboarding.photo_folders import locate_photos, read
from sadcl.data.onboarding.questions import Options, Question, refuse, unanswered
from sadcl.data.onboarding.records import understand_records
from sadcl.data.onboarding.tables import Understanding, understand
from sadcl.data.onboarding.trees import KNOWN
from sadcl.data.onboarding.unlabelled import keep_unlabelled
from sadcl.data.onboarding.vectors import json_cells, refuse_vectors
from sadcl.data.sources.formats import FORMATS, Format
from sadcl.data.sources.text import short_repr
from sadcl.errors import SadclError
from sadcl.names import counted

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
"""Suffixes of archives."""
NAMED = 3
"""Most files of an export that a sentence names."""
MOST_NAMED = 20
"""Most files and readings that a question names."""


@dataclass(frozen=True)
class DetectedSource:
    """A source with the settings that read it.

    Attributes:
        root: its folder.
        ingest: settings: format, annotations, images, slices, separator, keep_unlabelled.
        whole: the source is the whole folder, not only the photos of one file of labels.
        source: its annotations.
        notes: what was inferred, for the preview.
        attention: decisions of the user that the files contradict, for the preview.
    """

    root: Path
    ingest: dict[str, Any]
    whole: bool
    source: sources.Source = field(repr=False)
    notes: tuple[str, ...] = ()
    attention: tuple[str, ...] = ()

    @property
    def usable_images(self) -> list[sources.Image]:
        """Images that the table will have."""
        keep = self.ingest.get("keep_unlabelled", True)
        return [image for image in self.source.images if keep or image.labels]

    @property
    def photos(self) -> ListedPhotos | None:
        """Its photos on S3; None where they are files in its folder."""
        return listed_photos.of_source(self.root)

    @property
    def format(self) -> Format:
        """Its format."""
        return next(known for known in FORMATS if known.name == self.ingest["format"])

    @property
    def annotation_files(self) -> list[str]:
        """Annotation files of all splits, or folders of such files, relative to the source's folder."""
        return [name for value in self.ingest["annotations"].values() for name in _several(value)]


def detect_source(path: Path, options: Options | None = None) -> DetectedSource:
    """Detect the format of a source, and read it.

    Args:
        path: a folder, or a file of labels next to its photos or above them.
        options: what the user has decided, and who answers questions; by default nobody does.

    Raises:
        SadclError: the format is unknown, a photo is missing, or a question stays open.
    """
    options = options or Options()
    if options.ask is refuse:
        with unanswered() as assume:
            return detect_source(path, replace(options, ask=assume))
    if not path.exists():
        fix = "Name a folder of photos, or a file of labels"
        if path.parts[0] == s3.SCHEME[:3]:
            fix = "Name the labels here, and the address of their photos as --photos"
        raise SadclError("There is no such file or folder", where=path, fix=fix)
    if path.suffix.lower() in ARCHIVES:
        raise SadclError("This is an archive", where=path, fix="Unpack it, and name the folder")
    if options.format and options.format not in {known.name for known in FORMATS}:
        known_names = ", ".join(known.name for known in FORMATS)
        raise SadclError(f"There is no format {options.format!r}", where="--format", fix=f"Choose one of {known_names}")
    detected, understanding = _folder(path, options) if path.is_dir() else _file(path, options)
    unlabelled = keep_unlabelled(detected.source, detected.ingest["format"], understanding.blank, options, path)
    if unlabelled is False and not any(image.labels for image in detected.source.images):
        raise SadclError("No photo has a label, so none is left", where=path, fix="Label some of them, then add them")
    return (
        detected if unlabelled is None else replace(detected, ingest={**detected.ingest, "keep_unlabelled": unlabelled})
    )


_Reading = tuple[DetectedSource, Understanding]


def _folder(root: Path, options: Options) -> _Reading:
    """Reading of a folder; annotation files take precedence over names of folders."""
    contents = scan(root)
    if options.format == "folder":
        return _tree(root, contents, insist=True)
    formats = candidates(contents.files, options.format)
    if not formats and options.format:
        listed = trees.describe([path for path in contents.files if path.suffix.lower() in trees.LISTS], root)
        fix = f"It has {listed}" if listed else KNOWN
        raise SadclError(f"The folder has no annotation file of the format {options.format!r}", where=root, fix=fix)
    if not formats and (error := first_error(contents.files)):
        raise error
    if not formats:
        return _tree(root, contents, insist=False)
    detected, understanding = _choose(root, formats, options)
    if contents.complete:
        return detected, understanding
    note = f"Annotation files were searched in the first {MAX_FOLDERS:,} folders alone"
    return replace(detected, notes=(*detected.notes, note)), understanding


def _choose(root: Path, formats: Sequence[tuple[Format, list[Path]]], options: Options) -> _Reading:
    """Reading by the first format that reads the source; the others are compared with it.

    Raises:
        SadclError: no format reads it, or several read it differently and nobody decides.
    """
    readings: list[tuple[Format, _Reading]] = []
    failed: list[tuple[Format, SadclError]] = []
    for known, paths in formats:
        try:
            readings.append((known, _read_format(root, known, paths, options)))
        except SadclError as error:
            failed.append((known, error))
    if not readings:
        raise failed[0][1]
    known, (detected, understanding) = readings[0]
    if failed and failed[0][0] is formats[0][0]:
        _ask_about_failure(root, *failed[0], known, options)
    labels, same = _labels(detected.source), []
    rivals = [(known, readings[0][1])]
    for other, reading in readings[1:]:
        if _labels(reading[0].source) == labels:
            same.append(f"{', '.join(reading[0].annotation_files[:2])} ({other.title}) says the same")
        else:
            rivals.append((other, reading))
    notes = [*same, *(f"Not used: {item.title}: {error.what} ({error.where})" for item, error in failed)]
    if len(rivals) > 1:
        others = ", ".join(other.title for other, _ in rivals[1:])
        problem = f"There are annotations as {known.title} and, with other labels or photos, as {others}"
        choices = tuple((item.name, f"{item.title}: {_described(of)}") for item, (of, _) in rivals)
        option = f"{' or '.join(f'--format {item.name}' for item, _ in rivals)}, or the folder of one export as PATH"
        chosen = options.ask(Question(problem, choices, option, root))
        detected, understanding = next(reading for item, reading in rivals if item.name == chosen)
    return replace(detected, notes=(*detected.notes, *notes)), understanding


def _ask_about_failure(root: Path, failed: Format, error: SadclError, known: Format, options: Options) -> None:
    """Ask whether another format is read although the first one can't be."""
    problem = f"There are annotations as {failed.title}, which can't be read ({error.what}), and as {known.title}"
    choices = (("stop", f"{failed.title} has to be mended"), ("other", f"{known.title} is the one to read"))
    if options.ask(Question(problem, choices, f"--format {known.name}", root)) == "stop":
        raise error


def _labels(source: sources.Source) -> dict[str, frozenset[str]]:
    return {image.file: frozenset(source.classes[i] for i in image.labels) for image in source.images}


def _size(detected: DetectedSource) -> str:
    classes = counted(len(detected.source.classes), "class", "classes")
    return f"{counted(len(detected.source.images), 'photo')} of {classes}"


def _described(detected: DetectedSource) -> str:
    """The first annotation files of a reading, and its size."""
    names = detected.annotation_files
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}, {_size(detected)}" if names else _size(detected)


def _file(path: Path, options: Options) -> _Reading:
    formats = candidates([path], options.format)
    if not formats:  # a table without labels is read to say what is missing
        formats = [
            (known, [path]) for known in FORMATS if known.name == _table_format(path) or known.name == options.format
        ]
    if not formats:
        raise SadclError("The format of this file of labels is unknown", where=path, fix=KNOWN)
    known, _ = formats[0]
    detected, understanding = _read_format(path.parent, known, [path], options)
    return replace(detected, whole=known.one_for_all or known.per_photo), understanding


def _table_format(path: Path) -> str:
    kinds = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".yaml": "yolo", ".yml": "yolo"}
    return kinds.get(path.suffix.lower(), "")


def _tree(root: Path, contents: Contents, *, insist: bool) -> _Reading:
    if listed_photos.of_source(root):
        fix = "Name a list, such as a CSV file with the columns file and labels"
        raise SadclError("There is no list of labels, and names of folders on S3 are not read", where=root, fix=fix)
    settings = trees.settings(root, contents, insist=insist)
    source = read(root, settings)
    _refuse_missing(source, root)
    return DetectedSource(root, settings, True, source), Understanding()


def _read_format(root: Path, known: Format, paths: Sequence[Path], options: Options) -> _Reading:
    """Read annotation files of one format; of several exports, the only one that can be read.

    Raises:
        SadclError: they are damaged, a photo is missing, or a question stays open.
    """
    exports = alternatives(root, known, paths)
    if len(exports) == 1:
        return _read_files(root, known, exports[0], options)
    readings, errors = [], []
    for export in exports:
        try:
            readings.append(_read_files(root, known, export, options))
        except SadclError as error:
            errors.append(error)
    if not readings:
        raise errors[0]
    chosen = 0
    if len(readings) > 1:
        files = sorted(name for detected, _ in readings for name in detected.annotation_files)
        more = f" and {len(files) - MOST_NAMED:,} more" if len(files) > MOST_NAMED else ""
        choices = tuple((str(i), _described(detected)) for i, (detected, _) in enumerate(readings[:MOST_NAMED]))
        problem = f"There is more than one file of labels: {', '.join(files[:MOST_NAMED])}{more}"
        chosen = int(options.ask(Question(problem, choices, "the file to use as PATH", root)))
    detected, understanding = readings[chosen]
    notes = [f"Not used: {error.what} ({error.where})" for error in errors]
    return replace(detected, notes=(*detected.notes, *notes)), understanding


def _read_files(root: Path, known: Format, files: dict[str, str | list[str]], options: Options) -> _Reading:
    used = [root / name for value in files.values() for name in _several(value)]
    understanding = Understanding()
    if known.name in ("csv", "parquet", "rows"):
        understanding = understand(used, known.name, options)
    elif known.name in ("json", "jsonl"):
        understanding = understand_records(used, root, options)
    settings = {"format": known.name, "annotations": files, "images": {}, **known.defaults, **understanding.settings}
    try:
        settings, source = locate_photos(root, settings, known)
    except SadclError as error:
        if len(used) > 1 and "same" in error.what:
            names = ", ".join(path.relative_to(root).as_posix() for path in used[:5])
            raise SadclError(f"{error.what}; the lists are {names}", where=root, fix="Name one list as PATH") from None
        raise
    _refuse_missing(source, root)
    for path in used if known.name in ("jsonl", "json") else ():
        refuse_vectors(json_cells(path), path)
    return DetectedSource(root, settings, True, source, understanding.notes, understanding.attention), understanding


def _several(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _refuse_missing(source: sources.Source, root: Path) -> None:
    if not source.images:
        raise SadclError("The source names no photo", where=root, fix=KNOWN)
    missing = [image.file for image in source.images if not listed_photos.is_present(root, image.file)]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        problem = f"{len(missing):,} of {counted(len(source.images), 'photo')} {verb} missing"
        fix = "Add them, or remove them from the labels"
        raise SadclError(f"{problem}; the first is {short_repr(missing[0])}", where=root, fix=fix)
