"""A Label Studio export as JSON: tasks with choices, or with labelled rectangles, polygons and so on.

A label is present if every annotator of the task set it. If only some of them set it, it is neither present nor absent.
Of a taxonomy, each part of a chosen path is a label. Choices of two controls must not share a name: "yes" and "no" of
two questions could not be told apart. Tasks without annotations, or with cancelled ones only, are dropped: nobody has
looked at their photos. The photo is searched below ``ingest.images`` by the path in the task, then by its file name,
then by the file name without the eight characters that Label Studio adds to uploads.
"""

import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sadcl import files, params
from sadcl.data.listed_photos import is_present
from sadcl.data.sources import Source, safe_join
from sadcl.data.sources.json_head import first_object, read_head
from sadcl.data.sources.photo_files import SUFFIXES, is_photo
from sadcl.data.sources.rows import Row, annotation_files, build_source, label_names
from sadcl.data.sources.text import is_valid_text, short_repr
from sadcl.errors import SadclError

_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
_FIX = "Export it again as JSON"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the exports that the settings name.

    Raises:
        SadclError: a file is missing or damaged, or a task has no photo.
    """
    rows: list[Row] = []
    controls: dict[str, Any] = {}
    unfinished = 0
    for split, path, folder in annotation_files(root, settings):
        tasks = files.read_json(path, fix=_FIX)
        if not isinstance(tasks, list):
            raise SadclError("The file is not a list of tasks", where=path, fix=_FIX)
        for number, task in enumerate(tasks, start=1):
            where = f"{path}, task {number}"
            if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
                raise SadclError("The task has no data", where=where, fix=f"{_FIX}, not as JSON-MIN")
            annotations = _annotations(task, controls, where)
            if annotations:
                rows.append(agreed(task_photo(root, folder, task["data"], where), split, annotations))
            unfinished += not annotations
    source = build_source(rows, root / settings.files("train")[0])
    note = f"Tasks that nobody has finished are left out: {unfinished:,}"
    return replace(source, notes=[note]) if unfinished else source


def agreed(photo: str, split: str, annotations: Sequence[frozenset[str]]) -> Row:
    """Row of a photo: labels of all annotators are present, those of some are neither present nor absent."""
    every, some = frozenset.intersection(*annotations), frozenset().union(*annotations)
    return Row(photo, split, every, some - every)


def recognises(path: Path) -> bool:
    """Whether a JSON file is a list of tasks with data, or with annotations that have a result."""
    value = read_head(path)
    task = first_object(value) if isinstance(value, list) else {}
    annotation = first_object(task.get("annotations") or task.get("completions"))
    return isinstance(task.get("data"), dict) or "result" in annotation


def _annotations(task: dict[str, Any], controls: dict[str, Any], where: str) -> list[frozenset[str]]:
    """Labels of each annotation of a task that was not cancelled."""
    items = task.get("annotations", task.get("completions", []))  # the second is its name before version 1.0
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise SadclError("The task's annotations are not a list of objects", where=where, fix=_FIX)
    return [_labels(item.get("result", []), controls, where) for item in items if not item.get("was_cancelled")]


def _labels(results: Any, controls: dict[str, Any], where: str) -> frozenset[str]:
    """Labels of one annotation; ``controls`` maps each choice to its control and is extended."""
    if not isinstance(results, list) or not all(isinstance(item, dict) for item in results):
        raise SadclError("The result of an annotation is not a list of objects", where=where, fix=_FIX)
    present = (labels_of_value(item.get("value"), item.get("from_name"), controls, where) for item in results)
    return frozenset().union(*present)


def labels_of_value(value: Any, control: Any, controls: dict[str, Any], where: str) -> frozenset[str]:
    """Labels in the value of a result: those of a control of choices, a taxonomy, or a labelled shape.

    Args:
        value: an object such as ``{"choices": ["cup"]}`` or ``{"x": 1, "rectanglelabels": ["cup"]}``.
        control: name of the control.
        controls: control of each choice so far; extended.
        where: the task, for errors.

    Raises:
        SadclError: the labels are not a list of names, or a choice belongs to another control.
    """
    present: set[str] = set()
    for kind in label_kinds(value):
        names = value[kind] or []
        if kind == "taxonomy" and isinstance(names, list) and all(isinstance(path, list) for path in names):
            names = [name for path in names for name in path]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise SadclError(f"{kind} is {short_repr(names)}, which is not a list of names", where=where, fix=_FIX)
        chosen = label_names(names, where)
        if kind == "choices":
            check_controls(chosen, control, controls, where)
        present |= chosen
    return frozenset(present)


def label_kinds(value: Any) -> list[str]:
    """Keys of the labels in the value of a result."""
    keys = value if isinstance(value, dict) else ()
    return [key for key in keys if key in ("choices", "taxonomy") or key.endswith("labels")]


def check_controls(choices: frozenset[str], control: Any, controls: dict[str, Any], where: str) -> None:
    """Note the control of each choice.

    Raises:
        SadclError: a choice belongs to another control.
    """
    for name in sorted(choices):
        first = controls.setdefault(name, control)
        if first != control:
            problem = f"{short_repr(name)} is a choice of two controls, {short_repr(first)} and {short_repr(control)}"
            raise SadclError(problem, where=where, fix="Rename the choices, such as cat and no cat")


def task_photo(root: Path, folder: str, data: dict[str, Any], where: str) -> str:
    """Path of a task's photo below the source, by the first of a few names that exists."""
    address = _address(data, where)
    try:
        paths = [path for path in _paths(address) if is_valid_text(posixpath.basename(path)) and is_valid_text(path)]
    except ValueError:
        raise SadclError(f"{short_repr(address)} is not the URL of a photo", where=where, fix=_FIX) from None
    if not paths:
        raise SadclError(f"{short_repr(address)} names no file", where=where, fix=_FIX)
    last = [posixpath.basename(path) for path in paths]
    for name in (*paths, *last, *(_UPLOAD.sub("", name) for name in last)):
        with suppress(SadclError):
            if is_present(root, candidate := safe_join(folder, name, where)):
                return candidate
    usual = next(filter(is_photo, paths), paths[0])
    return safe_join(folder, posixpath.basename(usual), where)


