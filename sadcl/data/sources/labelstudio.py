"""A Label Studio export as JSON: tasks with choices, or with labels of rectangles, polygons and the like.

A label is present when all who annotated the task gave it; one that only some of them gave is neither present nor
absent. Choices of two controls must not share a name: two that ask yes or no would say nothing. A task that nobody
annotated, or whose annotations were all cancelled, is left out. The photo is looked for below ``ingest.images`` by the
path that the task gives, then by its last part, then by that without the eight letters that Label Studio puts before
the name of an upload.
"""

import posixpath
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sadcl import files, params
from sadcl.data.sources import Source, inside
from sadcl.data.sources.photo_files import SUFFIXES
from sadcl.data.sources.rows import Row, annotation_files, names, source
from sadcl.data.sources.text import is_text, shown
from sadcl.errors import SadclError

KINDS = ("choices", "rectanglelabels", "polygonlabels", "brushlabels", "ellipselabels", "keypointlabels", "labels")
"""Where a result's value keeps its labels."""
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
_FIX = "Export it again as JSON"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the exports that the settings name.

    Raises:
        SadclError: a file is missing or damaged, or a task is not one of photos.
    """
    rows: list[Row] = []
    controls: dict[str, Any] = {}
    for split, path, folder in annotation_files(root, settings):
        tasks = files.read_json(path, fix=_FIX)
        if not isinstance(tasks, list):
            raise SadclError("The file is no list of tasks", where=path, fix=_FIX)
        for number, task in enumerate(tasks, start=1):
            where = f"{path}, task {number}"
            if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
                raise SadclError("The task has no data", where=where, fix=f"{_FIX}, not as JSON-MIN")
            given = _annotations(task, controls, where)
            if given:
                every, some = frozenset.intersection(*given), frozenset().union(*given)
                rows.append(Row(_file(root, folder, task["data"], where), split, every, some - every))
    return source(rows, root / settings.annotations["train"])


def _annotations(task: dict[str, Any], controls: dict[str, Any], where: str) -> list[frozenset[str]]:
    """The labels that each person gave."""
    given = task.get("annotations", [])
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise SadclError("The task's annotations are no list of objects", where=where, fix=_FIX)
    return [_labels(item.get("result", []), controls, where) for item in given if not item.get("was_cancelled")]


def _labels(results: Any, controls: dict[str, Any], where: str) -> frozenset[str]:
    """The labels of one annotation; ``controls`` remembers by which control each choice was made."""
    found: set[str] = set()
    if not isinstance(results, list) or not all(isinstance(item, dict) for item in results):
        raise SadclError("The result of an annotation is no list of objects", where=where, fix=_FIX)
    for item, value in ((item, item.get("value")) for item in results):
        for kind in KINDS if isinstance(value, dict) else ():
            labels = value.get(kind)
            if labels is not None and not (isinstance(labels, list) and all(isinstance(name, str) for name in labels)):
                raise SadclError(f"{kind} is {shown(labels)}, no list of names", where=where, fix=_FIX)
            given = names(labels or [], where)
            for name in sorted(given) if kind == "choices" else ():
                first, now = controls.setdefault(name, item.get("from_name")), item.get("from_name")
                if first != now:
                    what = f"{shown(name)} is a choice of two controls, {shown(first)} and {shown(now)}"
                    raise SadclError(what, where=where, fix="Give choices names of their own, such as cat and no cat")
            found |= given
    return frozenset(found)


def _file(root: Path, folder: str, data: dict[str, Any], where: str) -> str:
    address = _address(data, where)
    try:
        parts = urlsplit(address)
        local = parse_qs(parts.query).get("d", [""])[0]
    except ValueError:
        raise SadclError(f"{shown(address)} is no address of a photo", where=where, fix=_FIX) from None
    path = (local or unquote(parts.path)).replace("\\", "/").lstrip("/")
    last = posixpath.basename(path)
    for name in (path, last, _UPLOAD.sub("", last)):
        if not is_text(name):
            raise SadclError(f"{shown(address)} names no file", where=where, fix=_FIX)
        try:
            if (root / (found := inside(folder, name, where))).is_file():
                return found
        except (SadclError, OSError):
            continue
    return inside(folder, last, where)


def _address(data: dict[str, Any], where: str) -> str:
    """The value of ``image``, or the only one that ends like a photo."""
    likely = [v for v in data.values() if isinstance(v, str) and posixpath.splitext(v)[1].lower() in SUFFIXES]
    found = data["image"] if isinstance(data.get("image"), str) else likely[0] if len(likely) == 1 else ""
    if not is_text(found) or "\0" in found:
        fix = "Call the photo `image` in the labelling setup"
        raise SadclError("The task's data does not tell which photo it is about", where=where, fix=fix)
    return found
