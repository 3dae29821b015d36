"""Runs in Prefect and the processes that execute them: records, and the end of runs whose process is gone.

A power cut or a kill leaves a run as ``Running`` for good, because Prefect learns of an end from the process itself.
"""

import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil

from sadcl.project import run_records, schedule

RETRAIN = "retrain"
"""Name of the flow whose ends are in the project's schedule."""
POOL = "sadcl"
"""Work pool of the project's deployments."""
WORKER_NAME = f"sadcl@{platform.node()}"
"""Name of the worker of this host, from which others tell that its runs are here."""
RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
"""Environment variable with the run's identifier in the process that a worker starts for it."""
RESUMED = "resumed:"
"""Tag of a run that replaces a lost one, followed by the number of replacements so far."""
RESUMED_TAG = re.compile(rf"{RESUMED}[0-9]{{1,9}}")
MOST_RESUMED = 3
"""Replacements in a row: a run that brings the host down does so again."""
MISSED_HEARTBEATS, HEARTBEAT = 3, 30
"""Heartbeats without which a worker counts as offline, and seconds between them where it gives no number."""
OPEN = ("RUNNING", "PENDING", "CANCELLING")
"""Types of states in which a run has a process."""


@contextmanager
def recorded(root: Path) -> Iterator[None]:
    """Keep a record of the present flow run while this process executes it."""
    with run_records.recorded(root, str(_present().id)):
        yield


def is_deployed() -> bool:
    """Whether the present flow run belongs to a deployment."""
    return _present().deployment_id is not None


def _present() -> Any:
    """The flow run that this process executes."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    assert context is not None
    return context.flow_run


def close_lost(root: Path, resume: bool = False) -> list[str]:
    """Set runs of this project to ``Crashed``, with the cause, where the host has no process for them any more.

    The end of a retraining is recorded in the schedule, as a failure.

    Args:
        root: the project's folder.
        resume: whether to start the last lost run of each deployment again; a training goes on from its state.

    Returns:
        A sentence for each run that was closed or started.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        causes = {record.run: record.cause for record in run_records.lost(root)}
        causes |= _without_record(client, run_records.under_way(root) | set(causes))
        closed = [(_close(client, root, identifier, cause), cause) for identifier, cause in causes.items()]
        lines = [f"Run {run.name} was interrupted. {cause}." for run, cause in closed if run is not None]
        # of the pool: whoever serves another deployment starts its runs
        last = {run.deployment_id: run for run, _ in closed if run is not None and run.work_pool_name == POOL}
        return lines + [line for run in last.values() if resume for line in _resume(client, run)]


def _close(client: Any, root: Path, identifier: str, cause: str) -> Any:
    """Close a run and its tasks; return it, or None if it has ended by itself or another server knows it."""
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Cancelled, Crashed

    try:
        run = client.read_flow_run(UUID(identifier))
    except (ObjectNotFound, ValueError):  # a damaged record has its file's name
        return None
    if run.state is not None and run.state.is_final():
        run_records.forget(root, identifier)
        return None
    chosen = FlowRunFilter.model_validate({"id": {"any_": [identifier]}})
    for task in client.read_task_runs(flow_run_filter=chosen):
        if task.state is not None and not task.state.is_final():
            client.set_task_run_state(task.id, Crashed(message=cause), force=True)
    is_cancelling = run.state is not None and run.state.is_cancelling()
    if not is_cancelling and client.read_flow(run.flow_id).name == RETRAIN:
        schedule.record_end(root, False, f"{cause}.")
    client.set_flow_run_state(run.id, (Cancelled if is_cancelling else Crashed)(message=f"{cause}."), force=True)
    run_records.forget(root, identifier)
    return None if is_cancelling else run


def _resume(client: Any, run: Any) -> list[str]:
    """Start a lost run of a deployment again, unless another one waits already or it was lost too often."""
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter

    counts = [tag for tag in run.tags if RESUMED_TAG.fullmatch(tag)]  # people may write other tags that begin so
    attempt = 1 + max((int(tag.removeprefix(RESUMED)) for tag in counts), default=0)
    if attempt > MOST_RESUMED:
        return [f"Run {run.name} is not started again: it was interrupted {attempt} times in a row."]
    deployment = DeploymentFilter.model_validate({"id": {"any_": [str(run.deployment_id)]}})
    waiting = {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"before_": datetime.now(UTC)}}
    if client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(waiting), deployment_filter=deployment):
        return []
    tags = [*(tag for tag in run.tags if tag not in counts), f"{RESUMED}{attempt}"]
    new = client.create_flow_run_from_deployment(
        run.deployment_id, parameters=run.parameters, tags=tags, idempotency_key=f"{RESUMED}{run.id}"
    )
    return [f"Run {new.name} goes on where {run.name} was interrupted."]


def _without_record(client: Any, known: set[str]) -> dict[str, str]:
    """Cause of each run of the pool that ended before it could write a record.

    Runs that a worker of another host may execute, or that one that lives may be about to, are left alone.
    """
    from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
    from prefect.exceptions import ObjectNotFound

    states = FlowRunFilter.model_validate({"state": {"type": {"any_": list(OPEN)}}})
    pool = WorkPoolFilter.model_validate({"name": {"any_": [POOL]}})
    runs = client.read_flow_runs(flow_run_filter=states, work_pool_filter=pool)
    runs = [run for run in runs if str(run.id) not in known]
    try:
        workers = client.read_workers_for_work_pool(POOL) if runs else []
    except ObjectNotFound:
        return {}
    runs = [run for run in runs if not any(_may_execute(worker, run) for worker in workers)]
    if not runs:
        return {}
    executed, oldest_worker = _processes()
    cause = "No process of this host executes the run: it was killed, or the host restarted, before the run began"
    # a younger run may be the next that a living worker starts
    return {
        str(run.id): cause for run in runs
        if str(run.id) not in executed and run.state.timestamp.timestamp() < oldest_worker
    }  # fmt: skip


def _may_execute(worker: Any, run: Any) -> bool:
    """Whether a worker is one of another host and could start the run; a run survives the loss of its network."""
    if worker.name == WORKER_NAME:
        return False
    if worker.last_heartbeat_time is None:
        return str(worker.status).upper().endswith("ONLINE")
    # the last heartbeat before a loss may be a little older than a run that began after it
    reach = timedelta(seconds=MISSED_HEARTBEATS * (worker.heartbeat_interval_seconds or HEARTBEAT))
    return bool(worker.last_heartbeat_time + reach > (run.start_time or run.state.timestamp))


def _processes() -> tuple[set[str], float]:
    """Identifiers of runs that processes of this host execute, and the start of its oldest worker, or now."""
    executed, oldest = set(), datetime.now(UTC).timestamp()
    for process in psutil.process_iter(["environ", "cmdline", "create_time"]):
        executed.add((process.info["environ"] or {}).get(RUN_VARIABLE, ""))
        if {"worker", "start", POOL} <= set(process.info["cmdline"] or []):
            oldest = min(oldest, process.info["create_time"])
    return executed, oldest
