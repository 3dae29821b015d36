"""Lookup of models and versions in the registry."""

from typing import TYPE_CHECKING

from sadcl.errors import SadclError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from sadcl.registry.personal_client import PersonalClient


def model_uri(version: "ModelVersion") -> str:
    """MLflow's address of a version, ``models:/NAME/VERSION``."""
    return f"models:/{version.name}/{version.version}"


def list_versions(client: "MlflowClient | PersonalClient", name: str, beginning: bool = False) -> list["ModelVersion"]:
    """All versions of a model, or of every model whose name begins with ``name``."""
    query = f"name LIKE '{name}%'" if beginning else f"name='{name}'"
    entities: list[ModelVersion] = []
    token = None
    while True:
        page = client.search_model_versions(query, max_results=200, page_token=token)
        entities += page
        token = page.token
        if not token:
            return entities


def version_with_alias(client: "MlflowClient", name: str, alias: str) -> "ModelVersion | None":
    """Version that has an alias; None where no version has it, or the model is missing."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def get_version(client: "MlflowClient", name: str, number: str | int) -> "ModelVersion":
    """Version of a model by its number.

    Raises:
        SadclError: it is no number, or the version is missing.
    """
    from mlflow.exceptions import MlflowException

    fix = "`sadcl status` shows the challenger"
    if not str(number).isdecimal():
        raise SadclError(f"A version is a number, not {str(number)!r}", where=name, fix=fix)
    try:
        return client.get_model_version(name, str(number))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise SadclError(f"There is no version {number} of {name}", fix=fix) from None
        raise
