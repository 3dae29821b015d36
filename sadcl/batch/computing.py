"""Choice of who computes the scores of stages: this process, or workers where ``SADCL_ENGINE`` names an engine."""

from collections.abc import Iterator
from contextlib import contextmanager

from sadcl import processes
from sadcl.evaluation.passes import Compute, compute_here
from sadcl.layout import SCORING_CACHE


@contextmanager
def chosen() -> Iterator[Compute]:
    """The function that computes logits; what workers have computed is kept until the block ends without an error.

    Raises:
        SadclError: the variable names no engine.
    """
    engine = processes.engine()
    if engine is None:
        yield compute_here
        return
    from sadcl.batch.scoring import Scoring

    scoring = Scoring(engine, SCORING_CACHE)
    yield scoring.compute
    scoring.clear()
