"""The engine of one machine: worker processes that are started again when they end."""

from multiprocessing.connection import wait

import pyarrow as pa

from sadcl.batch.engines.process import AHEAD, WorkerProcess
from sadcl.batch.lease import Event, Lost
from sadcl.batch.worker import Spec
from sadcl.errors import SadclError

MOST_STARTS = 3
"""Workers that may end one after the other before they were ready."""
LONGEST_WAIT = 0.5
"""Seconds between looks at photos that take long."""


class LocalEngine:
    """Worker processes on this machine.

    Args:
        spec: of the job.
        environments: further variables of each worker; their number is that of the workers.
    """

    def __init__(self, spec: Spec, environments: list[dict[str, str]]) -> None:
        self._spec = spec
        self._workers = [(WorkerProcess(spec, variables), variables) for variables in environments]
        self._failed_starts = 0

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
            SadclError: workers end before they are ready, or refuse to start.
        """
        talking = wait([worker.connection for worker, _ in self._workers], min(LONGEST_WAIT, self._spec.seconds / 4))
        events: list[Event] = []
        for place, (worker, _) in enumerate(self._workers):
            received = worker.receive() if worker.connection in talking else []
            if received is None:
                events += self._replace(place)
            elif received:
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
        last_words = worker.last_words()
        worker.close()
        if self._failed_starts >= MOST_STARTS:
            fix = "Check the memory of this machine, or use fewer --workers"
            raise SadclError(f"Workers end before they are ready: {last_words}", fix=fix)
        self._workers[place] = (WorkerProcess(self._spec, variables), variables)
        return events
