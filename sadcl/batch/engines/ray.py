"""The engine of a Ray cluster: one actor for each core or GPU, each with a worker process of its own.

Photos never pass through Ray: an actor's worker reads them itself. What passes are rows, results,
and the model files, once. This is the only module that imports Ray.
"""

import os
import tempfile
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from sadcl import extras
from sadcl.batch import stream
from sadcl.batch.engines.checks import AUTHENTICATION
from sadcl.batch.engines.local import MOST_STARTS, LocalEngine
from sadcl.batch.engines.process import AHEAD
from sadcl.batch.lease import Done, Event, Late, Lost
from sadcl.batch.spec import Spec
from sadcl.errors import SadclError, first_line
from sadcl.names import counted
from sadcl.progress import say

CORES = 0.9
"""Cores that Ray reserves for an actor: below one, so that some are left for Ray itself."""
WAIT_SECONDS = 1.0
STOP_SECONDS = 5.0
START_SECONDS = 300.0
"""Time after which a cluster without a worker is given up."""
SKIPPED_MESSAGES = "RAY_DEDUP_LOGS_SKIP_REGEX"
"""Variable of Ray: a driver does not print messages of the cluster that match."""

Answer = tuple[str, Any, Any]
"""Name of an event, and its fields without the number of the lease."""


class Slot:
    """The actor: supervises one worker process on its node.

    Args:
        spec: of the job; the models' paths are replaced.
        models: content of each model file.
    """

    def __init__(self, spec: Spec, *models: bytes) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sadcl-batch-")
        # files of one name come from different folders
        paths = [Path(self._folder.name, f"{i}-{Path(file).name}") for i, file in enumerate(spec.models)]
        for path, model in zip(paths, models, strict=True):
            path.write_bytes(model)
        self._spec = replace(spec, models=list(map(str, paths)))
        self._engine: LocalEngine | None = None

    def start(self) -> str:
        """Start the worker; return why this node is refused, or an empty text."""
        try:
            self._engine = LocalEngine(self._spec, [{}])
            self._engine.wait_until_ready()
        except SadclError as error:
            return f"{os.uname().nodename}: {error.what}"
        return ""

    def run(self, rows: bytes) -> Answer:
        """Compute one piece; return what became of it."""
        assert self._engine is not None
        self._engine.submit(0, stream.load(rows))
        while True:
            for event in self._engine.wait():
                if isinstance(event, Done):
                    return "done", stream.dump(event.results), None
                if isinstance(event, Late):
                    return "late", event.index, event.reason
                return "lost", event.reason, event.suspects

    def stop(self) -> None:
        """End the worker and remove the models, before the actor is killed."""
        if self._engine is not None:
            self._engine.close()
        self._folder.cleanup()


