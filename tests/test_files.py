"""Atomic writes, JSON and CSV files, and locks."""

import errno
import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from sadcl import files, params
from sadcl.data.shards import writer
from sadcl.errors import SadclError
from sadcl.services.up import LOCK, _single_instance
from tests.paths import REPOSITORY


def test_error_in_a_write_keeps_the_old_file_only(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    files.write_json(target, {"b": 1})
    with pytest.raises(IsADirectoryError), files.atomic_write(target) as temporary:
        (temporary.write_text("half"), tmp_path.write_text("no file"))
    assert files.read_json(target) == {"b": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder", "Is a directory"), ("file/a", "in the place of a folder"), ("x" * 300, "name too long"),
        ("file/b/a", "in the place of a folder"),
    ],
)  # fmt: skip
def test_a_path_that_cant_be_written_to_is_a_sentence(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SadclError, match=reason):
        files.write_text(tmp_path / name, "text")
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "file"}
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_for_results_is_checked_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for name in ("file", "file/new/folder"):
        with pytest.raises(SadclError, match="in the place of a folder"):
            files.require_folder(tmp_path / name)
    files.require_folder(tmp_path / "new/folder")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_long_name_in_any_script_is_written(tmp_path: Path) -> None:
    files.write_text(tmp_path / ("猫" * 80), "text")
    assert [path.name for path in tmp_path.iterdir()] == ["猫" * 80]


def test_directory_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for names in (["a", "b"], ["c"]):
        with files.atomic_directory(tmp_path / "folder") as temporary:
            for name in names:
                (temporary / name).write_text(name)
    with pytest.raises(RuntimeError), files.atomic_directory(tmp_path / "folder"):
        raise RuntimeError
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["c"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_full_disk(tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="disk is full"), files.atomic_write(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_directory_is_replaced_whole_or_stays(
    can_exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_exchange:
        monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    target = tmp_path / "folder"
    for text in ("old", "new"):
        with files.atomic_directory(target) as temporary:
            (temporary / text).write_text(text)
        assert [path.name for path in target.iterdir()] == [text]
        assert list(tmp_path.iterdir()) == [target]
    replace = os.replace

    def fail_to_replace(first: Path, second: Path) -> None:
        if second == target and first.suffix == ".part" and (first / "newer").exists():
            raise PermissionError(13, "Permission denied")
        replace(first, second)

    if not can_exchange:
        monkeypatch.setattr(os, "replace", fail_to_replace)
        with pytest.raises(SadclError, match="Permission denied"), files.atomic_directory(target) as temporary:
            (temporary / "newer").write_text("newer")
        assert [path.name for path in target.iterdir()] == ["new"]
        assert list(tmp_path.iterdir()) == [target]


def test_a_file_in_the_place_of_a_directory_stays(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("mine")
    with (
        pytest.raises(SadclError, match="a file is in the place of a folder"),
        files.atomic_directory(tmp_path / "folder") as temporary,
    ):
        (temporary / "a").write_text("a")
    assert (tmp_path / "folder").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_lock_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file/lock", tmp_path):
        with pytest.raises(SadclError, match="can't be written"), files.lock(path, "cleaning"):
            pass


def test_a_lock_that_is_refused_is_not_taken_for_another_process(tmp_path: Path) -> None:
    """Servers would ask for `sadcl down`, and `prepare` would encode everything again, for a lock that root owns."""
    (tmp_path / "lock").mkdir()
    (tmp_path / LOCK).mkdir(parents=True)
    settings = params.load("prepare", path=REPOSITORY / "recipes/coco-mini.yaml").prepare
    with pytest.raises(SadclError, match="can't be written: Is a directory"), ExitStack() as stack:
        writer._open_encoded(stack, tmp_path, settings)
    with pytest.raises(SadclError, match="can't be written: Is a directory"), _single_instance(tmp_path):
        pass


def test_lock_on_a_full_disk(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        again = files.lock(tmp_path / "lock", "training")
        with files.lock(tmp_path / "lock", "training"), pytest.raises(SadclError, match="pid unknown"):
            again.__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_json_bytes_do_not_depend_on_the_order_of_keys_and_nan_is_an_error(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a", {"x": 1, "y": [2.5]})
    files.write_json(tmp_path / "b", {"y": [2.5], "x": 1})
    assert files.digest(tmp_path / "a") == files.digest(tmp_path / "b")
    with pytest.raises(ValueError, match="Out of range"):
        files.write_json(tmp_path / "c", float("nan"))


@pytest.mark.parametrize("text", ["{", "\xff", "[" * 100_000])
def test_invalid_and_missing_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").write_text(text, encoding="latin-1")
    with pytest.raises(SadclError, match="not JSON"):
        files.read_json(tmp_path / "a")
    with pytest.raises(SadclError, match="missing"):
        files.read_json(tmp_path / "b")


def test_lock_is_exclusive_and_released(tmp_path: Path) -> None:
    again = files.lock(tmp_path / "lock", "training")
    refused = pytest.raises(files.LockedError, match=f"pid {os.getpid()}.*training")
    with files.lock(tmp_path / "lock", "training"), refused:
        again.__enter__()
    with files.lock(tmp_path / "lock", "training"):
        pass


HOLDER = """
import sys, time
from sadcl import files
with files.open_locked(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(120)
"""


def test_lock_of_a_killed_process_is_released(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(BlockingIOError), files.open_locked(tmp_path / "lock", wait=False):
            pass
        with pytest.raises(SadclError, match="already training"), files.lock(tmp_path / "lock", "training"):
            pass
        holder.kill()
    with files.open_locked(tmp_path / "lock", wait=False):
        pass


def test_open_locked_waits_for_the_lock_and_appends(tmp_path: Path) -> None:
    path = tmp_path / "log"

    def append(line: bytes) -> None:
        with files.open_locked(path) as file:
            file.write(line)

    with ThreadPoolExecutor(1) as pool, files.open_locked(path) as file:
        second = pool.submit(append, b"second\n")
        file.write(b"first\n")
        file.flush()
        assert not second.done()
        file.close()
        second.result(60)
    with files.open_locked(path) as file:
        file.seek(0)
        assert file.read() == b"first\nsecond\n"


def test_lock_waits_for_another_process_if_asked_to(tmp_path: Path) -> None:
    def work() -> None:
        with files.lock(tmp_path / "lock", "training", wait=True):
            pass

    with ThreadPoolExecutor(1) as pool:
        with files.lock(tmp_path / "lock", "training"):
            second = pool.submit(work)
            assert not second.done()
        second.result(60)


def test_csv_with_six_digits_and_quotes(tmp_path: Path) -> None:
    rows = [{"epoch": 1, "loss": 0.12345678, "note": 'a "b", c'}, {"epoch": 2, "loss": 1e-9, "note": None}]
    files.write_csv(tmp_path / "history.csv", rows, ("epoch", "loss", "note"))
    text = (tmp_path / "history.csv").read_bytes()
    assert text == b'epoch,loss,note\n1,0.123457,"a ""b"", c"\n2,1e-09,\n'
    with pytest.raises(ValueError, match="extra"):
        files.write_csv(tmp_path / "history.csv", [{"epoch": 1, "extra": 2}], ("epoch",))
    assert (tmp_path / "history.csv").read_bytes() == text


def test_csv_without_rows_has_a_header(tmp_path: Path) -> None:
    files.write_csv(tmp_path / "empty.csv", [], ("a", "b"))
    assert (tmp_path / "empty.csv").read_text() == "a,b\n"
