"""Records of runs under way: a run counts as lost only if no process of the host executes it."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sadcl import files, layout, processes
from sadcl.errors import SadclError
from sadcl.project import run_records

HOLDS = """
import sys, time
from pathlib import Path
from sadcl.project import run_records
with run_records.recorded(Path(sys.argv[1]), "7"):
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_run_is_lost_as_soon_as_its_process_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert run_records.lost(tmp_path) == []
        assert run_records.under_way(tmp_path) == {"7"}
        process.kill()
        process.wait()
        (record,) = run_records.lost(tmp_path)
        assert record.cause.startswith(f"The run's process was killed or crashed (process {process.pid}, ")
    run_records.forget(tmp_path, "7")
    assert run_records.lost(tmp_path) == []


def write(root: Path, text: str) -> None:
    files.write_text(root / layout.RUNS_UNDER_WAY / "7.json", text)


def record(process: str) -> str:
    return run_records.Record(run="7", process=process, started="2026-11-23T03:00:00+00:00").model_dump_json()


def test_a_host_that_was_restarted_is_the_cause(tmp_path: Path) -> None:
    write(tmp_path, record("1:5@another-start-of-the-host"))
    (lost,) = run_records.lost(tmp_path)
    assert lost.cause.startswith("The host was restarted while the run was under way (process 1, ")


def test_a_process_that_lives_without_a_lock_is_not_lost(tmp_path: Path) -> None:
    """On a network disk without locks, the process alone decides."""
    with subprocess.Popen(["sleep", "600"]) as process:
        write(tmp_path, record(processes.process_id(process.pid)))
        assert run_records.lost(tmp_path) == []
        process.kill()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"run": 7}', '{"run": "7", "process": "x", "started": ""}'])
def test_a_damaged_record_that_nobody_locks_is_of_a_lost_run(tmp_path: Path, text: str) -> None:
    """A power cut may leave a damaged record, whose run would stay open for good."""
    write(tmp_path, text)
    (lost,) = run_records.lost(tmp_path)
    assert lost.run == "7"
    assert run_records.under_way(tmp_path) == set()


def test_a_look_creates_no_record_of_a_run_that_ends_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / layout.RUNS_UNDER_WAY / "7.json"
    gone.parent.mkdir(parents=True)
    monkeypatch.setattr(run_records, "_paths", lambda _: [gone])
    assert run_records.lost(tmp_path) == []
    assert not gone.exists()


def test_a_run_is_locked_as_soon_as_it_has_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(run_records.lost(tmp_path)))
    seen: list[list[run_records.Record]] = []
    with run_records.recorded(tmp_path, "7"):
        seen.append(run_records.lost(tmp_path))
        assert run_records.under_way(tmp_path) == {"7"}
    assert seen == [[], []]


def test_the_record_goes_with_the_run_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), run_records.recorded(tmp_path, "7"):
        raise ValueError("no")
    assert not list((tmp_path / layout.RUNS_UNDER_WAY).iterdir())


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def flush(_: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", flush)
    with pytest.raises(SadclError, match="no partial file was written"), run_records.recorded(tmp_path, "7"):
        pass
    assert not list((tmp_path / layout.RUNS_UNDER_WAY).iterdir())


def test_a_limit_of_bytes_is_a_sentence_and_an_error_of_the_run_stays_its_own(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(SadclError, match="larger than"), run_records.recorded(tmp_path, "7"):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / layout.RUNS_UNDER_WAY).iterdir())
    with pytest.raises(OSError, match="of the run"), run_records.recorded(tmp_path, "7"):
        raise OSError(errno.ENOSPC, "of the run")


def test_a_file_in_the_place_of_the_records_is_a_sentence(tmp_path: Path) -> None:
    files.write_text(tmp_path / layout.RUNS_UNDER_WAY, "mine")
    with pytest.raises(SadclError, match="in the place of a folder"), run_records.recorded(tmp_path, "7"):
        pass
