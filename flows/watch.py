"""Watch over the retraining's deployment: lost runs, the next run due, and runs that no worker begins."""

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flows import runs
from sadcl.progress import try_say
from sadcl.project import notifications, schedule

DEPLOYMENT = "retrain/weekly"
PERIOD = 60.0
"""Seconds between two looks."""
PATIENCE = timedelta(minutes=10)
"""Time after which a run that no worker begins is announced."""


def start(root: Path = Path(".")) -> None:
    """Watch in a thread until the process ends."""
    threading.Thread(target=_watch, args=(root.resolve(),), name="watch-runs", daemon=True).start()


def _watch(root: Path) -> None:
    printed, waiting = "", ""
    while True:
        problem = ""
        try:
            close_and_resume(root)
            refresh(root)
            waiting = _announce_waiting(root, waiting)
            notifications.start_delivery(root)
        except Exception as error:  # any: the next look may find the server again
            problem = str(error)
        if problem and problem != printed:
            try_say(f"watch: {problem}")
        printed = problem
        time.sleep(PERIOD)


def close_and_resume(root: Path) -> None:
    """Close runs whose process is gone, start the last one of each deployment again, and say so to people."""
    lines = runs.close_lost(root, resume=True)
    for line in lines:
        try_say(line)
    if lines:
        notifications.notify(root, "sadcl: a run was interrupted", "\n".join(lines), "warning")


def refresh(root: Path) -> None:
    """Record when the next retraining is due; a run that waits since an earlier time is due at that time."""
    schedule.update(root, due=_due())


def _due() -> datetime | None:
    """Start of the next run of the deployment; None where none is deployed or scheduled."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            return None
        scheduled = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": ["SCHEDULED"]}}}),
            deployment_filter=DeploymentFilter.model_validate({"id": {"any_": [str(deployment.id)]}}),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=1,
        )  # fmt: skip
    if scheduled:
        return _utc(scheduled[0].expected_start_time)
    if deployment.paused:
        return None
    return min((date for item in deployment.schedules if item.active for date in _dates(item.schedule)), default=None)


def _dates(item: Any) -> list[datetime]:
    """The next date of a schedule, which Prefect's server has not planned yet."""
    import asyncio

    from prefect.server.schemas import schedules

    for kind in (schedules.CronSchedule, schedules.IntervalSchedule, schedules.RRuleSchedule):
        if type(item).__name__ == kind.__name__:
            dates = asyncio.run(kind.model_validate(item.model_dump()).get_dates(1, datetime.now(UTC)))
            return [_utc(date) for date in dates]
    return []


def _announce_waiting(root: Path, announced: str) -> str:
    """Notify people of a run that no worker begins, and of the wait's end; return the due time that was announced."""
    due = schedule.read(root).due
    late = str(due) if due is not None and due + PATIENCE < datetime.now(UTC) else ""
    if late and late != announced:
        text = f"A retraining waits since {due:%Y-%m-%d %H:%M UTC}, and no worker begins it. Check `sadcl status`."
        notifications.notify(root, "sadcl: a run waits", text, "warning")
    elif announced and not late:
        if _began_since(datetime.fromisoformat(announced)):
            notifications.notify(root, "sadcl: runs begin again", "The retraining that waited has begun.", "info")
        else:
            text = "The retraining that waited was cancelled, or its deployment was paused."
            notifications.notify(root, "sadcl: no run waits", text, "info")
    return late


def _began_since(time: datetime) -> bool:
    """Whether a run of the deployment has begun at that time or later."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, FlowFilter, FlowRunFilter

    flow, _, name = DEPLOYMENT.partition("/")
    with get_client(sync_client=True) as client:
        begun = client.read_flow_runs(
            flow_filter=FlowFilter.model_validate({"name": {"any_": [flow]}}),
            flow_run_filter=FlowRunFilter.model_validate({"start_time": {"after_": time}}),
            deployment_filter=DeploymentFilter.model_validate({"name": {"any_": [name]}}),
            limit=1,
        )
    return bool(begun)


def _utc(value: Any) -> datetime:
    return datetime.fromtimestamp(value.timestamp(), UTC)
