"""What a trainer needs to go on where it was, kept under ``.sadcl/state/DIGEST``."""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

import sadcl
from sadcl import files, layout
from sadcl.errors import SadclError


class State:
    """The state of one training, on disk: written whole, found again by the digest of its inputs."""

    def __init__(self, inputs: Mapping[str, Any], folder: Path = layout.TRAINING_STATE) -> None:
        """Args:
        inputs: everything that decides the result (settings, digests of data and of the start); the
            code of the rooms that compute is added here.
        folder: where states live.
        """
        self.path = folder / files.digest_of({**inputs, "code": code()})[:32]
        self.every = float(os.environ.get("SADCL_STATE_SECONDS", "600"))
        self._saved = time.monotonic()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold this state: never two trainers on one."""
        with files.lock(self.path / "lock", "training this model"):
            yield

    def due(self) -> bool:
        """Whether it is time to save within an epoch."""
        return time.monotonic() - self._saved >= self.every

    def save(self, value: Mapping[str, Any]) -> None:
        """Keep ``value`` (tensors, numbers, text, lists, dictionaries).

        Raises:
            SadclError: the disk is full; what was kept before stays.
        """
        with files.atomic_write(self.path / "state.pt") as beside, open(beside, "wb") as file:
            _write(value, file)
        self._saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """What was kept last, or nothing.

        Raises:
            SadclError: the file is damaged.
        """
        file = self.path / "state.pt"
        if not file.exists():
            return None
        try:
            value: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise SadclError(
                f"The state of an interrupted training is damaged: {error}", where=file, fix="Delete it to start anew"
            ) from None
        return value

    def remove(self) -> None:
        """Forget this training: its result stands elsewhere."""
        shutil.rmtree(self.path, ignore_errors=True)


TRAINS = ("data/images", "data/shards", "model", "training")
"""Packages whose code decides the result of a training; an interrupted one goes on only under the same code."""


def _write(value: Mapping[str, Any], file: IO[bytes]) -> None:
    """Torch hides a disk that takes no more behind a RuntimeError about positions; the disk's own error is raised."""
    try:
        torch.save(dict(value), file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def code() -> str:
    """Digest of the code that decides what a training gives."""
    home = Path(sadcl.__file__).parent
    sources = sorted(path for package in TRAINS for path in (home / package).rglob("*.py"))
    return files.digest_of({str(p.relative_to(home)): files.digest(p) for p in sources})
