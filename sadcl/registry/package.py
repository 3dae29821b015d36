"""A model in MLflow's form: code and weights, no pickle, with the package that reads them."""

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
REQUIRED = (*lineage.PACKAGES, "psutil", "pyyaml", "rich")
"""Distributions that a process needs to tag photos with the package that the model carries."""


def log(made: StageOutputs, run_id: str) -> "ModelInfo":
    """Store the model with a run.

    Returns:
        MLflow's description, with the id and the address of the stored model.
    """
    import mlflow

    with tempfile.TemporaryDirectory() as folder, mlflow.start_run(run_id=run_id):
        info: ModelInfo = mlflow.pyfunc.log_model(
            name=made.name,
            python_model=str(CODE),
            artifacts={"weights": str(made.root / made.file)},
            code_paths=[str(_package(Path(folder)))],
            signature=signature(),
            input_example=example(made),
            pip_requirements=[f"{name}=={version}" for name, version in lineage.versions(_required(made)).items()],
        )
    return info


def _required(made: StageOutputs) -> tuple[str, ...]:
    return (*REQUIRED, "onnx", "onnxruntime") if made.file == ONNX else REQUIRED


def signature() -> Any:
    """A column of bytes in, two columns of lists out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    labels, probabilities = Array(DataType.string), Array(DataType.double)
    outputs = Schema([ColSpec(labels, "labels"), ColSpec(probabilities, "probabilities")])
    return ModelSignature(inputs=Schema([ColSpec(DataType.binary, "image")]), outputs=outputs)


def example(made: StageOutputs) -> Any:
    """A table with one small generated photo; nobody's own photo leaves the project this way."""
    import pandas as pd
    from PIL import Image

    side = int(made.head["preprocessing"]["side"])
    photo = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).convert("RGB").save(photo, format="JPEG", quality=80)
    return pd.DataFrame({"image": [photo.getvalue()]})


def _package(folder: Path) -> Path:
    """A copy of this package's code, without caches and pages."""

    def unwanted(where: str, inside: list[str]) -> list[str]:
        return [name for name in inside if not (name.endswith(".py") or (Path(where) / name).is_dir()) or name[0] == "."
                or name == "__pycache__"]  # fmt: skip

    return Path(shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=unwanted))
