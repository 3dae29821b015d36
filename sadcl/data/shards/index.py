"""The index of a split: its shards in order, with their digests, and where they lie."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sadcl import files
from sadcl.errors import SadclError

FORMAT = 1
INDEX = "index.json"
SUFFIX = ".arrow"
ROWS = f"rows{SUFFIX}"
"""File with all columns but the photos of a split whose shards lie on S3."""
FIX = "Write the shards again with `dvc repro prepare`"


@dataclass(frozen=True)
class Shard:
    """A file of the index.

    Attributes:
        file: its name.
        rows: number of photos.
        bytes: its size.
        sha256: digest of its content.
    """

    file: str
    rows: int
    bytes: int
    sha256: str

    @property
    def object_name(self) -> str:
        """Name in a store, and of a copy in a cache."""
        return f"{self.sha256}{SUFFIX}"


@dataclass(frozen=True)
class Index:
    """Shards of a split.

    Attributes:
        shards: in order of their rows.
        store: ``s3://`` address below which each shard lies under its digest; None where they lie next to the index.
        rows: the file ``ROWS`` of a split with a store.
    """

    shards: tuple[Shard, ...]
    store: str | None = None
    rows: Shard | None = None

    @property
    def bytes(self) -> int:
        """Size of all shards."""
        return sum(shard.bytes for shard in self.shards)


def write(directory: Path, index: Index) -> None:
    """Write the index of a split."""
    content: dict[str, Any] = {"format": FORMAT, "shards": [asdict(shard) for shard in index.shards]}
    if index.rows is not None:
        content |= {"store": index.store, "rows": asdict(index.rows)}
    files.write_json(directory / INDEX, content)


def read(directory: Path) -> Index:
    """Read the index of a split.

    Raises:
        SadclError: the directory or its index is missing or damaged, or a file belongs to no shard.
    """
    if not directory.is_dir():
        raise SadclError("There are no shards", where=directory, fix=FIX)
    content = files.read_json(directory / INDEX, fix=FIX)
    if not isinstance(content, dict) or content.get("format") != FORMAT or not content.get("shards"):
        raise SadclError(f"This is no index of shards of format {FORMAT}", where=directory / INDEX, fix=FIX)
    try:
        rows = Shard(**content["rows"]) if "store" in content else None
        index = Index(tuple(Shard(**shard) for shard in content["shards"]), content.get("store"), rows)
    except (TypeError, KeyError):
        raise SadclError("The index of the shards is damaged", where=directory / INDEX, fix=FIX) from None
    expected = {ROWS} if index.rows else {shard.file for shard in index.shards}
    foreign = {path.name for path in directory.glob(f"*{SUFFIX}")} - expected
    if foreign:
        raise SadclError("The file belongs to no shard of this split", where=directory / min(foreign), fix=FIX)
    return index


def describe(path: Path, rows: int) -> Shard:
    """Index entry of a written file."""
    return Shard(path.name, rows, path.stat().st_size, files.digest(path))
