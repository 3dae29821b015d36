"""Hooks at the end of a retraining: its outcome for ``sadcl status``, and a notification."""

from pathlib import Path
from typing import Any

from sadcl.project import notifications, schedule

UNDER_WAY = "another run is under way"
"""Name of the state of a run that found another one at work."""


def report(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ARG001 - a worker passes arguments by name
    """Record the end of a run and notify people; a run that found another one at work is no news."""
    root = Path(str(flow_run.parameters.get("root", "."))).resolve()
    # a worker calls this for a run that was killed, maybe in another folder
    if state.name == UNDER_WAY or not (root / "dvc.yaml").is_file():
        return
    from flows.messages import describe

    # the hooks of a cancellation run before its end
    outcome = "cancelled" if state.is_cancelling() else (state.name or "").lower()
    message = describe(state) or f"The run ended as {outcome}."
    schedule.record_end(root, state.is_completed(), message)
    kind: notifications.Kind = "success" if state.is_completed() else "failure"
    notifications.notify(root, f"sadcl: retraining {outcome}", f"{message}\n({flow_run.name} in {root})", kind)
