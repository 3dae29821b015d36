"""Lists of photos: Parquet and CSV files with a column of paths, and inventories of S3."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.parquet as pq

from sadcl import s3
from sadcl.batch import reading
from sadcl.data.manifest import GROUP, SCHEMA, Row
from sadcl.data.sources.photo_files import is_junk, is_photo
from sadcl.errors import SadclError, first_line

SUFFIXES = (".parquet", ".csv", ".csv.gz", "manifest.json")
PATHS, SIZES, VERSIONS = ("path", "file", "key"), ("bytes", "size"), ("version", "etag", "e_tag")
"""Names of columns, in any letter case; the first that is there counts."""
BUCKET = "bucket"
LATEST, DELETED = ("islatest", "is_latest"), ("isdeletemarker", "is_delete_marker")
"""Columns of an inventory of all versions."""

Columns = Mapping[str, Sequence[object]]


def is_list(text: str) -> bool:
    """Whether a place is named like a list, and is no folder."""
    return text.lower().endswith(SUFFIXES) and not Path(text).is_dir()


def root(address: str) -> str:
    """Folder or address that the paths of a list are relative to."""
    return address.rpartition("/")[0] or "/"


def rows(address: str) -> Iterator[Row]:
    """Photos of a list, sorted by path, each path once, as of its latest version.

    A list keeps names of any kind; an inventory has all objects, of which those that a folder of S3 would list count.

    Args:
        address: absolute path or ``s3://`` address of the list.

    Raises:
        SadclError: the list is missing, damaged, or has no column of paths.
    """
    groups = [_table(group, address) for group in _groups(address)]
    if not groups:
        return
    table = pa.concat_tables(groups).sort_by([(name, "ascending") for name in SCHEMA.names])
    before, any_exists = None, False
    for batch in table.to_batches(GROUP):
        for path, size, version in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if path == before:
                continue
            before = path
            is_remote = s3.is_address(path) or s3.is_address(address)
            row = (path, size, version) if is_remote else (path, *reading.size_and_version(Path(root(address), path)))
            any_exists = any_exists or is_remote or row[2] is not None
            yield row
    if before is not None and not any_exists:  # a disk that is not mounted would clear all predictions
        fix = "Check that their disk is there, and that the paths are absolute or relative to the list"
        raise SadclError("None of the listed photos is there", where=address, fix=fix)


def _groups(address: str) -> Iterator[Columns]:
    """Columns of a list by their names in lower case, some rows at a time."""
    if _is_inventory(address):
        yield from _inventory(address)
        return
    data = _read(address)
    yield from _parquet(data, address) if address.lower().endswith(".parquet") else _csv(data, address, None)


def _is_inventory(address: str) -> bool:
    return address.lower().endswith("manifest.json")


def _inventory(address: str) -> Iterator[Columns]:
    """Columns of an inventory that S3 wrote: its manifest names the files and, for CSV, their columns."""
    try:
        about = json.loads(_read(address))
        bucket = about["destinationBucket"].rpartition(":")[2]
        keys, kind = [file["key"] for file in about["files"]], about["fileFormat"].upper()
        names = [name.strip() for name in about["fileSchema"].split(",")] if kind == "CSV" else []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(address, error) from None
    if kind not in ("CSV", "PARQUET"):
        raise SadclError(f"An inventory in {kind} can't be read", where=address, fix="Let S3 write CSV or Parquet")
    for key in keys:
        # next to a manifest that was downloaded, or where S3 put it
        file = f"{s3.SCHEME}{bucket}/{key}" if s3.is_address(address) else str(Path(address).parent / Path(key).name)
        yield from _parquet(_read(file), file) if kind == "PARQUET" else _csv(_read(file), file, names)


def _parquet(data: bytes, address: str) -> Iterator[Columns]:
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            wanted = [name for name in file.schema_arrow.names if name.lower() in _KNOWN]
            _require_different([name.lower() for name in wanted])
            for batch in file.iter_batches(GROUP, columns=wanted):
                yield {name.lower(): batch.column(name).to_pylist() for name in wanted}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(address, error) from None


_KNOWN = frozenset((*PATHS, *SIZES, *VERSIONS, BUCKET, *LATEST, *DELETED))


def _require_different(names: Sequence[str]) -> None:
    """Raise where two columns have the same name."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"it has several columns `{twice[0]}`")


