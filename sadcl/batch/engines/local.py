"""The engine of one machine: worker processes that are started again when they end."""

from multiprocessing.connection import wait

import pyarrow as pa

from sadcl.batch.engines.process import AHEAD, WorkerProcess, ending
from sadcl.batch.lease import Done, Event, Lost
from sadcl.batch.spec import Spec
from sadcl.errors import SadclError

MOST_STARTS = 3
"""Workers that may end one after the other before they were ready."""
MOST_LOSSES = 10
"""Ready workers that may end one after the other without a result: one photo that crashes them ends fewer."""
LONGEST_WAIT = 0.5
"""Seconds between looks at photos that take long."""


class LocalEngine:
    """Worker processes on this machine.

    Args:
        spec: of the job.
        environments: further variables of each worker; their number is that of the workers.

    Raises:
        SadclError: the system starts no further process.
    """

    def __init__(self, spec: Spec, environments: list[dict[str, str]]) -> None:
        self._spec = spec
        self._workers: list[tuple[WorkerProcess, dict[str, str]]] = []
        self._failed_starts = self._losses = 0
        try:
            for variables in environments:
                self._workers.append((WorkerProcess(spec, variables), variables))
        except SadclError:
            self.close()
            raise

    def room(self) -> bool:
        """Whether a worker takes another piece."""
        return any(worker.pending < AHEAD for worker, _ in self._workers)

    def submit(self, number: int, rows: pa.Table) -> None:
        """Hand a piece to the worker with the fewest."""
        worker = min((worker for worker, _ in self._workers), key=lambda worker: worker.pending)
        worker.submit(number, rows)

    def wait(self) -> list[Event]:
        """Wait for messages of workers, and end those that decode a photo for too long.

        Raises:
            SadclError: workers end before they are ready or without any result, or refuse to start.
        """
        talking = wait([worker.connection for worker, _ in self._workers], min(LONGEST_WAIT, self._spec.seconds / 4))
        events: list[Event] = []
        for place, (worker, _) in enumerate(self._workers):
            received = worker.receive() if worker.connection in talking else []
            if received is None:
                self._losses += worker.is_ready and worker.pending > 0
                events += self._replace(place)
            elif received:
                self._losses = 0 if any(isinstance(event, Done) for event in received) else self._losses
                events += received
            elif late := worker.late():
                worker.stop()
                # the others of its pieces are not to blame
                events += [late, *(event for event in self._replace(place) if event.number != late.number)]
        return events

    def wait_until_ready(self) -> None:
        """Wait until all workers have loaded the model.

        Raises:
            SadclError: workers end before they are ready, or refuse to start.
        """
        while not all(worker.is_ready for worker, _ in self._workers):
            self.wait()

    def close(self) -> None:
        """End all workers."""
        for worker, _ in self._workers:
            worker.close()

    def _replace(self, place: int) -> list[Lost]:
        """Start another worker in place of one that has ended; return the events of its pieces."""
        worker, variables = self._workers[place]
        events = worker.lost()
        self._failed_starts = 0 if worker.is_ready else self._failed_starts + 1
        last_words = worker.last_words() or f"they leave no message ({ending(worker.stop())})"
        worker.close()
        if self._failed_starts >= MOST_STARTS or self._losses >= MOST_LOSSES:
            when = "before they are ready" if self._failed_starts else "one after the other, without any result"
            fix = "Check the memory of this machine, or use fewer workers"
            raise SadclError(f"Workers end {when}: {last_words}", fix=fix)
        self._workers[place] = (WorkerProcess(self._spec, variables), variables)
        return events
