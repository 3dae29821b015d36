"""Start of a training in several processes, called ranks: one for each GPU, or as many as ``SADCL_PROCESSES`` says.

DVC runs a stage once. That process starts the ranks with the variables that ``torchrun`` sets, watches them, and ends
all of them when one has gone. It holds the store through which they find one another, and trains nothing itself.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from sadcl.errors import SadclError, first_line
from sadcl.names import counted
from sadcl.processes import number
from sadcl.progress import say

if TYPE_CHECKING:
    from sadcl.training.store import TCPStore

LOST = 3
"""Exit status of a rank that ends since another one has gone."""
RUN_ID = "sadcl"
"""Name of a group of ranks that this module has started; torchrun has others."""
FAILED = "failed"
"""Key of the store: why the ranks of one machine have ended."""
CONTINUE = "Start it again; training goes on from its last saved state"
EXIT_TIMEOUT = 5.0
"""Seconds in which ranks end by themselves after one has gone, and their machine tells why; others are killed."""
STORE_SHUTDOWN_DELAY = 2.0
"""Seconds for which the first machine keeps its store after a failure, so that the others learn why."""


@dataclass(frozen=True)
class Plan:
    """Number of ranks on each machine, and of machines."""

    processes: int
    machines: int = 1

    @property
    def world(self) -> int:
        """Number of all ranks."""
        return self.processes * self.machines


def rank() -> int:
    """Number of this process among the ranks of a training, from 0; 0 also where it is no rank."""
    return int(os.environ["RANK"]) if is_rank() else 0


def world() -> int:
    """Number of ranks of the training that this process belongs to."""
    return int(os.environ["WORLD_SIZE"]) if is_rank() else 1


def is_rank() -> bool:
    """Whether ``torchrun`` or this module has started this process as one of several."""
    return {"TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE"} <= os.environ.keys()


def is_own_rank() -> bool:
    """Whether this module has started this process as a rank."""
    return is_rank() and os.environ["TORCHELASTIC_RUN_ID"] == RUN_ID


def in_processes(stage: str, batch: int, work: Callable[[], str]) -> str | None:
    """Do the work of a stage in this process, or start ranks that do it.

    Args:
        stage: its name.
        batch: photos in the global batch, which the ranks share evenly.
        work: of each rank; returns the stage's last line.

    Returns:
        The last line; None where a rank has printed it.

    Raises:
        SadclError: the ranks can't share the batch, or one of them has gone.
        SystemExit: a rank failed, and has printed why.
    """
    if is_rank():
        return work()
    planned = plan(batch)
    if planned.world == 1:
        return work()
    run(stage, planned)
    return None


def plan(batch: int) -> Plan:
    """Number of ranks for a batch: ``SADCL_PROCESSES`` on each of ``SADCL_MACHINES``, by default one for each GPU.

    By default fewer GPUs are used where their number does not divide the batch.

    Raises:
        SadclError: a variable is no positive number, or the ranks can't share the batch evenly.
    """
    if batch == 0:  # no photo to share: the stage itself says why
        return Plan(1)
    from sadcl.model import device

    machines, requested, devices = number("SADCL_MACHINES") or 1, number("SADCL_PROCESSES"), device.count()
    if requested and device.pick().type == "cuda" and requested > devices:
        problem = f"{requested} processes can't share {counted(devices, 'GPU')}"
        raise SadclError(problem, where="SADCL_PROCESSES", fix="Use one process for each GPU")
    fitting = [n for n in range(1, batch + 1) if batch % (n * machines) == 0]
    processes = requested or max((n for n in fitting if n <= devices), default=1)
    if processes not in fitting:
        numbers = ", ".join(str(n * machines) for n in fitting[:12]) or f"none on {machines} machines"
        raise SadclError(
            f"{processes * machines} processes can't share a batch of {batch} photos evenly",
            where="SADCL_PROCESSES" if requested else "SADCL_MACHINES",
            fix=f"Numbers of processes that can: {numbers}",
        )
    return Plan(processes, machines)


def run(stage: str, planned: Plan) -> None:
    """Run a stage in ranks, on this machine or with others that join it, and wait for their end.

    Raises:
        SadclError: a rank has gone.
        SystemExit: a rank failed, and has printed why.
    """
    if planned.machines > 1:
        from sadcl.training import machines

        store, address = machines.gather(stage, planned)
    else:
        from sadcl.training.store import serve

        store, address = serve("127.0.0.1", 0), "127.0.0.1"
    say(f"  {planned.world} processes share each batch")
    with closing(LocalRanks(stage, planned, 0, address, store)) as ranks:
        ranks.wait()


class LocalRanks:
    """The ranks of a training on this machine.

    Args:
        stage: that they run.
        planned: number of ranks and machines.
        machine: number of this machine, from 0.
        address: of the first machine, where the store is.
        store: through which ranks and machines find one another.

    Raises:
        SadclError: a rank can't be started; those before it are ended.
    """

    def __init__(self, stage: str, planned: Plan, machine: int, address: str, store: "TCPStore") -> None:
        self.planned, self.machine, self.store = planned, machine, store
        self._remote_failure: str | None = None
        self.errors: list[IO[bytes] | None] = []
        self.children: list[subprocess.Popen[bytes]] = []
        try:
            for local in range(planned.processes):
                self._start(stage, local, _variables(planned, machine, local, address, store.port))
        except OSError as error:
            self.close()
            name = f"Process {len(self.children) + 1} on {socket.gethostname()}"
            problem = f"{name} can't be started: {first_line(error)}"
            if planned.machines > 1:
                self.report(problem)
            raise SadclError(problem, fix="Set SADCL_PROCESSES to a smaller number") from None
        self._listener = _in_thread(self._listen) if planned.machines > 1 else None

    def _start(self, stage: str, local: int, variables: dict[str, str]) -> None:
        """Start the rank with a number on this machine."""
        first = self.machine == local == 0
        # one rank prints progress; of the others only the error of the one that failed first is shown
        self.errors.append(None if first else tempfile.TemporaryFile())  # noqa: SIM115
        child = subprocess.Popen(
            [sys.executable, "-m", "sadcl.stages", stage],
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=None if first else subprocess.DEVNULL,
            stderr=self.errors[-1],
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends them
        )
        self.children.append(child)

    def wait(self) -> None:
        """Wait until all ranks have ended; the end of one that failed ends all others.

        Raises:
            SadclError: a rank was killed, here or on another machine.
            SystemExit: a rank failed, and its error has been printed.
        """
        while not any(status := [child.poll() for child in self.children]):
            if None not in status:
                return
            if self._remote_failure is not None:
                break
            time.sleep(0.1)
        ended = time.monotonic() + EXIT_TIMEOUT
        while None in (status := [child.poll() for child in self.children]) and time.monotonic() < ended:
            time.sleep(0.05)
        self._kill()
        if any(status) or None in status:
            try:
                self._raise_for(status)
            finally:
                if self.machine == 0 and self.planned.machines > 1:
                    time.sleep(STORE_SHUTDOWN_DELAY)

    def close(self) -> None:
        """Kill the ranks that still run; what they write is complete or not there."""
        self._kill()
        for errors in filter(None, self.errors):
            errors.close()

    def _kill(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()

    def _raise_for(self, status: list[int | None]) -> None:
        """Raise for the failed rank with the lowest number; ``status`` is None for a rank that had to be killed."""
        first = next((i for i, code in enumerate(status) if code not in (None, 0, LOST)), None)
        if first is None:
            if self._listener:
                self._listener.join(EXIT_TIMEOUT)
            reason = "A process on another machine has ended, or the machine can't be reached"
            raise SadclError(self._remote_failure or reason, fix=CONTINUE)
        code, errors = status[first], self.errors[first]
        assert code is not None
        where = f" on {socket.gethostname()}" if self.planned.machines > 1 else ""
        name = f"Process {self.machine * self.planned.processes + first + 1} of {self.planned.world}{where}"
        reason = f"{name} was ended by {_signal(-code)}" if code < 0 else f"{name} failed"
        text = _read(errors)
        if text:  # its last line is the sentence
            reason += f": {text.splitlines()[-1].rstrip('.')}"
        if self.planned.machines > 1:
            self.report(reason)
        if code < 0:
            raise SadclError(reason, fix=CONTINUE)
        print(text, end="", file=sys.stderr, flush=True)
        sys.exit(code)

    def _listen(self) -> None:
        """Learn why the ranks of another machine have ended."""
        with suppress(RuntimeError):  # the first machine is gone, or has done its work: the ranks notice
            while not self.store.check([FAILED]):
                time.sleep(0.5)
            self._remote_failure = self.store.get(FAILED).decode()

    def report(self, reason: str) -> None:
        """Let the other machines know why the ranks of this one have ended, if the first one can be reached."""
        _in_thread(self._send, reason).join(EXIT_TIMEOUT)

    def _send(self, reason: str) -> None:
        with suppress(RuntimeError):
            self.store.set(FAILED, reason)


def _in_thread(work: Callable[..., None], *arguments: str) -> threading.Thread:
    """Start work that may wait for a machine that is gone."""
    thread = threading.Thread(target=work, args=arguments, name="machines", daemon=True)
    thread.start()
    return thread


def _read(errors: IO[bytes] | None) -> str:
    if errors is None:
        return ""
    errors.seek(0)
    return errors.read().decode(errors="replace")


def _signal(code: int) -> str:
    name = signal.Signals(code).name if code in set(signal.Signals) else f"signal {code}"
    return f"{name}, perhaps for lack of memory" if code == signal.SIGKILL else name


def _variables(planned: Plan, machine: int, local: int, address: str, port: int) -> dict[str, str]:
    """Environment of a rank: what ``torchrun`` sets, and its share of the machine's cores."""
    # each rank would start a thread for every core
    cores = str(max((os.cpu_count() or 1) // planned.processes, 1))
    values: dict[str, Any] = {
        "RANK": machine * planned.processes + local,
        "LOCAL_RANK": local,
        "WORLD_SIZE": planned.world,
        "LOCAL_WORLD_SIZE": planned.processes,
        "GROUP_RANK": machine,
        "MASTER_ADDR": address,
        "MASTER_PORT": port,
        "TORCHELASTIC_RUN_ID": RUN_ID,
        "TORCHELASTIC_USE_AGENT_STORE": True,  # no rank has to open the store
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", cores),
        "SADCL_WORKERS": os.environ.get("SADCL_WORKERS", cores),
    }
    if planned.machines == 1 and sys.platform == "linux":
        # nobody else in the network reaches the ranks, and no name of this machine has to be known
        values |= {name: os.environ.get(name, "lo") for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")}
    return {name: str(value) for name, value in values.items()}