class RayEngine:
    """Actors on a cluster.

    Args:
        spec: of the job.
        workers: number of actors; None for one on each core or GPU.

    Attributes:
        workers: number of actors.

    Raises:
        SadclError: Ray is missing, there is no cluster, or it takes calls of anybody.
    """

    def __init__(self, spec: Spec, workers: int | None) -> None:
        # the end of a node comes with a page of its log, into the progress; Ray reads this once, at import
        os.environ.setdefault(SKIPPED_MESSAGES, "(?s).")
        self._ray = extras.load("ray")
        # without it whoever reaches a port of the cluster runs code on all of its machines
        if os.environ.get(AUTHENTICATION) != "token":
            fix = f"Start the cluster and this command with {AUTHENTICATION}=token"
            raise SadclError("The Ray cluster has to ask for a token", where=AUTHENTICATION, fix=fix)
        self._pieces: dict[Any, deque[tuple[Any, int]]] = {}
        self._starting: dict[Any, Any] = {}
        self._refused: list[Any] = []  # they keep their places, so that no other is started on these nodes
        self._last_refusal = ""
        self._failed_starts = 0
        self._lost: list[str] = []
        self._owns_connection = not self._ray.is_initialized()
        if self._owns_connection:
            self._connect()
        try:
            self._start_all(spec, workers)
        except BaseException:
            self.close()
            raise

    def _start_all(self, spec: Spec, workers: int | None) -> None:
        """Hand the models to the cluster, and start all actors."""
        resources = self._ray.cluster_resources()
        gpus, cores = int(resources.get("GPU", 0)) if spec.models else 0, int(resources.get("CPU", 0))
        self.workers = workers or gpus or max(1, cores)
        self._options = {"num_gpus": 1} if gpus else {"num_cpus": CORES}
        self._arguments = (spec, *(self._ray.put(Path(model).read_bytes()) for model in spec.models))
        self._idle_since = time.monotonic()
        for _ in range(self.workers):
            self._start()

    def room(self) -> bool:
        """Whether an actor takes another piece."""
        return any(len(pieces) < AHEAD for pieces in self._pieces.values())

    def submit(self, number: int, rows: pa.Table) -> None:
        """Hand a piece to the actor with the fewest."""
        actor = min(self._pieces, key=lambda actor: len(self._pieces[actor]))
        self._pieces[actor].append((actor.run.remote(stream.dump(rows)), number))

    def wait(self) -> list[Event]:
        """Wait for actors; in place of lost ones others are started, wherever the cluster has room.

        Raises:
            SadclError: all nodes were refused, or none starts an actor.
        """
        self._require_actors()
        owners = {ref: actor for actor, pieces in self._pieces.items() for ref, _ in pieces}
        ready, _ = self._ray.wait([*owners, *self._starting], timeout=WAIT_SECONDS)
        events: list[Event] = []
        for ref in ready:
            if ref in self._starting:
                self._greet(ref)
            elif owners[ref] in self._pieces:  # not lost with an earlier one of its pieces
                events += self._answer(owners[ref], ref)
        self._report_lost()
        return events

    def close(self) -> None:
        """End all actors."""
        started = [*self._pieces, *self._refused]
        if started:
            stopping = [actor.stop.remote() for actor in started]
            self._ray.wait(stopping, num_returns=len(stopping), timeout=STOP_SECONDS)
        for actor in [*started, *self._starting.values()]:
            self._ray.kill(actor)
        if self._owns_connection:
            self._ray.shutdown()

    def _connect(self) -> None:
        try:
            self._ray.init(address="auto", log_to_driver=False, logging_level="ERROR", configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            fix = "Start one with `ray start --head`, or name it in RAY_ADDRESS"
            raise SadclError(f"There is no Ray cluster: {first_line(error)}", fix=fix) from None

    def _start(self) -> None:
        actor = self._ray.remote(**self._options, scheduling_strategy="SPREAD")(Slot).remote(*self._arguments)
        self._starting[actor.start.remote()] = actor

    def _greet(self, ref: Any) -> None:
        """Take an actor that has started, or say why its node is refused."""
        actor = self._starting.pop(ref)
        try:
            refusal = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:  # lost before it was ready
            self._failed_starts += 1
            if self._failed_starts < MOST_STARTS:
                self._start()
            else:
                self._report(first_line(error))
            return
        self._pieces[actor] = deque()
        if refusal:
            self._refuse(actor, refusal)
        else:
            self._failed_starts = 0

    def _answer(self, actor: Any, ref: Any) -> list[Event]:
        pieces = self._pieces[actor]
        number = next(number for piece, number in pieces if piece == ref)
        try:
            kind, first, second = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            if not isinstance(error.cause, SadclError):
                raise
            return self._refuse(actor, error.cause.what)
        except self._ray.exceptions.RayError as error:
            # its text names an actor by a number that nobody can look up
            return self._lose(actor, type(error).__name__)
        pieces.remove((ref, number))
        if kind == "done":
            return [Done(number, stream.load(first))]
        return [Late(number, first, second) if kind == "late" else Lost(number, first, tuple(second))]

    def _refuse(self, actor: Any, reason: str) -> list[Event]:
        """Give an actor no more work; return the events of its pieces, none of which is to blame."""
        self._report(reason)
        self._refused.append(actor)
        return [Lost(number, reason, counted=False) for _, number in self._pieces.pop(actor)]

    def _report(self, reason: str) -> None:
        if reason != self._last_refusal:  # a node's actors all say the same
            say(f"  A node is not used: {reason}")
        self._last_refusal = reason

    def _report_lost(self) -> None:
        """Say how many actors have just been lost: all those of a node go at once."""
        if self._lost:
            number = counted(len(self._lost), "worker")
            say(f"  The cluster has lost {number}; others take the photos ({', '.join(sorted({*self._lost}))})")
        self._lost.clear()

    def _lose(self, actor: Any, reason: str) -> list[Event]:
        """Start another actor; return the events of the lost one's pieces, of which the first was being computed."""
        pieces = self._pieces.pop(actor)
        self._ray.kill(actor)
        self._start()
        self._lost.append(reason)
        why = "The worker that decoded this photo was lost"  # which error Ray gives differs from run to run
        return [Lost(number, why, counted=place == 0) for place, (_, number) in enumerate(pieces)]

    def _require_actors(self) -> None:
        if self._pieces:
            self._idle_since = time.monotonic()
        elif not self._starting:
            fix = "Give all nodes the same versions and files, and `ray start` the credentials of S3"
            raise SadclError(f"No node of the cluster can be used: {self._last_refusal}", fix=fix)
        elif time.monotonic() - self._idle_since > START_SECONDS:
            raise SadclError("The Ray cluster has started no worker", fix="`ray status` shows what it waits for")
