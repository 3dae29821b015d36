"""A column of texts, such as the ids of a million photos, in one Arrow array: no Python object for each text."""

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, SupportsIndex, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

BLOCK = 4096
"""Texts that become Python objects at a time while they are iterated over."""
# 64-bit offsets: with 32 bits, 2 GB of texts could not be one array
_TYPE = pa.large_string()


class TextColumn(Sequence[str]):
    """A sequence of texts that never changes.

    Args:
        array: of a text type, without nulls; chunks are combined.

    Attributes:
        array: the texts, ``pa.LargeStringArray``.

    Raises:
        TypeError: the array has another type, or nulls.
        pyarrow.ArrowInvalid: a text is not UTF-8.
    """

    def __init__(self, array: pa.Array | pa.ChunkedArray) -> None:
        if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)) or array.null_count:
            raise TypeError("the values are not texts")
        array.validate(full=True)  # a file may hold any bytes
        array = array.cast(_TYPE)
        self.array: pa.LargeStringArray = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "TextColumn":
        """Column of some texts; a column is returned as it is.

        Raises:
            TypeError: one of them is no text.
        """
        return texts if isinstance(texts, cls) else cls(pa.array(texts, _TYPE))

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "TextColumn": ...
    def __getitem__(self, index: SupportsIndex | slice) -> "str | TextColumn":
        """The text of a row, or those of a slice; a slice of adjacent rows shares their memory."""
        value = self.array[index]
        return TextColumn(value) if isinstance(index, slice) else value.as_py()

    def __iter__(self) -> Iterator[str]:
        # in blocks: a text at a time takes ten times as long
        for first in range(0, len(self), BLOCK):
            yield from self.array.slice(first, BLOCK).to_pylist()

    def __eq__(self, other: object) -> bool:
        """Whether another sequence, of any type but ``str``, has the same texts in the same order."""
        if isinstance(other, TextColumn):
            return bool(self.array.equals(other.array))
        if isinstance(other, Sequence) and not isinstance(other, str):
            return len(self) == len(other) and all(map(operator.eq, self, other))
        return NotImplemented

    def __repr__(self) -> str:
        more = f", ... {len(self):,} texts" if len(self) > 10 else ""
        return f"TextColumn([{', '.join(map(repr, self[:10]))}{more}])"

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """First row of a text, from ``start`` to before ``stop``; a scan of the column.

        Raises:
            ValueError: no row has it.
        """
        rows = range(len(self))[start:stop]
        position: int = pc.index(self.array.slice(rows.start, len(rows)), pa.scalar(value, _TYPE)).as_py()
        if position < 0:
            raise ValueError(f"{value!r} is not in the column")
        return rows.start + position

    def take(self, rows: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> "TextColumn":
        """Texts of some rows, in their order, or of those that a mask [N] selects."""
        numbers = np.flatnonzero(rows) if rows.dtype == bool else rows
        return TextColumn(self.array.take(pa.array(numbers, pa.int64())))

    def rows_of(self, texts: "TextColumn") -> NDArray[np.int64]:
        """Row of each text, int64 [len(texts)]; the first, where several rows have it.

        Raises:
            KeyError: no row has a text.
        """
        rows = pc.index_in(texts.array, value_set=self.array)
        if rows.null_count:
            raise KeyError(texts[rows.is_null().index(True).as_py()])
        numbers: NDArray[np.int64] = rows.to_numpy().astype(np.int64)
        return numbers
