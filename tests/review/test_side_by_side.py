"""Comparison of a version with the champion, photo by photo."""

from dataclasses import replace
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


def test_photos_are_compared_by_their_ids_in_whatever_order_a_file_lists_them(tmp_path: Path) -> None:
    ids, targets = [f"photo {i}" for i in range(8)], np.ones((8, 1), bool)
    better = np.where(np.arange(8) == 2, 3, -1).astype(np.float32)[:, None]
    version = scores.Scores(ids, ["c" * 64] * 8, ("cat",), targets, ~targets, logits={"sadcl": better})
    champion = replace(version, logits={"sadcl": np.where(np.arange(8) == 5, 3, -1).astype(np.float32)[:, None]})
    scores.write_scores(tmp_path / "version", version)
    scores.write_scores(tmp_path / "champion", champion.part(np.array([5, 7, 0, 2, 1, 3, 6, 4])))
    compared = side_by_side.compare(tmp_path / "version", tmp_path / "champion", 0.5)
    assert [photo["image_id"] for photo in compared["better"]] == ["photo 2"]
    assert [photo["image_id"] for photo in compared["worse"]] == ["photo 5"]
