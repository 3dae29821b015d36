"""Predictions of a finished job, sorted by path."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sadcl.batch import parts, summary
from sadcl.errors import SadclError


@dataclass(frozen=True)
class Predictions:
    """Predictions of N photos.

    Attributes:
        classes: names, in the order of the probabilities.
        table: columns ``path``, ``bytes``, ``version``, ``labels``, ``probabilities`` and ``error``.
    """

    classes: tuple[str, ...]
    table: pa.Table

    def __len__(self) -> int:
        return len(self.table)

    @property
    def paths(self) -> list[str]:
        """Paths below the place."""
        paths: list[str] = self.table["path"].to_pylist()
        return paths

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Calibrated probabilities [N, C]; NaN for photos without prediction."""
        column = self.table["probabilities"].combine_chunks()
        missing = pa.scalar([float("nan")] * len(self.classes), column.type)
        values: NDArray[np.float32] = column.fill_null(missing).flatten().to_numpy().reshape(-1, len(self.classes))
        return values

    @property
    def errors(self) -> dict[str, str]:
        """Reasons of photos without prediction, by path."""
        failed = self.table.filter(self.table["error"].is_valid())
        return dict(zip(failed["path"].to_pylist(), failed["error"].to_pylist(), strict=True))


def read(folder: str | Path) -> Predictions:
    """Read all predictions of a job into memory.

    Args:
        folder: that ``sadcl predict --out`` wrote.

    Raises:
        SadclError: the job has not finished, or a part is missing or damaged.
    """
    about = summary.read(Path(folder))
    tables = [parts.PART.empty_table(), *(part.table for part in batches(folder))]
    return Predictions(tuple(about["classes"]), pa.concat_tables(tables))


def batches(folder: str | Path) -> Iterator[Predictions]:
    """Read the predictions of a job part by part, some thousand photos at a time.

    Args:
        folder: that ``sadcl predict --out`` wrote.

    Raises:
        SadclError: the job has not finished, or a part is missing or damaged.
    """
    about = summary.read(Path(folder))
    classes = tuple(about["classes"])
    for listed in about["parts"]:
        part = parts.read(Path(folder) / listed["file"])
        if part.about["photos"] != listed["photos"]:
            fix = "Run `sadcl predict` again"
            raise SadclError("The part is not the one that the summary names", where=part.path, fix=fix)
        yield Predictions(classes, part.table().replace_schema_metadata(None))