def _csv(data: bytes, address: str, names: Sequence[str] | None) -> Iterator[Columns]:
    """Columns of a CSV file.

    Args:
        data: content, possibly compressed by gzip.
        address: of the file, for the error.
        names: of the columns of an inventory, whose keys are quoted as in a URL; None where the first line has them.
    """
    try:
        text = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = [name.lower() for name in (names or next(lines, []))]
        _require_different([name for name in header if name in _KNOWN])
        table = [line for line in lines if line]
        if any(len(line) != len(header) for line in table):
            raise ValueError("its lines differ in length")
    except (ValueError, OSError, EOFError, zlib.error, csv.Error) as error:
        raise _unreadable(address, error) from None
    columns: dict[str, Sequence[str]] = dict.fromkeys(header, ())
    columns.update(zip(header, zip(*table, strict=True), strict=False))
    if names is not None and "key" in columns:
        columns["key"] = tuple(map(unquote_plus, columns["key"]))
    yield columns


def _table(columns: Columns, address: str) -> pa.Table:
    """A table of the manifest's columns."""
    paths = _first(columns, PATHS)
    if paths is None:
        names = ", ".join(columns) or "none"
        raise SadclError(f"The list has no column `path` or `key`, only {names}", where=address, fix="Name one so")
    sizes, versions = _first(columns, SIZES), _first(columns, VERSIONS)
    none = [None] * len(paths)
    facts = zip(paths, _first(columns, LATEST) or none, _first(columns, DELETED) or none, strict=True)
    is_inventory = _is_inventory(address)
    counts = [
        bool(path) and _is_current(latest, deleted) and (not is_inventory or _is_listed(str(path)))
        for path, latest, deleted in facts
    ]
    buckets = columns.get(BUCKET)
    if buckets is not None:
        paths = [f"{s3.SCHEME}{b}/{path}" if b and path else path for b, path in zip(buckets, paths, strict=True)]
    try:
        return pa.table(
            [
                pa.array(list(paths), pa.string()),
                pa.array([_size(size) for size in sizes or none], pa.int64()),
                pa.array([None if _is_missing(v) else str(v).strip('"') for v in versions or none], pa.string()),
            ],
            SCHEMA,
        ).filter(pa.array(counts, pa.bool_()))
    except (ValueError, pa.ArrowException, OverflowError) as error:
        raise _unreadable(address, error) from None


def _is_current(latest: object, deleted: object) -> bool:
    """Whether a version is its object's latest and no delete marker, by columns that may be empty."""
    return str(latest).lower() != "false" and str(deleted).lower() != "true"


def _is_listed(key: str) -> bool:
    """Whether the listing of a bucket would have an object."""
    return is_photo(key) and not any(map(is_junk, key.split("/")))


def _is_missing(value: object) -> bool:
    return value is None or str(value).lower() in ("", "nan")  # pandas writes missing numbers so


def _size(value: object) -> int | None:
    # a column with missing numbers becomes one of floats in pandas
    return None if _is_missing(value) else int(str(value).removesuffix(".0"))


def _first(columns: Columns, names: Sequence[str]) -> Sequence[object] | None:
    return next((columns[name] for name in names if name in columns), None)


def _read(address: str) -> bytes:
    try:
        return s3.read(address) if s3.is_address(address) else Path(address).read_bytes()
    except OSError as error:
        reason, fix = error.strerror, "Check the path"
    except SadclError as error:
        reason, fix = error.what, "Check the address and the credentials"
    raise SadclError(f"The list can't be read: {reason}", where=address, fix=fix)


def _unreadable(address: str, error: Exception) -> SadclError:
    reason = f"The list can't be read: {first_line(error)}"
    return SadclError(reason, where=address, fix="Write it again")
