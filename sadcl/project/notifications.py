"""Notifications of runs to people, through apprise: kept on disk, delivered by a process of their own, tried again.

``SADCL_NOTIFY`` holds apprise addresses, separated by blanks. They contain passwords, so they come from the environment
alone and are in no file of the project. ``python -m sadcl.project.notifications`` delivers what waits.
"""

import hashlib
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from sadcl import extras, files, layout, processes
from sadcl.errors import SadclError
from sadcl.names import counted

Kind = Literal["info", "success", "warning", "failure"]
VARIABLE = processes.NOTIFY
PAUSES = (5.0, 30.0, 120.0, 600.0)
"""Seconds between attempts of one delivery; what is left then waits for the next."""
OVERDUE = 60.0
"""Seconds after which a notification that was not tried is a problem; its delivery begins at once."""
MOST = 100
"""Notifications that are kept; the oldest go first."""
LONGEST = 1500
"""Characters of a notification; services refuse long ones."""
LOCK = layout.NOTIFICATIONS / "lock"


class Notification(BaseModel):
    """A notification that waits for its delivery.

    Attributes:
        title: subject.
        body: text.
        kind: apprise's kind, which chooses symbol and colour.
        time: when it arose, in UTC.
        delivered: digests of the addresses that have it.
        attempts: deliveries that were tried.
        problem: why the last one failed.
    """

    title: str
    body: str
    kind: Kind
    time: str
    delivered: list[str] = []
    attempts: int = 0
    problem: str = ""


def notify(root: Path, title: str, body: str, kind: Kind) -> None:
    """Keep a notification and start its delivery in another process; does nothing where ``SADCL_NOTIFY`` is not set.

    Args:
        root: the project's folder.
        title: subject.
        body: text; shortened to ``LONGEST`` characters.
        kind: how a service shows it.
    """
    if not _addresses():
        return
    now = datetime.now(UTC)
    body = body if len(body) <= LONGEST else f"{body[:LONGEST]}..."
    item = Notification(title=title, body=body, kind=kind, time=now.isoformat(timespec="seconds"))
    name = f"{now:%Y%m%dT%H%M%S%f}-{os.getpid()}.json"
    files.write_json(root / layout.NOTIFICATIONS / name, item.model_dump())
    for path in _paths(root)[:-MOST]:
        path.unlink(missing_ok=True)
    start_delivery(root)


def start_delivery(root: Path) -> None:
    """Deliver what waits in a process that outlives this one; it ends at once where another delivers."""
    if not _addresses() or not _paths(root):
        return
    environment = processes.child_environment(processes.NOTIFY)
    delivery = subprocess.Popen(
        [sys.executable, "-m", "sadcl.project.notifications"], cwd=root, env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    # so that no zombie is left in a server that starts many
    threading.Thread(target=delivery.wait, name="delivery", daemon=True).start()


def deliver(root: Path = Path("."), pauses: Sequence[float] = PAUSES) -> bool:
    """Deliver all notifications that wait, again after each pause while one is left.

    Args:
        root: the project's folder.
        pauses: seconds between the attempts.

    Returns:
        Whether none is left.

    Raises:
        SadclError: another process delivers, or apprise is missing.
    """
    extras.require("apprise")
    with files.lock(root / LOCK, "delivering notifications"):
        is_done = any(_deliver_all(root, pause) for pause in (0.0, *pauses))
    # one that arose just before the lock was released: the process that it started ended at once
    return deliver(root, pauses) if is_done and _paths(root) else is_done


def describe(root: Path = Path(".")) -> list[str]:
    """A sentence on notifications that could not be delivered; empty where there are none."""
    overdue = (datetime.now(UTC) - timedelta(seconds=OVERDUE)).isoformat(timespec="seconds")
    waiting = [item for path in _paths(root) if (item := _read(path)) is not None]
    items = [item for item in waiting if item.attempts or item.time < overdue]
    if not items:
        return []
    problem = items[-1].problem or "no delivery was tried"
    return [
        f"{counted(len(items), 'notification')} could not be delivered, the first of {items[0].time} "
        f"({items[0].title}): {problem}. The next notification tries again; check {VARIABLE}."
    ]


def _deliver_all(root: Path, pause: float) -> bool:
    """Wait, then try each notification once, also those that arise meanwhile; whether none is left."""
    _wait(root, pause)
    outcomes: dict[Path, bool] = {}
    while more := [path for path in _paths(root) if path not in outcomes]:
        outcomes |= {path: _deliver(path) for path in more}
    return all(outcomes.values())


def _wait(root: Path, seconds: float) -> None:
    """Wait, or until there is a notification that was not tried yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if any(item.attempts == 0 for path in _paths(root) if (item := _read(path)) is not None):
            return
        time.sleep(min(1.0, seconds))


def _deliver(path: Path) -> bool:
    """Send one notification to the addresses that lack it; remove its file once all have it."""
    item = _read(path)
    if item is None:
        path.unlink(missing_ok=True)  # damaged: nothing to send
        return True
    problem = ""
    for number, address in enumerate(_addresses(), 1):
        digest = hashlib.sha256(address.encode()).hexdigest()[:16]
        if digest in item.delivered:
            continue
        if failure := _send(address, item):
            problem = f"address {number} of {VARIABLE}{failure}"
        else:
            item.delivered.append(digest)
    if not problem:
        path.unlink(missing_ok=True)
        return True
    item.attempts, item.problem = item.attempts + 1, problem
    files.write_json(path, item.model_dump())
    return False


def _send(address: str, item: Notification) -> str:
    """Send a notification to one address; the reason if that failed, without the password in the address."""
    import apprise

    with warnings.catch_warnings():  # of its plug-ins, which it loads here
        warnings.simplefilter("ignore")
        target = apprise.Apprise.instantiate(address)
    if target is None:
        return " is not one that apprise knows"
    shown = str(target.url(privacy=True)).partition("?")[0]  # type: ignore[no-untyped-call]
    try:
        accepted = target.notify(body=item.body, title=item.title, notify_type=apprise.NotifyType(item.kind))
    except Exception as error:  # any: a service's plug-in must not end the delivery to others
        return f" ({shown}) failed by {type(error).__name__}"
    return "" if accepted else f" ({shown}) was not reached, or refused it"


def _addresses() -> list[str]:
    return os.environ.get(VARIABLE, "").split()


def _paths(root: Path) -> list[Path]:
    return sorted((root / layout.NOTIFICATIONS).glob("*.json"))


def _read(path: Path) -> Notification | None:
    try:
        return Notification.model_validate(files.read_json(path))
    except (SadclError, ValidationError):
        return None


if __name__ == "__main__":
    try:
        deliver()
    except SadclError as error:
        sys.exit(str(error))
