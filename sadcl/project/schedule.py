"""The schedule of a project's retraining: last good run, next one due, overdue or not; flows write it down."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import shorten

from pydantic import BaseModel, ConfigDict, ValidationError

from sadcl import files, layout
from sadcl.errors import SadclError

LONGEST = 400
"""Characters of a message."""
GRACE = timedelta(minutes=15)
"""Time after which a run that was due counts as overdue."""
FORMAT = "%Y-%m-%d %H:%M UTC"


class Schedule(BaseModel):
    """Last and next retraining runs of a project.

    Attributes:
        due: start of the next run; None where none is scheduled.
        good: end of the last run that completed.
        good_message: its result.
        failed: end of the last run that failed, if none completed since.
        failed_message: its reason.
    """

    model_config = ConfigDict(frozen=True)

    due: datetime | None = None
    good: datetime | None = None
    good_message: str = ""
    failed: datetime | None = None
    failed_message: str = ""


def read(root: Path = Path(".")) -> Schedule:
    """Schedule of a project; empty where nothing was deployed or run, or the file is damaged."""
    path = root / layout.SCHEDULE
    try:
        return Schedule.model_validate(files.read_json(path)) if path.is_file() else Schedule()
    except (SadclError, ValidationError):
        return Schedule()  # it only reports; the next run writes it anew


def update(root: Path, **changes: object) -> None:
    """Change fields of a project's schedule; the watch and a run may do so at the same moment.

    Raises:
        SadclError: the path is refused, or the disk is full.
    """
    path = root / layout.SCHEDULE
    lock = path.with_suffix(".lock")
    with files.translate_disk_errors(path), files.lock(lock, "changing the schedule", wait=True):
        value = read(root).model_copy(update=changes)
        files.write_json(path, value.model_dump(mode="json"))


def record_end(root: Path, is_good: bool, message: str, now: datetime | None = None) -> None:
    """Record the end of a run, with its message in one line of bounded length."""
    end, message = now or datetime.now(UTC), shorten(message, LONGEST, placeholder=" ...")
    if is_good:
        update(root, good=end, good_message=message, failed=None, failed_message="")
    else:
        update(root, failed=end, failed_message=message)


def describe(root: Path = Path("."), now: datetime | None = None) -> list[str]:
    """Last good run, failure since, and next run, overdue or not, one sentence per line."""
    return [*describe_runs(root, now), *problems(root, now)]


def describe_runs(root: Path = Path("."), now: datetime | None = None) -> list[str]:
    """Last good run, failure since, and next run; empty where nothing was deployed or run."""
    schedule, lines = read(root), []
    if schedule.good:
        lines.append(f"Last good retraining: {_text(schedule.good)}. {schedule.good_message}".rstrip())
    elif schedule != Schedule():
        lines.append("No retraining has completed here yet.")
    if schedule.failed:
        lines.append(f"Retraining failed at {_text(schedule.failed)}: {schedule.failed_message}")
    if schedule.due and not _is_overdue(schedule, now):
        lines.append(f"Next retraining: {_text(schedule.due)}.")
    return lines


def problems(root: Path = Path("."), now: datetime | None = None) -> list[str]:
    """A sentence if a run is overdue."""
    schedule = read(root)
    if schedule.due is None or not _is_overdue(schedule, now):
        return []
    return [
        f"Retraining is overdue: it was due at {_text(schedule.due)} and did not start. "
        "Check that Prefect's server and its worker run; `sadcl up` runs both."
    ]


def _is_overdue(schedule: Schedule, now: datetime | None) -> bool:
    return schedule.due is not None and schedule.due + GRACE < (now or datetime.now(UTC))


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime(FORMAT)
