"""The watches of `sadcl up` go on after a look that fails, and after a report that fails."""

import errno
import os
from pathlib import Path

import pytest

from flows import runs, verify, watch
from sadcl import layout, progress
from sadcl.project import notifications


class Ended(BaseException):
    """End of a watch that would go on."""


def fill_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_watch_over_runs_outlives_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = list[Path]()

    def look(root: Path) -> None:
        looks.append(root)
        if len(looks) == 3:
            raise Ended
        raise RuntimeError(f"problem {len(looks)}")

    monkeypatch.setattr(watch, "PERIOD", 0)
    monkeypatch.setattr(watch, "close_and_resume", look)
    monkeypatch.setattr(progress, "say", fill_disk)
    with pytest.raises(Ended):
        watch._watch(tmp_path)
    assert len(looks) == 3


def test_an_interruption_is_notified_also_where_nothing_can_be_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(notifications.VARIABLE, "json://127.0.0.1:1")
    monkeypatch.setattr(notifications, "start_delivery", lambda root: None)
    monkeypatch.setattr(runs, "close_lost", lambda root, resume: ["Run brave-hare was interrupted."])
    monkeypatch.setattr(progress, "say", fill_disk)
    watch.close_and_resume(tmp_path)
    assert len(list((tmp_path / layout.NOTIFICATIONS).glob("*.json"))) == 1


def test_the_watch_over_verifications_outlives_a_full_disk_and_reports_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(notifications.VARIABLE, "json://127.0.0.1:1")
    monkeypatch.setattr(notifications, "start_delivery", lambda root: None)
    looks, write = list[int](), os.fsync

    def look() -> tuple[str, str]:
        looks.append(len(list((tmp_path / layout.NOTIFICATIONS).glob("*.json"))))
        if len(looks) == 5:
            raise Ended
        return "It failed.", "brave-hare"

    def flush(handle: int) -> None:
        if len(looks) < 3:
            fill_disk()
        write(handle)

    monkeypatch.setattr(verify, "POLL", 0)
    monkeypatch.setattr(verify, "_look", look)
    monkeypatch.setattr(progress, "say", fill_disk)
    monkeypatch.setattr(os, "fsync", flush)
    with pytest.raises(Ended):
        verify._watch()
    assert looks == [0, 0, 0, 1, 1]
