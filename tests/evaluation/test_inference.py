"""Value of metrics.json from scores."""

from pathlib import Path

import numpy as np

from sadcl import files
from sadcl.evaluation import inference
from sadcl.evaluation.scores import Scores


def test_test_photos_without_labels_and_with_corruptions_give_metrics_that_json_can_express(tmp_path: Path) -> None:
    nothing = np.zeros((4, 2), dtype=bool)
    logits = {name: np.zeros((4, 2), dtype=np.float32) for name in ("sadcl", "sadcl@blur", "sadcl@dark")}
    scores = Scores(
        [*"abcd"], [*"abcd"], ("cat", "dog"), nothing, nothing, logits=logits,
        training_overlap={"sadcl": 0}, cost={"sadcl": {"bytes": 1, "parameters": 1}},
    )  # fmt: skip
    summary = inference.summary(scores, 0.5, "raw")
    assert summary["sadcl"]["robustness"] == {"blur": None, "dark": None, "kept": None}
    files.write_json(tmp_path / "metrics.json", summary)
