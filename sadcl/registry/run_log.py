"""What a run shows: settings, figures tied to model and data, curves by epoch."""

import csv
import io
import json
import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sadcl.registry import lineage
from sadcl.registry.stage_outputs import HISTORIES, StageOutputs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, Metric

PARAMS_A_CALL, METRICS_A_CALL = 100, 1000
"""The most that MLflow takes at once."""


def log_settings(client: "MlflowClient", made: StageOutputs, run_id: str) -> None:
    """All of params.yaml, names joined by dots."""
    from mlflow.entities import Param

    flat = lineage.flat(made.settings).items()
    entries = [Param(key, value if isinstance(value, str) else json.dumps(value)) for key, value in flat]
    for start in range(0, len(entries), PARAMS_A_CALL):
        client.log_batch(run_id, params=entries[start : start + PARAMS_A_CALL])


def log(client: "MlflowClient", made: StageOutputs, run_id: str, model_id: str) -> None:
    """Test figures, tied to the model and the test set; curves by epoch."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = str(made.settings["ingest"]["source"])
    digests = {
        "test": str(made.metrics["digests"]["shards"]),
        **{k: v for k, v in (made.head.get("inputs") or {}).items() if k == "train"},
    }
    sets = {
        split: Dataset(f"{source}-{split}", digest[:32], "local", json.dumps({"uri": f"data/shards/{split}"}))
        for split, digest in digests.items()
    }
    inputs = [DatasetInput(data, [InputTag("mlflow.data.context", split)]) for split, data in sets.items()]
    client.log_inputs(run_id, inputs)
    entries = [*_test_metrics(made, run_id, model_id, sets["test"]), *_curves(made)]
    for start in range(0, len(entries), METRICS_A_CALL):
        client.log_batch(run_id, metrics=entries[start : start + METRICS_A_CALL])


def _test_metrics(made: StageOutputs, run_id: str, model_id: str, test: "Dataset") -> Iterator["Metric"]:
    """`mAP`, `top3/CF1`, ... of the model itself; `sarl/mAP`, ... of the others."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    for key, value in lineage.flat(made.metrics).items():
        if _is_number(value):
            name = key.removeprefix("sadcl.").replace(".", "/")
            yield Metric(
                name, float(value), now, 0, model_id=model_id, dataset_name=test.name, dataset_digest=test.digest,
                run_id=run_id,
            )  # fmt: skip


def _curves(made: StageOutputs) -> Iterator["Metric"]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    for stage, path in HISTORIES.items():
        text = (made.root / path).read_text(encoding="utf-8")
        for row in csv.DictReader(io.StringIO(text)):
            epoch = int(float(row.pop("epoch")))
            cells = {name: _number(cell) for name, cell in row.items()}
            yield from (Metric(f"{stage}/{name}", v, now, epoch) for name, v in cells.items() if v is not None)


def _number(cell: str) -> float | None:
    """A cell of history.csv; None where it is empty or no finite number."""
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
