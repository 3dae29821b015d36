"""Last good run, next one, overdue or not."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sadcl import files, layout
from sadcl.errors import SadclError
from sadcl.project import schedule

DUE = datetime(2026, 11, 30, 3, 0, tzinfo=UTC)
WEEK = timedelta(days=7)


def test_nothing_is_reported_of_a_project_without_a_schedule(tmp_path: Path) -> None:
    assert schedule.describe(tmp_path) == []


def test_before_the_first_run(tmp_path: Path) -> None:
    schedule.update(tmp_path, due=DUE)
    assert schedule.describe(tmp_path, DUE - timedelta(days=1)) == [
        "No retraining has completed here yet.", "Next retraining: 2026-11-30 03:00 UTC.",
    ]  # fmt: skip


def test_a_run_that_did_not_start_is_overdue_after_a_while(tmp_path: Path) -> None:
    schedule.record_end(tmp_path, True, "3 stages ran in 1 s.", DUE - WEEK)
    schedule.update(tmp_path, due=DUE)
    assert schedule.problems(tmp_path, DUE + timedelta(minutes=10)) == []
    (problem,) = schedule.problems(tmp_path, DUE + timedelta(minutes=20))
    assert "overdue: it was due at 2026-11-30 03:00 UTC" in problem
    good, overdue = schedule.describe(tmp_path, DUE + WEEK)
    assert good == "Last good retraining: 2026-11-23 03:00 UTC. 3 stages ran in 1 s."
    assert overdue == problem


def test_a_failure_stands_until_a_run_completes(tmp_path: Path) -> None:
    schedule.record_end(tmp_path, True, "3 stages ran.", DUE)
    schedule.record_end(tmp_path, False, "ingest: the disk is away.", DUE + WEEK)
    good, failed = schedule.describe(tmp_path, DUE + WEEK)
    assert good.startswith("Last good retraining: 2026-11-30 03:00 UTC")
    assert failed == "Retraining failed at 2026-12-07 03:00 UTC: ingest: the disk is away."
    schedule.record_end(tmp_path, True, "All stages were up to date.", DUE + 2 * WEEK)
    assert len(schedule.describe(tmp_path, DUE + 2 * WEEK)) == 1


def test_changes_at_the_same_moment_are_all_stored(tmp_path: Path) -> None:
    def change(field: str) -> None:
        for number in range(30):
            schedule.update(tmp_path, **{field: str(number)})
            assert getattr(schedule.read(tmp_path), field) == str(number)

    with ThreadPoolExecutor() as pool:
        list(pool.map(change, ("good_message", "failed_message")))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"due": "soon"}'])
def test_a_damaged_file_is_written_anew(tmp_path: Path, text: str) -> None:
    files.write_text(tmp_path / layout.SCHEDULE, text)
    assert schedule.describe(tmp_path) == []
    schedule.record_end(tmp_path, True, "done", DUE)
    assert schedule.read(tmp_path).good == DUE


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def create(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", create)
    with pytest.raises(SadclError, match="The disk is full"):
        schedule.update(tmp_path, due=DUE)


def test_a_lock_that_is_refused_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / layout.SCHEDULE).with_suffix(".lock").mkdir(parents=True)
    with pytest.raises(SadclError, match="can't be written: Is a directory"):
        schedule.update(tmp_path, due=DUE)
