"""The ranks of a training as one: what the first does for all, what they exchange, and what happens if one is lost."""

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from sadcl import files
from sadcl.errors import SadclError
from sadcl.model import device
from sadcl.training import launch
from sadcl.training.fabric import DDPStrategy, Fabric
from sadcl.training.store import connect

T = TypeVar("T")
_LOST = "Another process of this training has ended"

HEARTBEAT_INTERVAL = 5.0
"""Seconds between two heartbeats of a rank."""
HEARTBEAT_TIMEOUT = 30.0
"""Seconds without one after which a rank counts as lost: its machine has no power, or no network."""
STARTUP_TIMEOUT = 600.0
"""Seconds until a rank has to give its first one: it may have to import from a slow disk."""
TIMEOUT = timedelta(days=1)
"""Bound of a wait for other ranks; a lost one is noticed by `Watchdog` long before."""


class Ranks:
    """The processes that share each batch; there may be only one.

    Attributes:
        fabric: launched.
        world: their number.
        rank: number of this one, from 0.
        first: whether this one has the lock, writes files and prints.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.world, self.rank, self.first = fabric.world_size, fabric.global_rank, fabric.global_rank == 0

    def from_first(self, compute: Callable[[], T]) -> T:
        """Value that the first rank computes, in all ranks."""
        if self.world == 1:
            return compute()
        return self.fabric.broadcast(compute() if self.first else None)  # type: ignore[return-value]

    def gather(self, value: T) -> list[T]:
        """Values of all ranks, in their order."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def mean(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mean over the ranks of each tensor; all ranks have the same names."""
        if self.world == 1 or not values:
            return dict(values)
        total = self.fabric.all_reduce(torch.stack(list(values.values())), reduce_op="sum")
        return dict(zip(values, torch.as_tensor(total) / self.world, strict=True))

    def require_equal(self, inputs: Mapping[str, Any]) -> None:
        """Raise where a rank has other inputs than the first one, such as a project of another commit.

        Raises:
            SadclError: inputs differ; the message names the machine and what differs.
        """
        everyone = self.gather((socket.gethostname(), dict(inputs)))
        for host, others in everyone[1:]:
            first = everyone[0][1]
            different = [name for name in {**first, **others} if first.get(name) != others.get(name)]
            if different:
                raise SadclError(
                    f"{host} has other inputs than {everyone[0][0]}: {', '.join(different)}",
                    fix="All machines need the same commit, data and packages: run `git pull`, `dvc pull`",
                )

    def share(self, path: Path) -> None:
        """Copy a file of the first rank to the machines that lack it, or have another one in its place."""
        digests = self.gather(files.digest(path) if path.exists() else None)
        if digests[0] is None or len(set(digests)) == 1:
            return
        content = self.from_first(path.read_bytes)
        if self.fabric.local_rank == 0 and digests[self.rank] != digests[0]:
            with files.atomic_write(path) as temporary_path:
                temporary_path.write_bytes(content)
        self.fabric.barrier()


@contextmanager
def exit_on_lost_rank() -> Iterator[None]:
    """End this process with a sentence, or silently, where an exchange with another rank fails.

    Raises:
        SadclError: another rank has gone, and this is the first one.
        SystemExit: another rank has gone.
    """
    try:
        yield
    except RuntimeError as error:
        # what a broken connection raises depends on the library below: gloo, NCCL or the store
        if launch.world() == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        if launch.rank() == 0 and not launch.is_own_rank():
            raise SadclError(_LOST, fix=launch.CONTINUE) from None
        sys.exit(launch.LOST)


def start(precision: Any) -> tuple[Ranks, "Watchdog | None"]:
    """Launch Fabric: one process on the chosen device, or one of the ranks that share the training.

    Returns:
        The ranks, and the watchdog that ends this one when another is lost; None where there is no other.
    """
    target, local = device.pick(), 1
    watchdog: Watchdog | None = None
    strategy: Any = "auto"
    devices: Any = [target.index] if target.index is not None else 1
    if launch.world() > 1:
        watchdog = Watchdog()
        devices = local = int(os.environ["LOCAL_WORLD_SIZE"])
        # buffers are equal in all ranks, see `synchronised`; some backbones of timm have norms that no output uses
        strategy = DDPStrategy(timeout=TIMEOUT, broadcast_buffers=False, find_unused_parameters=True)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # no lines about process groups
    fabric = Fabric(
        accelerator=target.type, devices=devices, num_nodes=launch.world() // local, strategy=strategy,
        precision=precision,
    )  # fmt: skip
    with exit_on_lost_rank():
        fabric.launch()
    return Ranks(fabric), watchdog


class Watchdog:
    """Ends this process when another rank gives no sign of life, as when its machine has lost power.

    A rank that is killed breaks its connections, and the others' next exchange fails at once. A machine that is gone
    breaks nothing: the others would wait.
    """

    def __init__(self) -> None:
        self.rank, self.world = launch.rank(), launch.world()
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self._stopped = threading.Event()
        self._alive = [time.monotonic() + STARTUP_TIMEOUT] * self.world
        self._counts = [0] * self.world
        # two threads: the one that exchanges signs may wait for a machine that is gone
        for work in (lambda: self._exchange(address, port), self._watch):
            threading.Thread(target=work, name="ranks", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer: all ranks have done their work."""
        self._stopped.set()

    def _exchange(self, address: str, port: int) -> None:
        try:
            # a connection of its own: the process group's may be waiting for something else
            store = connect(address, port, STARTUP_TIMEOUT)
            while True:
                store.add(f"alive/{self.rank}", 1)
                for other in range(self.world):
                    if (count := store.add(f"alive/{other}", 0)) != self._counts[other]:
                        self._counts[other], self._alive[other] = count, time.monotonic()
                if self._stopped.wait(HEARTBEAT_INTERVAL):
                    return
        except RuntimeError:  # the store is gone, and with it the process that started the first rank
            if not self._stopped.wait(HEARTBEAT_INTERVAL):
                _end()

    def _watch(self) -> None:
        while not self._stopped.wait(1):
            if time.monotonic() - min(self._alive) > HEARTBEAT_TIMEOUT:
                _end()


def _end() -> NoReturn:
    """End this process, whatever its other threads wait for; files are complete or not there."""
    if launch.rank() == 0 and not launch.is_own_rank():
        print(f"{_LOST}. {launch.CONTINUE}.", file=sys.stderr, flush=True)
    os._exit(launch.LOST)
