"""Bootstrap of the difference between two rows of the comparison, over photos and seeds at once."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from sadcl.evaluation.bootstrap import FloatArray, typical

SHOWN = 1.96 + 0.84
"""Standard errors between zero and a difference that a test detects with a power of 80 % (5 % two-sided)."""
DRAWS = 10_000


class Paired(NamedTuple):
    """Difference between two models, paired by seed and photo, in percentage points.

    Attributes:
        difference: mean over the seeds.
        low: lower end of the 95 % interval over photos and seeds.
        high: upper end of the same interval.
        error: standard error over both.
        shows: the smallest true difference that such a comparison detects with a power of 80 % (5 % two-sided).
    """

    difference: float
    low: float
    high: float
    error: float
    shows: float


def paired(
    model: FloatArray, baseline: FloatArray, differences: FloatArray, positives: NDArray[np.int64], draws: int = DRAWS
) -> Paired:
    """Bootstrap the difference between two models over photos and seeds at once.

    Each draw takes one resample of the photos for both models, and S of the S seeds with replacement. A few seeds drawn
    from themselves vary too little, by a factor of (S - 1) / S in variance, and Student's t is wider than the normal
    distribution; both are corrected. So is the variance over photos, by P / (P - 1): AP is close to a mean over the
    class's P positives. The interval is the basic one: resampled mAP is biased upward, and reflecting the draws at the
    difference removes the bias. A single seed gives no variance over seeds: the interval is then over photos alone.
    ``benchmarks/coverage.py`` measures how often it holds the truth.

    Args:
        model: mAP of each seed on each resample of the photos [S, R].
        baseline: mAP of the other model [S, R], with the seeds of the same rows.
        differences: mAP of ``model`` less that of ``baseline`` on the photos themselves [S].
        positives: number of photos with each class [C]; classes without any are left out.
        draws: number of draws.
    """
    rng, (S, R) = np.random.default_rng(0), model.shape
    seeds, photos = rng.integers(S, size=(draws, S)), rng.integers(R, size=draws)
    wider = np.sqrt(S / (S - 1)) * stdtrit(S - 1, 0.975) / stdtrit(np.inf, 0.975) if S > 1 else 1.0
    # the photos' part is drawn for all seeds at once, since they share the photos; the seeds' part has a mean of 0,
    # since the difference is in the first part already
    over_photos, P = (model - baseline).mean(axis=0), typical(positives)
    centre = over_photos.mean()
    over_photos = centre + np.sqrt(1 / (1 - 1 / P)) * (over_photos - centre)
    drawn = over_photos[photos] + wider * (differences - differences.mean())[seeds].mean(axis=1)
    difference, (low, high) = float(differences.mean()), np.quantile(drawn, [0.025, 0.975])
    error = float(drawn.std(ddof=1))
    # reflected at the difference: the basic interval
    return Paired(difference, 2 * difference - float(high), 2 * difference - float(low), error, SHOWN * error)
