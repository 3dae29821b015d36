"""MLflow model of the weights: no pickle, with a copy of the package that reads them."""

import io
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl.registry import lineage
from sadcl.registry.stage_outputs import ONNX, StageOutputs

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

PACKAGE = Path(__file__).parent.parent
CODE = Path(__file__).with_name("pyfunc_model.py")
REQUIRED = (*lineage.PACKAGES, "packaging", "psutil", "pyyaml", "rich")
"""Distributions that a process needs to predict with the package that the model carries."""


def log(outputs: StageOutputs, run_id: str) -> "ModelInfo":
    """Store the model with a run.

    Returns:
        MLflow's description, with the id and the address of the stored model.
    """
    import mlflow

    with tempfile.TemporaryDirectory() as folder, mlflow.start_run(run_id=run_id):
        info: ModelInfo = mlflow.pyfunc.log_model(
            name=outputs.name,
            python_model=str(CODE),
            artifacts={"weights": str(outputs.root / outputs.file)},
            code_paths=[str(_package(Path(folder)))],
            signature=signature(),
            input_example=example(outputs),
            pip_requirements=[f"{name}=={version}" for name, version in lineage.versions(_required(outputs)).items()],
        )
    return info


def _required(outputs: StageOutputs) -> tuple[str, ...]:
    return (*REQUIRED, "onnx", "onnxruntime") if outputs.file == ONNX else REQUIRED


def signature() -> Any:
    """Signature of the model: a column of bytes in, two columns of lists out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    labels, probabilities = Array(DataType.string), Array(DataType.double)
    outputs = Schema([ColSpec(labels, "labels"), ColSpec(probabilities, "probabilities")])
    return ModelSignature(inputs=Schema([ColSpec(DataType.binary, "image")]), outputs=outputs)


def example(outputs: StageOutputs) -> Any:
    """Input example: a table with one small generated photo, since no photo of the data may leave the project."""
    import pandas as pd
    from PIL import Image

    side = int(outputs.head["preprocessing"]["side"])
    photo = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).convert("RGB").save(photo, format="JPEG", quality=80)
    return pd.DataFrame({"image": [photo.getvalue()]})


def _package(folder: Path) -> Path:
    """Copy the Python files of this package, without caches and static files."""

    def unwanted(folder: str, names: list[str]) -> list[str]:
        return [
            name
            for name in names
            if not (name.endswith(".py") or (Path(folder) / name).is_dir()) or name[0] == "." or name == "__pycache__"
        ]

    return Path(shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=unwanted))
