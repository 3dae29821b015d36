"""State of interrupted trainings on disk, under ``.sadcl/state/DIGEST``."""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

from sadcl import files, layout, processes
from sadcl.errors import SadclError

CODE = (
    "data/images", "data/shards", "data/table.py", "data/text_column.py", "evaluation/blocks.py",
    "evaluation/metrics.py", "model", "training", "weights/checkpoint.py", "weights/file_head.py",
    "weights/initial.py", "weights/training_photos.py",
)  # fmt: skip
"""Code that determines the result of a training; a training resumes under equal code only."""
STATE_SECONDS = "SADCL_STATE_SECONDS"
"""Environment variable: seconds between two saves of the state within an epoch."""


class State:
    """The state of one training, in a folder named by the digest of the training's inputs.

    Args:
        inputs: everything that determines the result: settings, digests of data and initial weights. The digest of the
            code is added here.
        folder: of all states.
    """

    def __init__(self, inputs: Mapping[str, Any], folder: Path = layout.TRAINING_STATE) -> None:
        self.path = folder / files.digest_of({**inputs, "code": code()})[:32]
        self.interval = processes.seconds(STATE_SECONDS, 600.0)
        self._saved = time.monotonic()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock this state against a second trainer.

        Raises:
            SadclError: another process has the lock.
        """
        with files.lock(self.path / "lock", "training this model"):
            yield

    def due(self) -> bool:
        """Whether the state should be saved within an epoch (every ``SADCL_STATE_SECONDS``, by default 600)."""
        return time.monotonic() - self._saved >= self.interval

    def save(self, value: Mapping[str, Any]) -> None:
        """Write ``value`` (tensors, numbers, text, lists, dictionaries).

        Raises:
            SadclError: the disk is full; the previous state stays.
        """
        with files.atomic_write(self.path / "state.pt") as temporary_path, open(temporary_path, "wb") as file:
            _write(value, file)
        self._saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Read the last saved state; None where there is none.

        Raises:
            SadclError: the file is damaged.
        """
        file = self.path / "state.pt"
        if not file.exists():
            return None
        try:
            # on the CPU: random states are accepted nowhere else, and the trainer copies tensors into its own. Weights
            # only: a pickle could run code.
            value: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        # damaged bytes make torch, pickle and zip raise almost anything
        except Exception as error:
            raise SadclError(
                f"The state of an interrupted training is damaged: {error}",
                where=file,
                fix="Delete it to train from the start",
            ) from None
        return value

    def remove(self) -> None:
        """Delete the state; the result of the training is stored elsewhere."""
        shutil.rmtree(self.path, ignore_errors=True)


def _write(value: Mapping[str, Any], file: IO[bytes]) -> None:
    """Save with torch; raise the disk's own error, which torch hides in a RuntimeError about file positions."""
    try:
        torch.save(dict(value), file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def code() -> str:
    """Digest of the code that determines the result of a training."""
    return files.digest_of_code(*CODE)
