"""Photos that threads read and decode ahead of the network, in batches.

A photo's place in its batch follows from its index, and every batch has the same size. The kernels of a network choose
their order of summation by these, so a result has the same bits whoever computes it, and with whatever other photos.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, groupby
from typing import TypeVar

from sadcl.processes import read_ahead

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 64
"""Photos that are decoded ahead of the network."""
GROUP = 4
"""Photos that a thread takes at a time: handing them over one by one costs a fifth of their decoding."""


def batches(
    pool: ThreadPoolExecutor, load: Callable[[T], tuple[int, R]], photos: Sequence[T], size: int
) -> Iterator[list[tuple[int, R]]]:
    """Load photos ahead of their use.

    Args:
        pool: of threads.
        load: from a photo to its index and what was read of it.
        photos: by ascending index.
        size: of a batch, in which the photo of index i has the place i modulo ``size``.

    Yields:
        Indexes and contents of the photos of one batch.
    """
    groups = [photos[first : first + GROUP] for first in range(0, len(photos), GROUP)]
    loaded = read_ahead(pool, lambda group: [load(photo) for photo in group], groups, AHEAD // GROUP)
    for _, batch in groupby(chain.from_iterable(loaded), lambda photo: photo[0] // size):
        yield list(batch)
