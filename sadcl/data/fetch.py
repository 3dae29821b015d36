"""A set's original files: fetched, checked, unpacked under ``data/raw/NAME``, tracked by DVC."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sadcl import files, graph
from sadcl.data import archives
from sadcl.data.catalogue import DataSet, Original
from sadcl.data.download import Patience, digests, download, room
from sadcl.errors import SadclError
from sadcl.progress import say

_DEFAULT = Patience()
RAW, DOWNLOADS = Path("data/raw"), Path(".sadcl/downloads")


@dataclass(frozen=True)
class _Got:
    original: Original
    path: Path
    sha256: str
    ours: bool
    """We fetched it, so that we may remove it."""


def fetch(data_set: DataSet, root: Path = Path("."), mirror: str = "", patience: Patience = _DEFAULT) -> str:
    """Fetch a set; started again, it goes on where it was.

    Args:
        data_set: what to fetch.
        root: the project's folder.
        mirror: a folder or an address below which all files lie, in place of their own addresses.
        patience: with a server.

    Returns:
        What was done, in a sentence.

    Raises:
        SadclError: something else has the folder's name, there is no room, a file can't be had or is not what it
            should be, or an archive holds what it should not. The folder appears whole or not at all.
    """
    graph.require_project(root)
    folder, record, kept = root / RAW / data_set.name, _record(data_set, root), root / DOWNLOADS / data_set.name
    if folder.exists() and not record.exists():
        raise SadclError("There is something of this name already", where=folder, fix="Move it away and run this again")
    with files.held(kept / "lock", f"fetching {data_set.name}"):
        if not folder.exists():
            known = _recorded(record)
            _room_for_all(data_set, kept, mirror)
            got = [_get(original, kept, mirror, known, patience) for original in _here(data_set, mirror)]
            about = {"name": data_set.name, "files": [_entry(each, known) for each in got]}
            _unpack(got, folder, record, about)
    graph.add(folder)
    shutil.rmtree(kept, ignore_errors=True)
    by_hand = f" {data_set.by_hand}." if data_set.by_hand else ""
    return f"{folder} is there and tracked; commit {folder}.dvc and {record}.{by_hand}"


def _record(data_set: DataSet, root: Path) -> Path:
    return root / RAW / f"{data_set.name}.sources.json"


def _recorded(record: Path) -> dict[str, dict[str, Any]]:
    """What earlier fetches found, by file."""
    if not record.exists():
        return {}
    fix = "Restore it from git, or remove it if these files were never fetched"
    try:
        entries = files.read_json(record, fix=fix)["files"]
        return {str(e["file"]): {**e, "sha256": str(e["sha256"]), "bytes": int(e["bytes"])} for e in entries}
    except (TypeError, KeyError, ValueError):
        raise SadclError("It is no record of fetched files", where=record, fix=fix) from None


def _here(data_set: DataSet, mirror: str) -> list[Original]:
    """The files that can be had: those without an address only where a mirror's folder has them."""
    return [
        original
        for original in data_set.originals
        if original.url or (mirror and not _remote(mirror) and (Path(mirror) / original.file).is_file())
    ]


def _remote(mirror: str) -> bool:
    return mirror.startswith(("http://", "https://"))


def _room_for_all(data_set: DataSet, kept: Path, mirror: str) -> None:
    """Archives, and what comes out of them: at least as much again."""
    sizes = [(original, original.size or 0) for original in data_set.originals if original.url]
    local = bool(mirror) and not _remote(mirror)
    have = sum(path.stat().st_size for path in kept.glob("*") if path.is_file())
    needed = sum(size * (1 if local or not archives.is_archive(original.file) else 2) for original, size in sizes)
    room(kept, needed - have, f"{data_set.name}, its archives and what is in them")


def _get(original: Original, kept: Path, mirror: str, known: dict[str, dict[str, Any]], patience: Patience) -> _Got:
    """One file, checked."""
    recorded = known.get(original.file, {})
    size = original.size if original.size is not None else recorded.get("bytes")
    wanted = [original.checksum, f"sha256:{recorded['sha256']}" if "sha256" in recorded else ""]
    wanted = [text for text in wanted if text]
    local = mirror and not _remote(mirror)
    path = Path(mirror) / original.file if local else kept / original.file
    if local and not path.is_file():
        raise SadclError("The folder lacks a file", where=path, fix="Put it there, or fetch without --from")
    if not path.exists():
        url = f"{mirror.rstrip('/')}/{quote(original.file)}" if mirror else original.url
        say(f"{original.file}: {url.rsplit('@', 1)[-1] if mirror else url}")
        download(url, path, size=size, checked=bool(wanted), patience=patience)
    return _Got(original, path, _check(path, size, wanted, original, ours=not local), ours=not local)


def _check(path: Path, size: int | None, wanted: list[str], original: Original, *, ours: bool) -> str:
    """SHA-256 of a file that is what it should be."""
    found = {name: f"{name}:{value}" for name, value in digests(path).items()}
    wrong = [text for text in wanted if text not in found.values()]
    if size is not None and path.stat().st_size != size:
        words = f"{original.file} has {path.stat().st_size:,} bytes, but it should have {size:,}"
    elif wrong:
        kind = wrong[0].split(":")[0]
        words = f"{original.file} is not the file it should be: {found[kind]}, but expected {wrong[0]}"
    else:
        return found["sha256"].removeprefix("sha256:")
    if ours:
        path.unlink()
        words += "; it was removed"
    fix = "Run this again, or name another place with --from"
    raise SadclError(words, where=original.known_from or "the record of the first fetch", fix=fix)


def _entry(got: _Got, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    original = got.original
    if original.file in known:
        return known[original.file]
    by = (
        f"{original.checksum} ({original.known_from})" if original.checksum else "nothing: recorded at this first fetch"
    )
    return {
        "file": original.file, "url": original.url, "bytes": got.path.stat().st_size, "sha256": got.sha256,
        "checked_by": by,
    }  # fmt: skip


def _unpack(got: list[_Got], folder: Path, record: Path, about: dict[str, Any]) -> None:
    packed = [each for each in got if archives.is_archive(each.original.file)]
    needed = 0
    for each in packed:
        with _distrusted(each):
            needed += archives.claimed_bytes(each.path, each.original.keep)
    with files.writing_directory(folder) as beside:
        room(beside, needed, f"what {folder.name}'s archives hold")
        for each in packed:
            _unpack_one(each, beside)
        for each in got:
            if each not in packed:
                target = beside / each.original.into / each.original.file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(each.path, target)
        files.write_json(record, about)  # before the folder has its name: a folder without a record is somebody else's


def _unpack_one(got: _Got, beside: Path) -> None:
    original = got.original
    with _distrusted(got):
        out = archives.unpack(got.path, beside, keep=original.keep, drop=original.drop, into=original.into)
        if not out.files:
            words = "The archive holds nothing that training needs"
            raise SadclError(words, where=got.path, fix="Is it the right one?")
    say(f"{original.file}: {out.files:,} files, {out.bytes / 1e6:,.1f} MB")
    for one, other in out.clashes[:5]:
        say(f"  {one} and {other} differ only by case: systems that don't tell them apart lose one")


@contextmanager
def _distrusted(got: _Got) -> Iterator[None]:
    """What can't be unpacked, and has no known checksum, is fetched anew by the next run."""
    try:
        yield
    except SadclError:
        if got.ours and not got.original.checksum:
            got.path.unlink()
        raise