def _paths(address: str) -> Iterator[str]:
    """Paths that an address may mean: ``+`` may be a blank and ``#`` an anchor, or both part of a name."""
    literal = address.replace("+", "%2B")
    for text in dict.fromkeys((address, literal, address.replace("#", "%23"), literal.replace("#", "%23"))):
        parts = urlsplit(text)
        local = parse_qs(parts.query).get("d", [""])[0]  # local storage: /data/local-files/?d=PATH
        yield (local or unquote(parts.path)).replace("\\", "/").lstrip("/")


def photo_key(data: dict[str, Any], where: str) -> str:
    """Key of the photo's URL: ``image``, or the only one whose value has a photo's suffix.

    Raises:
        SadclError: there is none, or several.
    """
    suffixed = [key for key, value in data.items() if isinstance(value, str) and _is_photo(value)]
    key = "image" if isinstance(data.get("image"), str) else suffixed[0] if len(suffixed) == 1 else ""
    if not key or not is_valid_text(data[key]) or "\0" in data[key]:
        fix = "Name the photo `image` in the labelling setup"
        raise SadclError("The task's data does not name its photo", where=where, fix=fix)
    return key


def _is_photo(address: str) -> bool:
    """Whether a path or URL, or the path in its query, has a photo's suffix."""
    return any(posixpath.splitext(part)[1].lower() in SUFFIXES for part in (address, address.partition("?")[0]))


def _address(data: dict[str, Any], where: str) -> str:
    address: str = data[photo_key(data, where)]
    return address
