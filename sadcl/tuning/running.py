"""A running trial: its heartbeat, its reports, and its result, over outages of the storage."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sadcl.errors import SadclError
from sadcl.progress import say
from sadcl.tuning import storage
from sadcl.tuning.storage import SharedStudy

if TYPE_CHECKING:
    import optuna
    from optuna.trial import TrialState


class TakenOverError(Exception):
    """The trial was given to another process, since this one gave no sign of life for ``GRACE`` seconds."""


class RunningTrial:
    """A trial that this process runs.

    Args:
        shared: its study.
        trial: as claimed.
    """

    def __init__(self, shared: SharedStudy, trial: "optuna.Trial") -> None:
        self.shared, self.trial, self.number = shared, trial, trial.number
        self._unsent: list[tuple[int, float]] = []

    def report(self, epoch: int, value: float) -> None:
        """Report an epoch's select mAP; during an outage it waits, and is sent with a later one.

        Raises:
            optuna.TrialPruned: the value is below the median of the same epoch.
            TakenOverError: another process has the trial.
            StorageAwayError: the storage has not answered for ten minutes.
        """
        import optuna

        self._unsent.append((epoch, finite(value)))
        with storage.silence_warnings():
            prune = self.shared.outage.attempt(self._send_and_ask)
        if prune:
            say(f"trial {self.number}: pruned after epoch {epoch + 1}, below the median")
            raise optuna.TrialPruned

    def finish(self, state: "TrialState", value: float | None = None, attributes: dict[str, Any] | None = None) -> None:
        """Store the result, with attributes of the trial; waits for a storage that does not answer.

        Raises:
            TakenOverError: another process has the trial.
            StorageAwayError: the storage has not answered for ten minutes.
        """
        with storage.silence_warnings():
            self.shared.outage.wait(lambda: self._store(state, value, attributes or {}))

    def abandon(self) -> None:
        """Fail the trial at once, so that another process runs it again; an error where the storage does not answer."""
        from optuna.trial import TrialState

        self.shared.study.tell(self.trial, state=TrialState.FAIL, skip_if_finished=True)

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Give signs of life until the block ends."""
        end = threading.Event()
        thread = threading.Thread(target=self._beat, args=(end,), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def _send(self) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            while self._unsent:
                epoch, value = self._unsent[0]
                self.trial.report(value, epoch)
                del self._unsent[0]
        except UpdateFinishedTrialError:
            raise TakenOverError from None

    def _send_and_ask(self) -> bool:
        """Send the reports; whether the trial should be pruned."""
        self._send()
        return self.trial.should_prune()

    def _store(self, state: "TrialState", value: float | None, attributes: dict[str, Any]) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            self._send()
            for name, content in attributes.items():
                self.trial.set_user_attr(name, content)
            self.shared.study.tell(self.trial, value, state)
        except (TakenOverError, UpdateFinishedTrialError, ValueError):
            stored = self.shared.storage.get_trial(self.trial._trial_id)
            # of an earlier attempt the answer may have been lost, and not the result
            if stored.state != state or not attributes.items() <= stored.user_attrs.items():
                raise TakenOverError from None

    def _record(self) -> bool:
        self.shared.storage.record_heartbeat(self.trial._trial_id)
        return True

    def _beat(self, end: threading.Event) -> None:
        outage, wait = self.shared.outage, float(storage.HEARTBEAT)
        while not end.wait(wait):
            try:
                alive = outage.attempt(self._record)
            except SadclError:
                # the training's own next report raises it
                alive = None
            # soon after an outage, before another process takes the trial over
            wait = float(storage.HEARTBEAT) if alive else outage.pause
        self.shared.storage.remove_session()


def finite(value: float) -> float:
    """Check a select mAP: Optuna takes none that is not a number."""
    if not math.isfinite(value):
        raise SadclError(
            "The select mAP is no number", where="select", fix="Label photos of the select split, then run `dvc repro`"
        )
    return value
