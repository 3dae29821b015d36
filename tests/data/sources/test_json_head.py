"""The beginning of a JSON file: a part of its value wherever the file is cut or damaged, in bounded time."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sadcl.data.sources import json_head
from sadcl.data.sources.json_head import read_head

leaves = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(max_size=8)
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=20
)
containers = st.lists(values, max_size=5) | st.dictionaries(st.text(max_size=5), values, max_size=5)


def is_part(part: Any, whole: Any) -> bool:
    """Whether lists and objects of ``part`` begin as those of ``whole``; every other value is equal."""
    if isinstance(whole, list) and isinstance(part, list):
        return len(part) <= len(whole) and all(map(is_part, part, whole))
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and is_part(inner, whole[key]) for key, inner in part.items())
    return type(part) is type(whole) and part == whole


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=containers, data=st.data(), ascii_only=st.booleans())
def test_a_file_cut_anywhere_gives_a_part_of_its_value(tmp_path: Path, value: Any, data: Any, ascii_only: bool) -> None:
    content = json.dumps(value, ensure_ascii=ascii_only, indent=data.draw(st.sampled_from((None, 1)))).encode()
    cut = data.draw(st.integers(1, len(content)))
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
    path.write_bytes(content[:cut])
    head = read_head(path)
    assert is_part(head, value)
    assert cut < len(content) or head == value


DAMAGED = {
    "a wrong sign": ('{"a": [1, 2], "b": }', {"a": [1, 2]}),
    "a bracket of the other kind": ('{"a": [1, 2}, "b": 3}', {"a": [1]}),
    "a number of many digits": ("[1, " + "9" * 10_000 + "]", [1, int("9" * 20)]),
    "lines": ('{"a": 1}\n{"a": 2}\n', {"a": 1}),
    "nothing": ("", None),
    "no JSON": ("<annotations/>", None),
    "a byte order mark": ("\ufeff[1]", [1]),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.json").write_text(DAMAGED[name][0], encoding="utf-8")
    assert read_head(tmp_path / "a.json") == DAMAGED[name][1]


def test_what_follows_the_beginning_is_not_read(tmp_path: Path) -> None:
    text = json.dumps({"images": [{"id": i} for i in range(200_000)], "last": 1})
    (tmp_path / "a.json").write_text(text)
    head = read_head(tmp_path / "a.json")
    assert list(head) == ["images"]
    assert 0 < len(head["images"]) < json_head.LONGEST / 10
    assert is_part(head, json.loads(text))


def test_nesting_without_end_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"a": 1}, ' + "[" * 100_000)
    assert read_head(tmp_path / "a.json")[0] == {"a": 1}
    assert read_head(tmp_path / "none.json") is None
    assert read_head(tmp_path) is None
