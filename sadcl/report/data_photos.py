"""Selection of photos for the data report, from the table alone; the same table gives the same photos."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sadcl.data import listed_photos
from sadcl.data.images import decode
from sadcl.data.table import Table
from sadcl.errors import SadclError
from sadcl.report import html

SIDE = 128
"""Pixels of the long side of an image in the page."""
MAX_SAMPLES = 500
"""Most classes with a sample photo; the most frequent ones."""
OUTLIERS_OF_A_KIND = 6
"""Photos shown of each kind of outlier."""
MAX_PAIRS = 12
"""Most look-alikes in the page."""
OUTLIERS = {
    "darkest": ("brightness", True, "brightness {:.0f} of 255"),
    "brightest": ("brightness", False, "brightness {:.0f} of 255"),
    "least sharp": ("sharpness", True, "sharpness {:.1f}"),
    "smallest": ("side", True, "shorter side {:.0f} px"),
}


@dataclass(frozen=True)
class Picture:
    """A photo in the page: its image as a data URL, and a caption."""

    image_id: str
    caption: str
    address: str


class PhotoAlbum:
    """Thumbnails of a table's photos, each made once."""

    def __init__(self, root: Path, table: Table) -> None:
        """Open a table whose source is under ``root``."""
        self._folder = root / table.source
        self._addresses: dict[str, str] = {}

    def picture(self, image_id: str, file: str, caption: str) -> Picture:
        """Read a photo and scale it down.

        Raises:
            SadclError: the photo was deleted or damaged after ingest.
        """
        if file not in self._addresses:
            path = listed_photos.locate(self._folder, file)
            try:
                # no limit of pixels: ingest has checked it for this photo
                image = decode.decode(path.read_bytes(), at_least=SIDE, max_pixels=1 << 62, where=path)
            except OSError as error:
                message, fix = f"The photo can no longer be read: {error.strerror}", "Run `dvc repro`"
                raise SadclError(message, where=path, fix=fix) from None
            image.thumbnail((SIDE, SIDE))
            self._addresses[file] = html.address(image, quality=70)
        return Picture(image_id, caption, self._addresses[file])


def usable(table: Table) -> pd.DataFrame:
    """Rows with a readable photo, numbered from 0, with its shorter ``side``."""
    frame = table.frame[table.frame["problem"].isna()].reset_index(drop=True)
    return frame.assign(side=frame[["width", "height"]].min(axis=1))


def samples(frame: pd.DataFrame, order: np.ndarray) -> Iterator[tuple[int, int]]:
    """For each class the photo with the fewest other labels that is not used for another class.

    Args:
        frame: rows of the table.
        order: classes.

    Yields:
        Class and row.
    """
    by_class: dict[int, list[int]] = {}
    fewest_labels = np.lexsort(
        (frame["sha256"].astype(str), frame["labels"].map(len))
    )  # digests break ties at random, but reproducibly
    for row, labels in zip(fewest_labels.tolist(), frame["labels"].iloc[fewest_labels], strict=True):
        for label in labels:
            by_class.setdefault(int(label), []).append(row)
    used: set[int] = set()
    for label in order.tolist():
        rows = by_class.get(label, [])
        row = next((row for row in rows if row not in used), rows[0] if rows else None)
        if row is not None:
            used.add(row)
            yield label, row


def outliers(frame: pd.DataFrame) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Kinds of outlier, each with its most extreme rows and their captions."""
    for title, (column, ascending, caption) in OUTLIERS.items():
        order = frame[column].sort_values(ascending=ascending, kind="stable").index[:OUTLIERS_OF_A_KIND]
        yield title, [(int(row), caption.format(frame[column].iloc[row])) for row in order]
