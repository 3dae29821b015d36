"""Loader of a registered model: MLflow runs this file, which hands over to the installed sadcl."""

from mlflow.models import set_model

try:
    from sadcl.registry.pyfunc_model import Served
except ModuleNotFoundError as error:
    if not str(error.name).startswith("sadcl"):
        raise
    reason = "This model is computed by the package sadcl; install the version that artifacts/code.json names"
    raise ImportError(reason) from None

set_model(Served())
