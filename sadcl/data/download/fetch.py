"""A set's original files: fetched, checked, unpacked under ``data/raw/NAME``, tracked by DVC."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sadcl import files, layout, params, pipeline
from sadcl.data.download import archives, originals
from sadcl.data.download.datasets import DataSet, Original
from sadcl.data.download.http import RetryPolicy
from sadcl.data.download.originals import DownloadedFile
from sadcl.errors import SadclError
from sadcl.progress import say, track

_DEFAULT = RetryPolicy()


def fetch(data_set: DataSet, root: Path = Path("."), mirror: str = "", patience: RetryPolicy = _DEFAULT) -> str:
    """Fetch a set; started again, it goes on where it was, and takes in what could not be had before.

    Args:
        data_set: what to fetch.
        root: the project's folder. Where it has no settings yet, those of the set's recipe are written.
        mirror: a folder or an address below which all files lie, in place of their own addresses.
        patience: with a server.

    Returns:
        What was done, in sentences.

    Raises:
        SadclError: something else has the folder's name, there is no room, a file can't be had or is not what it
            should be, an archive holds what it should not, or DVC can't read the project. The folder appears whole
            or not at all; one that is there stays as it was.
    """
    pipeline.require_project(root)
    folder, kept = root / layout.RAW / data_set.name, root / layout.DOWNLOADS / data_set.name
    record = root / layout.RAW / f"{data_set.name}.sources.json"
    if folder.exists() and not record.exists():
        raise SadclError("There is something of this name already", where=folder, fix="Move it away and run this again")
    with files.lock(kept / "lock", f"fetching {data_set.name}"), _settings(data_set, root) as settings:
        known = originals.recorded(record)
        there = known if folder.exists() else {}
        wanted = [o for o in data_set.originals if o.file not in there and originals.may_be_had(o, mirror)]
        if wanted:
            _require_room(data_set.name, wanted, kept, mirror, patience, root)
            asked = (originals.get(original, kept, mirror, known, patience) for original in wanted)
            got = [each for each in asked if each]
            entries = [*there.values(), *(known.get(each.original.file) or each.entry() for each in got)]
            if got:
                _unpack(got, folder, record, {"name": data_set.name, "files": entries}, root)
        pipeline.add(folder)
    shutil.rmtree(kept, ignore_errors=True)
    said = f"{folder} is there and tracked; commit {folder}.dvc and {record}.{settings}"
    return f"{said} {data_set.by_hand}." if _lacks(data_set, folder, record) else said


@contextmanager
def _settings(data_set: DataSet, root: Path) -> Iterator[str]:
    """Make sure beforehand that DVC can read the graph, which it can't without settings: it tracks nothing then."""
    path = root / params.FILE
    fresh = bool(data_set.recipe) and not path.exists()
    try:
        if fresh:
            files.write_text(path, params.recipe(data_set.recipe, root).read_text(encoding="utf-8"))
        pipeline.stages(root)
        yield f" {params.FILE} is the recipe {data_set.recipe}." if fresh else ""
    except BaseException:
        if fresh:
            path.unlink(missing_ok=True)
        raise


def _lacks(data_set: DataSet, folder: Path, record: Path) -> bool:
    """Whether something is left to be done by hand: a file without an address, or all that is none of the files."""
    closed = [original for original in data_set.originals if not original.url]
    known = originals.recorded(record)
    absent = [o for o in closed if o.file not in known and not (folder / o.into / o.file).exists()]
    return bool(data_set.by_hand) and (bool(absent) or not closed)


def _require_room(
    name: str, wanted: list[Original], kept: Path, mirror: str, patience: RetryPolicy, root: Path
) -> None:
    """Look for room for archives, for what comes out of them (at least as much), and for DVC where it copies that."""
    copied = not pipeline.links(root)
    needed = 0
    for original in wanted:
        local = isinstance(originals.place(original, mirror), Path)
        needed += originals.expected_bytes(original, mirror, patience) * (1 + copied + (not local))
    have = sum(path.stat().st_size for path in kept.glob("*") if path.is_file())
    also = ", what is in them and DVC's copy of it" if copied else " and what is in them"
    files.require_room(kept, needed - have, f"{name}, its archives{also}")


def _unpack(got: list[DownloadedFile], folder: Path, record: Path, about: dict[str, Any], root: Path) -> None:
    packed = [each for each in got if archives.is_archive(each.original.file)]
    needed = 0
    for each in packed:
        with _distrusted(each):
            needed += archives.claimed_bytes(each.path, each.original.keep)
    more = folder.exists()
    with files.atomic_directory(folder) as beside:
        files.require_room(beside, needed * (1 if pipeline.links(root) else 2), f"what {folder.name}'s archives hold")
        if more:
            _link_all(folder, beside)
        for each in packed:
            _unpack_one(each, beside)
        for each in got:
            if each not in packed:
                _place(each, beside)
        if not more:
            files.write_json(record, about)  # before the folder has its name: one without a record is somebody else's
    if more:
        files.write_json(record, about)


def _link_all(folder: Path, beside: Path) -> None:
    """What is there already comes along; nothing writes to it there."""
    for path in track(folder.rglob("*"), f"keeping what is in {folder.name}", unit="files"):
        target = beside / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            target.mkdir(exist_ok=True)
        else:
            files.link(path, target)


def _place(got: DownloadedFile, beside: Path) -> None:
    """A file that is no archive."""
    target = beside / got.original.into / got.original.file
    if target.exists():  # by hand, before
        if files.digest(target) != got.sha256:
            words = f"Another {target.name} is in the set's folder already"
            raise SadclError(words, where=got.origin, fix="Remove the wrong one of the two and run this again")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(got.path, target)


def _unpack_one(got: DownloadedFile, beside: Path) -> None:
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
def _distrusted(got: DownloadedFile) -> Iterator[None]:
    """What can't be unpacked, and has no known checksum, is fetched anew by the next run."""
    try:
        yield
    except SadclError:
        if got.ours and not got.original.checksum:
            got.path.unlink()
        raise
