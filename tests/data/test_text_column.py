"""Columns of texts: they read as a list of the same texts does, and select and join rows as numpy does."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sadcl.data.text_column import BLOCK, TextColumn

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=20)
PETS = ["cat", "", "Straße", "dog", "cat"]


@given(texts=TEXTS, rows=st.slices(20))
def test_a_column_reads_as_a_list_does(texts: list[str], rows: slice) -> None:
    column = TextColumn.from_texts(texts)
    assert (len(column), list(column), [column[i] for i in range(len(texts))]) == (len(texts), texts, texts)
    assert (column, column[rows]) == (texts, texts[rows])
    assert list(column[rows]) == texts[rows]


def test_a_column_of_several_blocks_is_iterated_over_in_order() -> None:
    texts = [str(i) for i in range(2 * BLOCK + 1)]
    assert list(TextColumn.from_texts(texts)[1:]) == texts[1:]


def test_a_column_counts_rows_from_the_end_and_refuses_one_that_it_has_not() -> None:
    column = TextColumn.from_texts(PETS)
    assert (column[-2], column[np.int64(2)]) == ("dog", "Straße")
    with pytest.raises(IndexError):
        column[5]


@pytest.mark.parametrize(
    ("other", "is_equal"),
    [
        (PETS, True),
        (tuple(PETS), True),
        (PETS[:-1], False),
        ([*PETS[:-1], "dog"], False),
        ([*PETS[:-1], 3], False),
        (PETS[::-1], False),
        ("cat", False),
        (None, False),
    ],
)
def test_a_column_equals_sequences_of_the_same_texts(other: object, is_equal: bool) -> None:
    column = TextColumn.from_texts(PETS)
    assert (column == other, other == column, column != other) == (is_equal, is_equal, not is_equal)
    if isinstance(other, Sequence) and all(isinstance(text, str) for text in other):
        assert (column == TextColumn.from_texts(other)) == is_equal


def test_a_text_does_not_equal_the_column_of_its_letters() -> None:
    assert TextColumn.from_texts("cat") != "cat"


def test_a_message_shows_the_first_texts_and_their_number() -> None:
    assert repr(TextColumn.from_texts(["a", "b"])) == "TextColumn(['a', 'b'])"
    assert repr(TextColumn.from_texts("x" for _ in range(1000))).endswith("'x', ... 1,000 texts])")


def test_chunks_become_one_column() -> None:
    chunks = pa.chunked_array([["a", "b"], [], ["c"]], pa.string())
    assert (TextColumn(chunks), TextColumn(chunks[1:])) == (["a", "b", "c"], ["b", "c"])
    assert TextColumn(pa.chunked_array([], pa.string())) == []


@pytest.mark.parametrize(
    "values",
    [pa.array(["a", None]), pa.array([1, 2]), pa.array([b"a"]), pa.nulls(2), pa.chunked_array([["a"], [None]])],
)
def test_other_values_than_texts_are_refused(values: pa.Array) -> None:
    with pytest.raises(TypeError, match="not texts"):
        TextColumn(values)


def test_bytes_that_are_no_text_are_refused() -> None:
    offsets, surrogate = np.array([0, 3], np.int32), "\ud800".encode("utf-8", "surrogatepass")
    with pytest.raises(pa.ArrowInvalid, match="UTF8"):
        TextColumn(pa.StringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(surrogate)))


@pytest.mark.parametrize("texts", [["a", None], ["a", 1]])
def test_lists_with_other_values_are_refused(texts: list[str]) -> None:
    with pytest.raises(TypeError):
        TextColumn.from_texts(texts)


def test_rows_are_taken_by_number_and_by_mask() -> None:
    column = TextColumn.from_texts(PETS)[1:]  # a part of a larger array
    assert column.take(np.array([3, 0, 0])) == ["cat", "", ""]
    assert column.take(np.array([False, True, False, True])) == ["Straße", "cat"]
    assert column.take(np.array([], np.int64)) == []


@given(texts=TEXTS.filter(bool), seed=st.integers(0, 9))
def test_each_text_is_found_in_its_first_row(texts: list[str], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(texts))
    column = TextColumn.from_texts(texts)
    rows = column.rows_of(column.take(order))
    assert rows.tolist() == [texts.index(texts[i]) for i in order]
    assert [column.index(text) for text in texts] == [texts.index(text) for text in texts]


def test_a_text_that_no_row_has_is_named() -> None:
    column = TextColumn.from_texts(PETS)
    with pytest.raises(KeyError, match="cow"):
        column.rows_of(TextColumn.from_texts(["dog", "cow"]))
    with pytest.raises(ValueError, match="cow"):
        column.index("cow")
    with pytest.raises(ValueError, match="surrogates"):
        column.index("\ud800")


def test_a_text_is_found_between_two_rows() -> None:
    column = TextColumn.from_texts(PETS)
    assert (column.index("cat", 1), column.index("cat", -2), column.index("dog", 0, 4)) == (4, 4, 3)
    with pytest.raises(ValueError, match="cat"):
        column.index("cat", 1, 4)
