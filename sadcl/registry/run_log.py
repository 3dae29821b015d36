"""Settings and figures of a release as an MLflow run shows them."""

import json
import time
from typing import TYPE_CHECKING

from sadcl import layout
from sadcl.registry.release import Release

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARAMS_PER_CALL, METRICS_PER_CALL = 100, 1000
"""The most that MLflow takes in one call."""


def log_settings(client: "MlflowClient", release: Release, run_id: str) -> None:
    """Log all of params.yaml."""
    from mlflow.entities import Param

    params = [Param(name, value) for name, value in release.settings.items()]
    for start in range(0, len(params), PARAMS_PER_CALL):
        client.log_batch(run_id, params=params[start : start + PARAMS_PER_CALL])


def log_metrics(client: "MlflowClient", release: Release, run_id: str, model_id: str) -> None:
    """Log test figures, tied to the model and the test set, and training curves by epoch."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric

    source, now = str(release.outputs.settings["ingest"]["source"]), int(time.time() * 1000)
    datasets = {
        split: Dataset(
            f"{source}-{split}", digest[:32], "local", json.dumps({"uri": (layout.SHARDS / split).as_posix()})
        )
        for split, digest in release.datasets.items()
    }
    inputs = [DatasetInput(data, [InputTag("mlflow.data.context", split)]) for split, data in datasets.items()]
    client.log_inputs(run_id, inputs)
    test = datasets["test"]
    metrics = [
        Metric(
            name, value, now, 0, model_id=model_id, dataset_name=test.name, dataset_digest=test.digest, run_id=run_id
        )
        for name, value in release.metrics.items()
    ]
    metrics += [Metric(point.name, point.value, now, point.epoch) for point in release.curves]
    for start in range(0, len(metrics), METRICS_PER_CALL):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_CALL])
