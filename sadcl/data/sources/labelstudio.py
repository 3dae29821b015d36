"""A Label Studio export as JSON: tasks with choices, or with labelled rectangles, polygons and so on.

A label is present if every annotator of the task set it. If only some of them set it, it is neither present nor absent.
Choices of two controls must not share a name: "yes" and "no" of two questions could not be told apart. Tasks without
annotations, or with cancelled ones only, are ignored. The photo is searched below ``ingest.images`` by the path in the
task, then by its file name, then by the file name without the eight characters that Label Studio adds to uploads.
"""

import posixpath
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sadcl import files, params
from sadcl.data.sources import Source, safe_join
from sadcl.data.sources.photo_files import SUFFIXES
from sadcl.data.sources.rows import Row, annotation_files, build_source, label_names
from sadcl.data.sources.text import is_valid_text, short_repr
from sadcl.errors import SadclError

KINDS = ("choices", "rectanglelabels", "polygonlabels", "brushlabels", "ellipselabels", "keypointlabels", "labels")
"""Keys of the labels in the value of a result."""
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
_FIX = "Export it again as JSON"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the exports that the settings name.

    Raises:
        SadclError: a file is missing or damaged, or a task has no photo.
    """
    rows: list[Row] = []
    controls: dict[str, Any] = {}
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
                every, some = frozenset.intersection(*annotations), frozenset().union(*annotations)
                rows.append(Row(_file(root, folder, task["data"], where), split, every, some - every))
    return build_source(rows, root / settings.files("train")[0])


def recognises(path: Path) -> bool:
    """Whether a JSON file is a list of tasks with data."""
    try:
        value = files.read_json(path)
    except SadclError:
        return False
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "data" in value[0]


def _annotations(task: dict[str, Any], controls: dict[str, Any], where: str) -> list[frozenset[str]]:
    """Labels of each annotation of a task that was not cancelled."""
    items = task.get("annotations", [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise SadclError("The task's annotations are not a list of objects", where=where, fix=_FIX)
    return [_labels(item.get("result", []), controls, where) for item in items if not item.get("was_cancelled")]


def _labels(results: Any, controls: dict[str, Any], where: str) -> frozenset[str]:
    """Labels of one annotation; ``controls`` maps each choice to its control and is extended."""
    present: set[str] = set()
    if not isinstance(results, list) or not all(isinstance(item, dict) for item in results):
        raise SadclError("The result of an annotation is not a list of objects", where=where, fix=_FIX)
    for item, value in ((item, item.get("value")) for item in results):
        for kind in KINDS if isinstance(value, dict) else ():
            labels = value.get(kind)
            if labels is not None and not (isinstance(labels, list) and all(isinstance(name, str) for name in labels)):
                raise SadclError(f"{kind} is {short_repr(labels)}, which is not a list of names", where=where, fix=_FIX)
            chosen = label_names(labels or [], where)
            if kind == "choices":
                _check_controls(chosen, item.get("from_name"), controls, where)
            present |= chosen
    return frozenset(present)


def _check_controls(choices: frozenset[str], control: Any, controls: dict[str, Any], where: str) -> None:
    for name in sorted(choices):
        first = controls.setdefault(name, control)
        if first != control:
            problem = f"{short_repr(name)} is a choice of two controls, {short_repr(first)} and {short_repr(control)}"
            raise SadclError(problem, where=where, fix="Rename the choices, such as cat and no cat")


def _file(root: Path, folder: str, data: dict[str, Any], where: str) -> str:
    """Path of a task's photo below the source, by the first of three names that exists."""
    address = _address(data, where)
    try:
        parts = urlsplit(address)
        local = parse_qs(parts.query).get("d", [""])[0]  # local storage: /data/local-files/?d=PATH
    except ValueError:
        raise SadclError(f"{short_repr(address)} is not the URL of a photo", where=where, fix=_FIX) from None
    path = (local or unquote(parts.path)).replace("\\", "/").lstrip("/")
    last = posixpath.basename(path)
    for name in (path, last, _UPLOAD.sub("", last)):
        if not is_valid_text(name):
            raise SadclError(f"{short_repr(address)} names no file", where=where, fix=_FIX)
        try:
            if (root / (candidate := safe_join(folder, name, where))).is_file():
                return candidate
        except (SadclError, OSError):
            continue
    return safe_join(folder, last, where)


def _address(data: dict[str, Any], where: str) -> str:
    """URL of the photo: the value of ``image``, or the only value with a photo's suffix."""
    candidates = [v for v in data.values() if isinstance(v, str) and posixpath.splitext(v)[1].lower() in SUFFIXES]
    single = candidates[0] if len(candidates) == 1 else ""
    address: str = data["image"] if isinstance(data.get("image"), str) else single
    if not is_valid_text(address) or "\0" in address:
        fix = "Name the photo `image` in the labelling setup"
        raise SadclError("The task's data does not name its photo", where=where, fix=fix)
    return address
