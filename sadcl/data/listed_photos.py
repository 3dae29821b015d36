"""Photos of a source that are objects on S3: the source's folder holds a manifest, ``photos.parquet``, in their place.

A photo is a ``Path`` where it is a file, and a ``ListedPhoto`` where it is an object; both have ``read_bytes``.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from sadcl import s3
from sadcl.data.manifest import PLACE, SCHEMA, Manifest
from sadcl.errors import SadclError

FILE = "photos.parquet"
"""The manifest in a source's folder. A table of this name without a place in its metadata is none."""
LARGEST = 1_000_000_000
"""Bytes of a photo; a larger one is not read."""
TOO_LARGE = f"The file has more than {LARGEST / 1e9:.0f} GB"
CHANGED = "The photo changed after it was listed"
GONE = "The photo has gone since it was listed"

_assumed_manifests: dict[str, Path] = {}
"""Manifests of folders that do not hold theirs yet."""


@dataclass(frozen=True)
class ListedPhoto:
    """A photo on S3 as it was listed.

    Attributes:
        address: of the object.
        size: in bytes; None where it is unknown.
        etag: None where it is unknown.
        source: name of the source.
    """

    address: str
    size: int | None
    etag: str | None
    source: str

    def __str__(self) -> str:
        return self.address

    def read_bytes(self) -> bytes:
        """Read the object whole.

        Raises:
            RefusedError: S3 gives no answer, or refuses.
            SadclError: the object has changed or gone since it was listed, or is too large.
        """
        try:
            return read_object(self.address, self.size, self.etag)
        except s3.RefusedError:
            raise
        except SadclError as error:
            advice = "" if error.what == TOO_LARGE else f"; `sadcl data relist {self.source}` lists it again"
            raise SadclError(f"{error.what}{advice}", where=self.address, fix="Then run `dvc repro`") from None


def read_object(address: str, size: int | None, etag: str | None) -> bytes:
    """Read an object whole, if it is still the one that was listed.

    Args:
        address: of the object.
        size: as listed, in bytes; None where it is unknown.
        etag: as listed; None where it is unknown.

    Raises:
        RefusedError: S3 gives no answer, or refuses.
        SadclError: ``CHANGED``, ``GONE`` or ``TOO_LARGE``.
    """
    if size is not None and size > LARGEST:
        raise SadclError(TOO_LARGE)
    try:
        return s3.read(address, size, etag, LARGEST)
    except s3.ChangedError:
        raise SadclError(CHANGED) from None
    except s3.GoneError:
        raise SadclError(GONE) from None
    except s3.TooLargeError:
        raise SadclError(TOO_LARGE) from None


class ListedPhotos:
    """Photos that a manifest lists.

    Args:
        path: of the manifest.
        source: name of the source.

    Attributes:
        path: of the manifest.
        place: address of S3 that paths are relative to, without a slash at the end.

    Raises:
        SadclError: the manifest is damaged, or lists no address of S3.
    """

    def __init__(self, path: Path, source: str) -> None:
        fix = f"Restore it with `dvc checkout {path.parent}.dvc`"
        with closing(Manifest(path, fix)) as manifest:
            if not (isinstance(manifest.place, str) and s3.is_address(manifest.place)):
                raise SadclError("The manifest lists no address of S3", where=path, fix=fix)
            try:
                listed = pa.concat_tables([SCHEMA.empty_table(), *manifest.groups()])
                # as Arrow's arrays, a third of the memory of Python's objects
                self._sizes, self._etags = listed["bytes"].combine_chunks(), listed["version"].combine_chunks()
                self._rows: dict[str, int] = {name: row for row, name in enumerate(listed["path"].to_pylist())}
            except (OSError, pa.ArrowException, KeyError) as error:
                raise SadclError("The manifest can't be read", where=path, fix=fix) from error
        self.path, self.place, self._source = path, manifest.place.rstrip("/"), source

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, file: str) -> bool:
        return file in self._rows

    def photo(self, file: str) -> ListedPhoto:
        """The photo of a listed path.

        Raises:
            KeyError: the path is not listed.
        """
        row = self._rows[file]
        address, size, etag = s3.join(self.place, file), self._sizes[row].as_py(), self._etags[row].as_py()
        return ListedPhoto(address, size, etag, self._source)

    def versions(self) -> dict[str, tuple[int | None, str | None]]:
        """Size in bytes and etag by path."""
        sizes, etags = self._sizes.to_pylist(), self._etags.to_pylist()
        return {name: (sizes[row], etags[row]) for name, row in self._rows.items()}

    def below(self, folder: str = "") -> Iterator[str]:
        """Paths of the photos in and below a folder; all of them by default."""
        start = f"{folder}/" if folder else ""
        return (name for name in self._rows if name.startswith(start))

    def relative(self, name: str) -> str | None:
        """Listed path of a name that begins with the place's address, or with the end of it; None for other names."""
        plain = name.rpartition(":/")[2].lstrip("/")
        parts = self.place.removeprefix(s3.SCHEME).split("/")
        starts = ("/".join(parts[i:]) + "/" for i in range(len(parts)))
        rests = (plain.removeprefix(start) for start in starts if plain.startswith(start))
        return next((rest for rest in rests if rest in self), None)

    @cached_property
    def folders(self) -> frozenset[str]:
        """Paths of the folders with photos in or below them, without the place itself."""
        inner = {PurePosixPath(name).parent for name in self._rows}
        return frozenset(str(folder) for path in inner for folder in (path, *path.parents)) - {"."}


