"""Fetching a public data set: download, check, unpack to ``data/raw/NAME``, track with DVC."""

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
    """Fetch a public data set; a second run resumes, and adds files that were unavailable before.

    Args:
        data_set: what to fetch.
        root: the project's folder. Without settings, it gets those of the data set's recipe.
        mirror: folder or address that has all files, in place of their own addresses.
        patience: timeouts and attempts.

    Returns:
        Sentences for the user.

    Raises:
        SadclError: something else has the folder's name, the disk has too little room, a file is unavailable or
            wrong, an archive is unsafe, or DVC can't read the project. The folder appears complete or not at all; an
            existing one stays as it was.
    """
    pipeline.require_project(root)
    folder, downloads = root / layout.RAW / data_set.name, root / layout.DOWNLOADS / data_set.name
    record = root / layout.RAW / f"{data_set.name}.sources.json"
    if folder.exists() and not record.exists():
        raise SadclError(
            "The folder exists, and was not fetched by this command",
            where=folder,
            fix="Move it away and run this again",
        )
    with files.lock(downloads / "lock", f"fetching {data_set.name}"), _settings(data_set, root) as settings:
        known = originals.read_record(record)
        present = known if folder.exists() else {}
        missing = [o for o in data_set.originals if o.file not in present and originals.is_available(o, mirror)]
        if missing:
            _require_room(data_set.name, missing, downloads, mirror, patience, root)
            results = (originals.get(original, downloads, mirror, known, patience) for original in missing)
            fetched = [result for result in results if result]
            entries = [*present.values(), *(known.get(file.original.file) or file.entry() for file in fetched)]
            if fetched:
                _unpack(fetched, folder, record, {"name": data_set.name, "files": entries}, root)
        pipeline.add(folder)
    shutil.rmtree(downloads, ignore_errors=True)
    sentence = f"{folder} is complete and tracked by DVC; commit {folder}.dvc and {record}.{settings}"
    return f"{sentence} {data_set.by_hand}." if _needs_files(data_set, folder, record) else sentence


@contextmanager
def _settings(data_set: DataSet, root: Path) -> Iterator[str]:
    """Give a project without settings those of the recipe, before the download: DVC can't track files without them."""
    path = root / params.FILE
    fresh = bool(data_set.recipe) and not path.exists()
    try:
        if fresh:
            files.write_text(path, params.recipe(data_set.recipe, root).read_text(encoding="utf-8"))
        pipeline.stages(root)
        yield f" {params.FILE} is a copy of the recipe {data_set.recipe}." if fresh else ""
    except BaseException:
        if fresh:
            path.unlink(missing_ok=True)
        raise


def _needs_files(data_set: DataSet, folder: Path, record: Path) -> bool:
    """Whether people still have to add something: a file without an address, or photos where only lists are public."""
    closed = [original for original in data_set.originals if not original.url]
    known = originals.read_record(record)
    absent = [o for o in closed if o.file not in known and not (folder / o.into / o.file).exists()]
    return bool(data_set.by_hand) and (bool(absent) or not closed)


def _require_room(
    name: str, missing: list[Original], downloads: Path, mirror: str, patience: RetryPolicy, root: Path
) -> None:
    """Check that the disk has room for archives, for their content (at least as much), and for DVC where it copies.

    Raises:
        SadclError: it has too little.
    """
    copied = not pipeline.links(root)
    needed = 0
    for original in missing:
        local = isinstance(originals.source_of(original, mirror), Path)
        needed += originals.expected_bytes(original, mirror, patience) * (1 + copied + (not local))
    received = sum(path.stat().st_size for path in downloads.glob("*") if path.is_file())
    content = ", their content and DVC's copy of it" if copied else " and their content"
    files.require_room(downloads, needed - received, f"the archives of {name}{content}")


def _unpack(fetched: list[DownloadedFile], folder: Path, record: Path, about: dict[str, Any], root: Path) -> None:
    packed = [file for file in fetched if archives.is_archive(file.original.file)]
    needed = 0
    for file in packed:
        with _removed_if_bad(file):
            needed += archives.claimed_bytes(file.path, file.original.keep)
    extending = folder.exists()
    with files.atomic_directory(folder) as staging:
        files.require_room(staging, needed * (1 if pipeline.links(root) else 2), f"the content of {folder.name}")
        if extending:
            _link_all(folder, staging)
        for file in packed:
            _unpack_one(file, staging)
        for file in fetched:
            if file not in packed:
                _copy(file, staging)
        if not extending:
            files.write_json(record, about)  # first: a folder without a record would count as somebody else's
    if extending:
        files.write_json(record, about)


def _link_all(folder: Path, staging: Path) -> None:
    """Link the files of the present folder into the new one; unpacking never writes to an existing file."""
    for path in track(folder.rglob("*"), f"keeping files of {folder.name}", unit="files"):
        target = staging / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            target.mkdir(exist_ok=True)
        else:
            files.link(path, target)


def _copy(fetched: DownloadedFile, staging: Path) -> None:
    """Copy a file that is no archive into the data set.

    Raises:
        SadclError: a different file has its name.
    """
    target = staging / fetched.original.into / fetched.original.file
    if target.exists():  # somebody added it by hand
        if files.digest(target) != fetched.sha256:
            reason = f"The data set's folder has a different {target.name}"
            raise SadclError(reason, where=fetched.origin, fix="Remove the wrong one of the two and run this again")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(fetched.path, target)


def _unpack_one(fetched: DownloadedFile, staging: Path) -> None:
    original = fetched.original
    with _removed_if_bad(fetched):
        unpacked = archives.unpack(fetched.path, staging, keep=original.keep, drop=original.drop, into=original.into)
        if not unpacked.files:
            reason = "The archive holds no file that training needs"
            raise SadclError(reason, where=fetched.path, fix="Check that it is the right archive")
    say(f"{original.file}: {unpacked.files:,} files, {unpacked.bytes / 1e6:,.1f} MB")
    for first, second in unpacked.clashes[:5]:
        say(f"  {first} and {second} differ only by case: a case-insensitive file system keeps one of them")


@contextmanager
def _removed_if_bad(fetched: DownloadedFile) -> Iterator[None]:
    """Remove a download without known checksum when it can't be unpacked, so that the next run fetches it anew."""
    try:
        yield
    except SadclError:
        if fetched.removable and not fetched.original.checksum:
            fetched.path.unlink()
        raise
