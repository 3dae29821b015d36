"""Part files: the predictions of one chunk, sorted by path, written when all its rows are there."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sadcl import files
from sadcl.batch.chunks import Chunk
from sadcl.data import manifest
from sadcl.errors import SadclError, first_line

FORMAT = 1
PREFIX, SUFFIX = "part-", ".parquet"
ABOUT = b"sadcl.batch"
"""Key of the JSON in a part's Parquet metadata."""
RESULTS = pa.schema(
    [
        ("index", pa.int32()),
        ("labels", pa.list_(pa.string())),
        ("probabilities", pa.list_(pa.float32())),
        ("error", pa.string()),
    ]
)
"""Columns that a worker computes: place in the chunk, labels, probabilities of all classes, or why there are none."""
PART = pa.schema([*manifest.SCHEMA, *list(RESULTS)[1:]])
"""Columns of a part."""


@dataclass(frozen=True)
class About:
    """Model, settings and versions that decide the predictions of a job.

    Attributes:
        model: SHA-256 of the model file.
        classes: names, in the order of the probabilities.
        threshold: for all classes; None for the model's own thresholds.
        versions: of the code and the packages that compute them.
        format: of the part files.
    """

    model: str
    classes: tuple[str, ...]
    threshold: float | None
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, in hexadecimal."""
        return files.digest_of(asdict(self))


def failure(index: int, reason: str) -> pa.Table:
    """Results of one photo without a prediction."""
    row = {"index": index, "labels": None, "probabilities": None, "error": reason}
    return pa.Table.from_pylist([row], RESULTS)


def name(key: str) -> str:
    """File name of the part of a chunk."""
    return f"{PREFIX}{key}{SUFFIX}"


def written(folder: Path) -> set[str]:
    """File names of the parts in a folder."""
    names = {path.name for path in folder.glob(f"{PREFIX}*{SUFFIX}")}
    return {name for name in names if files.is_digest(name.removeprefix(PREFIX).removesuffix(SUFFIX))}


class Collector:
    """Collects results by chunk, and writes a chunk's part when its last row has come.

    Args:
        folder: of the parts.
        listed: the manifest.
        about: of the job.

    Attributes:
        written: names of the parts that were written.
        failures: number of photos by reason.
    """

    def __init__(self, folder: Path, listed: manifest.Manifest, about: About) -> None:
        self._folder, self._manifest, self._about = folder, listed, about
        self._results: dict[str, list[pa.Table]] = {}
        self.written: set[str] = set()
        self.failures = Counter[str]()

    def add(self, chunk: Chunk, results: pa.Table) -> None:
        """Take results of some rows; rows come once.

        Raises:
            SadclError: the part can't be written.
        """
        tables = self._results.setdefault(chunk.key, [])
        tables.append(results)
        if sum(map(len, tables)) == chunk.count:
            rows = self._manifest.rows(chunk.first, chunk.count)
            counts = _write(self._folder / name(chunk.key), rows, self._results.pop(chunk.key), self._about)
            self.failures.update(counts["failed"])
            self.written.add(name(chunk.key))

    def fail(self, chunk: Chunk, index: int, reason: str) -> None:
        """Take the reason why a row has no prediction."""
        self.add(chunk, failure(index, reason))


def _write(path: Path, rows: pa.Table, results: Iterable[pa.Table], about: About) -> dict[str, Any]:
    """Write a part, and return its counts; equal predictions give equal bytes, in whatever pieces they came."""
    computed = pa.concat_tables(results).sort_by("index")
    rows = rows.replace_schema_metadata(None)
    for column in ("labels", "probabilities", "error"):
        rows = rows.append_column(column, computed[column])
    counts = count(rows)
    text = json.dumps({**asdict(about), **counts}, sort_keys=True, ensure_ascii=False)
    # rows that were read from a part name the elements of their lists otherwise
    table = rows.combine_chunks().cast(PART).replace_schema_metadata({ABOUT: text.encode()})
    with files.atomic_write(path) as temporary:
        # probabilities hardly repeat: a dictionary of them would only grow the file
        pq.write_table(table, temporary, compression="zstd", use_dictionary=["labels.list.element", "error"])
    return counts


def count(rows: pa.Table) -> dict[str, Any]:
    """Counts of a part: photos, photos by reason of failure, photos by label."""
    labels = Counter(rows["labels"].combine_chunks().flatten().to_pylist())
    failed = Counter(rows["error"].drop_null().to_pylist())
    return {"photos": len(rows), "failed": dict(failed), "labels": dict(labels)}


@dataclass(frozen=True)
class Part:
    """A part file, as its footer describes it.

    Attributes:
        path: of the file.
        about: JSON of its metadata.
        first, last: its first and last path.
    """

    path: Path
    about: Mapping[str, Any]
    first: str
    last: str

    def table(self) -> pa.Table:
        """All rows.

        Raises:
            SadclError: the file is missing or damaged.
        """
        try:
            return pq.read_table(self.path)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(self.path, error) from None


def read(path: Path) -> Part:
    """Read the footer of a part.

    Raises:
        SadclError: the file is missing, damaged or foreign.
    """
    try:
        with pq.ParquetFile(path) as file:
            about = json.loads(file.schema_arrow.metadata[ABOUT])
            groups = [file.metadata.row_group(i).column(0).statistics for i in range(file.num_row_groups)]
            return Part(path, about, min(s.min for s in groups), max(s.max for s in groups))
    except (OSError, pa.ArrowException, TypeError, KeyError, ValueError, AttributeError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> SadclError:
    return SadclError(
        f"The part can't be read: {first_line(error)}", where=path, fix="Remove it and run `sadcl predict` again"
    )


def reusable(part: Part, rows: pa.Table, failed_too: bool) -> pa.Table:
    """Results of an earlier part for rows of the same path, size and version, in the columns of ``RESULTS``.

    Args:
        part: of the same model and settings.
        rows: of a chunk.
        failed_too: whether reasons count as results, too.
    """
    old = part.table().replace_schema_metadata(None)
    if not failed_too:
        old = old.filter(pc.is_null(old["error"]))
    keys = manifest.SCHEMA.names
    indexes = {row: index for index, row in enumerate(_keys(rows, keys))}
    matches = [
        (indexes[row], position)
        for position, row in enumerate(_keys(old, keys))
        # a photo without a version could have changed unnoticed
        if row in indexes and old["version"][position].is_valid
    ]
    results = old.take(pa.array([position for _, position in matches], pa.int64()))
    index = pa.array([index for index, _ in matches], pa.int32())
    return results.drop_columns(keys).add_column(0, "index", index)


def _keys(rows: pa.Table, names: list[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(rows[name].to_pylist() for name in names), strict=True))
