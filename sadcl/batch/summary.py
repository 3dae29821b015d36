"""The summary of a job, ``_summary.json``: counts, reasons, digests, and the parts in order of their paths."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sadcl import files
from sadcl.batch import parts
from sadcl.batch.parts import About
from sadcl.errors import SadclError

FILE = "_summary.json"
MOST_REASONS = 20
"""Reasons that are counted one by one."""
OTHER = "other reasons"


def read(folder: Path) -> dict[str, Any]:
    """Read the summary of a job.

    Raises:
        SadclError: the job has not finished, or the file is damaged.
    """
    fix = "Run `sadcl predict PLACE --out FOLDER` to its end first"
    value = files.read_json(folder / FILE, fix)
    if not isinstance(value, dict) or value.get("format") != parts.FORMAT:
        raise SadclError("This is no summary that this sadcl wrote", where=folder / FILE, fix=fix)
    return value


def is_complete(folder: Path, manifest: str) -> bool:
    """Whether the summary is of a manifest, whose SHA-256 is given, and names exactly the folder's parts."""
    value = _earlier(folder)
    return value.get("manifest") == manifest and {part["file"] for part in value["parts"]} == parts.written(folder)


def is_finished(folder: Path, manifest: str, about: About) -> bool:
    """Whether the folder has all predictions of a manifest, whose SHA-256 is given, by a model with its settings."""
    value = _earlier(folder)
    same = {"manifest": manifest, **asdict(about), "classes": list(about.classes)}
    return same.items() <= value.items() and {part["file"] for part in value["parts"]} <= parts.written(folder)


def write(folder: Path, place: str, manifest: str, about: About, names: Sequence[str], new: Collection[str]) -> None:
    """Write the summary of a finished job; equal predictions give equal bytes.

    Args:
        folder: of the job.
        place: whose photos were predicted.
        manifest: SHA-256 of the manifest.
        about: of the job.
        names: of the parts, in the order of their paths; all of them are there.
        new: names of those that were written since the earlier summary.

    Raises:
        SadclError: a part can't be read, or the summary can't be written.
    """
    known = {part["file"]: part["sha256"] for part in _earlier(folder).get("parts", ()) if part["file"] not in new}
    failed, labels, listed = Counter[str](), Counter[str](), []
    for name in names:
        part = parts.read(folder / name)
        failed.update(part.about["failed"])
        labels.update(part.about["labels"])
        digest = known.get(name) or files.digest(part.path)
        listed.append({"file": name, "photos": part.about["photos"], "sha256": digest})
    value = {
        **asdict(about),
        "place": place,
        "manifest": manifest,
        "photos": sum(part["photos"] for part in listed),
        "failed": sum(failed.values()),
        "reasons": _most_frequent(failed),
        "labels": {name: labels[name] for name in about.classes},
        "parts": listed,
    }
    files.write_json(folder / FILE, value)


def _earlier(folder: Path) -> dict[str, Any]:
    """The summary of an earlier run; empty where there is none."""
    try:
        return read(folder)
    except SadclError:
        return {}


def _most_frequent(reasons: Mapping[str, int]) -> dict[str, int]:
    ordered = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = sum(count for _, count in ordered[MOST_REASONS:])
    return dict(ordered[:MOST_REASONS]) | ({OTHER: rest} if rest else {})
