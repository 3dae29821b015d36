"""Cells of tables: lists in the forms of Python, numpy and PostgreSQL, and cells that would take long."""

import pytest

from sadcl.data.sources.cells import LISTS, is_list, split_labels

CELLS = {
    "{baker's,cup}": ["baker's", "cup"],
    "{baker's,chef's}": ["baker's", "chef's"],
    "['tis, o'clock]": ["'tis", "o'clock"],
    "{rock 'n' roll,cup}": ["rock 'n' roll", "cup"],
    '{"a b",cup}': ["a b", "cup"],
    '{"x,y",cup,NULL}': ["x,y", "cup"],
    "['a' 'b']": ["a", "b"],
    "['a' None nan 'b' nan nan]": ["a", "b"],
    "[none of these, cup, None]": ["none of these", "cup"],
    "['a', 'it\\'s', \"o'clock\", None]": ["a", "it's", "o'clock"],
    "array(['a', 'b'], dtype=object)": ["a", "b"],
    "frozenset({'a'})": ["a"],
    "[cup, hot dog, nan]": ["cup", "hot dog"],
    "['a' 1 'b']": ["a", "b"],
    "['a' True]": ["a"],
    '["a" "b" ... "z"]': ["a", "b", "z"],
    "['a'; 'b']": ["a", "b"],
    "['car (red)', 'bus' 'van']": ["car (red)", "bus", "van"],
    "[np.str_('a'), np.str_('b')]": ["a", "b"],
    "[1 2\n 3]": ["1", "2", "3"],
    "[1. 2.5]": ["1.", "2.5"],
    "[nan]": [],
    "[]": [],
}


@pytest.mark.parametrize("cell", CELLS)
def test_items_of_lists(cell: str) -> None:
    assert is_list(cell)
    assert split_labels(cell, LISTS) == CELLS[cell]


def test_a_long_list_is_read_at_once() -> None:
    assert split_labels(f"[{'nan ' * 200_000}'a' {'nan ' * 200_000}]", LISTS) == ["a"]
    assert split_labels(f"[{'nan ' * 200_000}a]", LISTS)[0].endswith("nan a")


@pytest.mark.parametrize("cell", [" " * 1_000_000 + "x", "(" + " " * 1_000_000 + "x", "[" + "] " * 500_000 + "x"])
def test_a_long_cell_is_no_list_at_once(cell: str) -> None:
    """Each blank would be the start of a search through all that follow."""
    assert not is_list(cell)
