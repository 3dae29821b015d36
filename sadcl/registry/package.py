"""MLflow model of the weights: no pickle, and no code but a fixed loader that hands over to the installed package."""

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import extras, files
from sadcl.registry import model_code, model_files
from sadcl.registry.stage_outputs import ONNX, StageOutputs

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

LOADER = Path(__file__).with_name(model_files.LOADER)


def log(outputs: StageOutputs, run_id: str) -> "ModelInfo":
    """Store the model with a run.

    Returns:
        MLflow's description, with the id and the address of the stored model.
    """
    import mlflow

    with tempfile.TemporaryDirectory() as folder, mlflow.start_run(run_id=run_id), _without_bytecode():
        code = Path(folder) / Path(model_files.CODE).name
        files.write_text(code, model_code.installed().text())
        info: ModelInfo = mlflow.pyfunc.log_model(
            name=outputs.name,
            python_model=str(LOADER),
            artifacts={"weights": str(outputs.root / outputs.file), "code": str(code)},
            signature=signature(),
            input_example=example(outputs),
            pip_requirements=[f"{name}=={version}" for name, version in extras.versions(_required(outputs)).items()],
        )
    return info


@contextmanager
def _without_bytecode() -> Iterator[None]:
    """Keep Python from writing compiled code: MLflow runs the loader in the folder that it then uploads."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _required(outputs: StageOutputs) -> tuple[str, ...]:
    return (*model_files.REQUIRED, *(model_files.ONNX_REQUIRED if outputs.file == ONNX else ()))


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
