"""Blocks of rows and columns: large matrices of scores are processed piece by piece, in bounded memory."""

from collections.abc import Iterator

VALUES = 4_000_000
"""Values of a block, 32 MB in float64; COCO's test split, 40,137 photos of 80 classes, is one block."""
COLUMNS = 8
"""Columns of a block: as many float64 as a processor reads from memory at once."""


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Split rows into blocks of at most ``VALUES`` entries, and of one row at least."""
    size = max(1, VALUES // max(columns, 1))
    return (slice(first, min(first + size, rows)) for first in range(0, rows, size))


def column_blocks(columns: int) -> Iterator[slice]:
    """Split columns into blocks of ``COLUMNS``."""
    return (slice(first, min(first + COLUMNS, columns)) for first in range(0, columns, COLUMNS))
