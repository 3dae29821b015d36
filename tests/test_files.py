"""A file is whole or absent, whatever happens while it is written."""

import errno
import os
import resource
from pathlib import Path

import pytest

from sadcl import files
from sadcl.errors import SadclError


def test_an_error_while_writing_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    files.write_json(target, {"b": 1})
    with pytest.raises(IsADirectoryError), files.atomic_write(target) as beside:
        (beside.write_text("half"), tmp_path.write_text("no file"))
    assert files.read_json(target) == {"b": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_directory_is_replaced_whole(tmp_path: Path) -> None:
    for names in (["a", "b"], ["c"]):
        with files.atomic_directory(tmp_path / "made") as beside:
            for name in names:
                (beside / name).write_text(name)
    with pytest.raises(RuntimeError), files.atomic_directory(tmp_path / "made"):
        raise RuntimeError
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["c"]
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="disk is full"), files.atomic_write(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


def test_a_lock_on_a_full_disk_holds(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        again = files.lock(tmp_path / "lock", "baking")
        with files.lock(tmp_path / "lock", "baking"), pytest.raises(SadclError, match="pid unknown"):
            again.__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_the_same_value_gives_the_same_bytes_and_nan_is_refused(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a", {"x": 1, "y": [2.5]})
    files.write_json(tmp_path / "b", {"y": [2.5], "x": 1})
    assert files.digest(tmp_path / "a") == files.digest(tmp_path / "b")
    with pytest.raises(ValueError, match="Out of range"):
        files.write_json(tmp_path / "c", float("nan"))


@pytest.mark.parametrize("text", ["{", "\xff", "[" * 100_000])
def test_what_is_not_json_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").write_text(text, encoding="latin-1")
    with pytest.raises(SadclError, match="not JSON"):
        files.read_json(tmp_path / "a")
    with pytest.raises(SadclError, match="missing"):
        files.read_json(tmp_path / "b")


def test_a_lock_is_held_by_one_and_given_back(tmp_path: Path) -> None:
    again = files.lock(tmp_path / "lock", "baking")
    refused = pytest.raises(SadclError, match=f"pid {os.getpid()}.*baking")
    with files.lock(tmp_path / "lock", "baking"), refused:
        again.__enter__()
    with files.lock(tmp_path / "lock", "baking"):
        pass