def of_source(root: Path) -> ListedPhotos | None:
    """The listed photos of a source; None where its photos are files in its folder.

    Args:
        root: the source's folder.

    Raises:
        SadclError: the manifest is damaged.
    """
    path = _assumed_manifests.get(os.path.abspath(root)) if _assumed_manifests else None
    path = path or root / FILE
    try:
        status = os.stat(path)
    except OSError:
        return None
    return _opened(str(path), root.name, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _opened(path: str, source: str, *_: int) -> ListedPhotos | None:
    """The manifest in a file of this time and size; None if it is another table."""
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException):  # damaged: opening it gives the reason
        return ListedPhotos(Path(path), source)
    return ListedPhotos(Path(path), source) if PLACE in (schema.metadata or {}) else None


@contextmanager
def assumed(root: Path, manifest: Path) -> Iterator[None]:
    """Let a folder of labels have the photos of a manifest elsewhere.

    Args:
        root: the folder.
        manifest: of its photos.
    """
    key = os.path.abspath(root)
    _assumed_manifests[key] = manifest
    try:
        yield
    finally:
        del _assumed_manifests[key]


def locate(root: Path, file: str) -> Path | ListedPhoto:
    """The photo of a path in a source; where photos are listed and this one is not, a path without a file.

    Args:
        root: the source's folder.
        file: relative to it.
    """
    return locator(root)(file)


def locator(root: Path) -> Callable[[str], Path | ListedPhoto]:
    """The function ``locate`` of one source, which looks for a manifest once."""
    listed = of_source(root)
    if listed is None:
        return lambda file: root / file
    return lambda file: listed.photo(file) if file in listed else root / file


def find(project: Path, path: str) -> Path | ListedPhoto:
    """The photo of a path below a project; the source is the first folder on the way with a manifest.

    Args:
        project: its folder.
        path: relative to it.
    """
    for folder in reversed(PurePosixPath(path).parents):
        if of_source(project / folder) is not None:
            return locate(project / folder, str(PurePosixPath(path).relative_to(folder)))
    return project / path


def threads(root: Path, workers: int) -> int:
    """Number of threads that read the photos of a source.

    Args:
        root: the source's folder.
        workers: threads for files.
    """
    return max(1, workers if of_source(root) is None else max(workers, s3.READERS))


def is_present(root: Path, file: str) -> bool:
    """Whether a source has a photo of this path; false for names that the file system rejects."""
    return presence(root)(file)


def presence(root: Path) -> Callable[[str], bool]:
    """The function ``is_present`` of one source, which looks for a manifest once."""
    listed, base = of_source(root), str(root)
    return listed.__contains__ if listed is not None else lambda file: os.path.isfile(f"{base}/{file}")


def has_folder(root: Path, folder: str) -> bool:
    """Whether a source has a folder of photos of this path, empty for its own."""
    listed = of_source(root)
    return os.path.exists(f"{root}/{folder}") if listed is None else folder in ("", ".") or folder in listed.folders
