"""Which photos the data report shows; all of it from the table, and always the same ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sadcl.data.images import decode
from sadcl.data.splits import near_duplicates as duplicates
from sadcl.data.table import Table
from sadcl.data.validation.frames import is_distinctive
from sadcl.errors import SadclError
from sadcl.report import html

SIDE = 128
"""Pixels of the long side of a picture in the page."""
SAMPLES = 500
"""Classes that get a photo, the most frequent first."""
SHOWN = 6
"""Photos of each kind of outlier."""
PAIRS = 12
"""Near-duplicates that are shown."""
OUTLIERS = {
    "the darkest": ("brightness", True, "brightness {:.0f} of 255"),
    "the brightest": ("brightness", False, "brightness {:.0f} of 255"),
    "the least sharp": ("sharpness", True, "sharpness {:.1f}"),
    "the smallest": ("side", True, "shorter side {:.0f} px"),
}


@dataclass(frozen=True)
class Picture:
    """A photo in the page: its picture as a data address, and what is said of it."""

    image_id: str
    words: str
    address: str


class Album:
    """Makes pictures of a table's photos, each once."""

    def __init__(self, root: Path, table: Table) -> None:
        """Open a table whose source stands under ``root``."""
        self._folder = root / table.source
        self._made: dict[str, str] = {}

    def picture(self, image_id: str, file: str, words: str) -> Picture:
        """Read a photo and make it small.

        Raises:
            SadclError: it is gone or damaged since ingest.
        """
        if file not in self._made:
            path = self._folder / file
            try:
                # no bound on pixels: ingest has held this photo against it
                image = decode.decode(path.read_bytes(), at_least=SIDE, max_pixels=1 << 62, where=path)
            except OSError as error:
                what, fix = f"The photo can't be read any more: {error.strerror}", "Run `dvc repro` again"
                raise SadclError(what, where=path, fix=fix) from None
            image.thumbnail((SIDE, SIDE))
            self._made[file] = html.address(image, quality=70)
        return Picture(image_id, words, self._made[file])


def usable(table: Table) -> pd.DataFrame:
    """The rows whose photos can be shown, numbered from 0, with their shorter ``side``."""
    frame = table.frame[table.frame["problem"].isna()].reset_index(drop=True)
    return frame.assign(side=frame[["width", "height"]].min(axis=1))


def samples(frame: pd.DataFrame, order: np.ndarray) -> Iterator[tuple[int, int]]:
    """For each of some classes, a photo with few other labels that no class before it took: class and row.

    Args:
        frame: rows of the table.
        order: classes.
    """
    by_class: dict[int, list[int]] = {}
    few = np.lexsort((frame["sha256"].astype(str), frame["labels"].map(len)))  # a digest is as good as a lot
    for row, labels in zip(few.tolist(), frame["labels"].iloc[few], strict=True):
        for label in labels:
            by_class.setdefault(int(label), []).append(row)
    taken: set[int] = set()
    for label in order.tolist():
        rows = by_class.get(label, [])
        row = next((row for row in rows if row not in taken), rows[0] if rows else None)
        if row is not None:
            taken.add(row)
            yield label, row


def outliers(frame: pd.DataFrame) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """By kind, the rows furthest out and what is measured there."""
    for title, (column, ascending, words) in OUTLIERS.items():
        order = frame[column].sort_values(ascending=ascending, kind="stable").index[:SHOWN]
        yield title, [(int(row), words.format(frame[column].iloc[row])) for row in order]


def near_duplicates(frame: pd.DataFrame) -> list[tuple[int, int, int]]:
    """Photos of train and select and the photo of test that each looks like, the likest first.

    Returns:
        Two rows and the bits in which their hashes differ.
    """
    known, test = is_distinctive(frame).to_numpy(), (frame["split"] == "test").to_numpy()
    ours, theirs = np.flatnonzero(known & ~test), np.flatnonzero(known & test)
    hashes = frame["phash"].to_numpy(np.uint64)
    near = duplicates.nearest(hashes[ours], hashes[theirs])
    ours, theirs = ours[near >= 0], theirs[near[near >= 0]]
    apart = np.bitwise_count(hashes[ours] ^ hashes[theirs])
    order = np.argsort(apart, kind="stable")
    return [(int(ours[i]), int(theirs[i]), int(apart[i])) for i in order]
