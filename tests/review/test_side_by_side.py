"""Comparison of a version with the champion, photo by photo."""

from pathlib import Path

import numpy as np

from sadcl.evaluation import scores
from sadcl.evaluation.calibration import Calibration
from sadcl.review import side_by_side


def test_a_label_above_its_own_threshold_is_right_where_the_photo_has_it(tmp_path: Path) -> None:
    """A probability of 0.35 is a label where the class has a threshold of 0.2, and none at 0.5."""
    targets, paths = np.ones((4, 1), bool), [tmp_path / "version.parquet", tmp_path / "champion.parquet"]
    for path, probability, threshold in zip(paths, (0.35, 0.25), (0.2, 0.5), strict=True):
        logits = np.full((4, 1), np.log(probability / (1 - probability)), np.float32)
        fitted = Calibration(np.ones(1), np.zeros(1), np.full(1, threshold))
        ids = [f"photo {i}" for i in range(4)]
        written = scores.Scores(
            ids, ["c" * 64] * 4, ("cat",), targets, ~targets, logits={"sadcl": logits}, decisions={"sadcl": fitted}
        )
        scores.write_scores(path, written)
    photo = side_by_side.compare(*paths, 0.5)["better"][0]
    assert (photo["version_is_right"], photo["champion_is_right"]) == (True, False)
