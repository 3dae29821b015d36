"""Training on several machines: the first one waits for the others, which join it by its address."""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from sadcl import processes
from sadcl.errors import SadclError, first_line
from sadcl.names import counted
from sadcl.progress import say
from sadcl.training import launch

if TYPE_CHECKING:
    from sadcl.training.store import TCPStore

PORT = 29417
JOIN_SECONDS = 1800.0
"""How long the first machine waits for the others."""
CALL_SECONDS = 3.0
"""How long a machine that waits has to answer a call."""
PLAN, CALL, ANSWERS, ADDRESS, STARTED = "plan", "call", "answers", "address", "started"
"""Keys of the store: what to run, number of the present call, of answers to a call, address of the first machine, and
the call whose answers became the machines' numbers."""


def problems() -> Iterator[str]:
    """Sentence on the port at which this machine would wait for others, where another program listens on it."""
    if (processes.number("SADCL_MACHINES") or 1) == 1:
        return
    port = _port()
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        reason = first_line(error)
        yield f"Port {port}, at which other machines join a training, is not available: {reason} (SADCL_PORT)."


def _port() -> int:
    return processes.number("SADCL_PORT", 65535) or PORT


def gather(stage: str, planned: launch.Plan) -> "tuple[TCPStore, str]":
    """Wait on the first machine until the others have joined; the store, and this machine's address for them.

    Raises:
        SadclError: not all machines have joined in ``JOIN_SECONDS``, or the port is in use.
    """
    from sadcl.model import device
    from sadcl.training.store import serve

    port = _port()
    store = serve("", port)
    plan = {"stage": stage, "processes": planned.processes, "machines": planned.machines, "device": device.pick().type}
    store.set(PLAN, json.dumps(plan))
    others = planned.machines - 1
    say(
        f"{stage}: this machine waits for {counted(others, 'more machine')}; "
        f"run `sadcl join {socket.gethostname()}:{port}` in the project's folder there"
    )
    deadline = time.monotonic() + JOIN_SECONDS
    # twice: a machine that has left during the first call and come back was counted twice in it
    while (joined := _call(store, others)) < others or (joined := _call(store, others)) < others:
        if time.monotonic() > deadline:
            problem = f"{joined + 1} of {planned.machines} machines have joined after {JOIN_SECONDS / 60:.0f} minutes"
            raise SadclError(problem, where="SADCL_MACHINES", fix="Run `sadcl join` on the others, then start it again")
    address = store.get(ADDRESS).decode()  # as the others reach it
    _use_interface(address)
    store.set(STARTED, str(store.add(CALL, 0)))
    return store, address


def _call(store: "TCPStore", others: int) -> int:
    """Call the machines that wait; how many have answered after ``CALL_SECONDS``, or before, once all have.

    A machine that has left does not answer the next call, so that none has to be crossed out.
    """
    key = f"{ANSWERS}/{store.add(CALL, 1)}"
    deadline = time.monotonic() + CALL_SECONDS
    while (answers := store.add(key, 0)) < others and time.monotonic() < deadline:
        time.sleep(0.1)
    return answers


def _answer_until_start(store: "TCPStore") -> int | None:
    """Answer each call until the training starts; this machine's number, None where it starts without this one."""
    answered = machine = 0
    while not store.check([STARTED]):
        if (call := store.add(CALL, 0)) != answered:
            answered, machine = call, store.add(f"{ANSWERS}/{call}", 1)
        time.sleep(0.1)
    return machine if int(store.get(STARTED)) == answered else None


def join(address: str) -> None:
    """Take part in the trainings of another machine, one after another, until this process is interrupted.

    Args:
        address: of the machine where ``dvc repro`` runs, as ``HOST`` or ``HOST:PORT``.

    Raises:
        SadclError: the address is none or not known, this folder is no project, or this machine lacks the devices.
    """
    processes.before_torch()
    host, port = _split(address)
    if not Path("params.yaml").exists():
        raise SadclError("There is no params.yaml here", fix="Go to the project's folder")
    _require_known(host)
    waiting = False
    while True:
        if not waiting:
            say(f"This machine waits for a training at {host}:{port}; Ctrl-C ends this")
        waiting = not _train(host, port)
        if waiting:
            time.sleep(1)


def _train(host: str, port: int) -> bool:
    """Take part in one training, if one waits for machines; whether it did."""
    from sadcl.training.store import connect

    try:  # a plain connection first: torch prints warnings where nobody listens
        with socket.create_connection((host, port), timeout=5) as connection:
            address, own = connection.getpeername()[0], connection.getsockname()[0]
        store = connect(address, port, 10)
        if store.check([STARTED]) or not store.check([PLAN]):  # complete without this machine
            return False
        planned = json.loads(store.get(PLAN))
        plan = launch.Plan(planned["processes"], planned["machines"])
        _require_devices(planned["device"], plan.processes)
        store.set(ADDRESS, address)
        machine = _answer_until_start(store)
    except (OSError, RuntimeError):
        return False
    if machine is None or machine >= plan.machines:
        return False
    _use_interface(own)
    say(f"{planned['stage']}: machine {machine + 1} of {plan.machines}, {plan.processes} of {plan.world} processes")
    started = time.monotonic()
    try:
        with closing(launch.LocalRanks(planned["stage"], plan, machine, address, store)) as ranks:
            try:
                ranks.wait()
            except KeyboardInterrupt:
                ranks.report(f"The machine {socket.gethostname()} has left the training")
                raise
        say(f"{planned['stage']}: done in {time.monotonic() - started:.0f} s")
    except SadclError as error:
        print(f"{planned['stage']}: {error}", file=sys.stderr, flush=True)
    except SystemExit:
        say(f"The stage {planned['stage']} failed; see above")
    return True


def _require_devices(kind: str, processes: int) -> None:
    """Raise where this machine has other devices than the first one, or fewer."""
    from sadcl.model import device

    own = device.pick().type
    if own != kind:
        problem = f"The first machine trains on {kind}, this one would on {own}"
        raise SadclError(problem, where="SADCL_DEVICE", fix="Set it to the same device on both")
    if kind == "cuda" and processes > device.count():
        problem = (
            f"The first machine has {processes} processes, one for each GPU, and this one has {device.count()} GPUs"
        )
        raise SadclError(problem, where="SADCL_PROCESSES", fix="Set it to the smaller number on the first machine")


def _require_known(host: str) -> None:
    """Raise where a name has no address of IPv4, at which alone the first machine listens."""
    try:
        socket.getaddrinfo(host, None, socket.AF_INET)
    except (OSError, UnicodeError) as error:
        problem = f"The machine {host!r} can't be found: {first_line(error)}"
        raise SadclError(problem, fix="Use the name that the first machine prints, or its IPv4 address") from None


def _split(address: str) -> tuple[str, int]:
    if address.count(":") > 1:
        raise SadclError(f"{address!r} is an IPv6 address", fix="Use the machine's name, or its IPv4 address")
    host, colon, port = address.rpartition(":")
    if not colon:
        return address, PORT
    if not (host and port.isascii() and port.isdigit() and 0 < int(port[:9]) < 65536):
        raise SadclError(f"{address!r} is no address", fix=f"Write it as HOST:PORT, such as gpu1:{PORT}")
    return host, int(port)


def _use_interface(address: str) -> None:
    """Let ranks talk through the interface that has an address; by default they take that of the machine's name."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address.partition("%")[0] == address for each in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)
