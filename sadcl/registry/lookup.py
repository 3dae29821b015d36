"""Lookup of models and versions in the registry."""

from typing import TYPE_CHECKING

from sadcl.errors import SadclError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def address(version: "ModelVersion") -> str:
    """``models:/NAME/VERSION``."""
    return f"models:/{version.name}/{version.version}"


def versions(client: "MlflowClient", name: str, beginning: bool = False) -> list["ModelVersion"]:
    """All versions of a model, or of all models whose names begin like this."""
    wanted = f"name LIKE '{name}%'" if beginning else f"name='{name}'"
    found: list[ModelVersion] = []
    token = None
    while True:
        page = client.search_model_versions(wanted, max_results=200, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def version_with_alias(client: "MlflowClient", name: str, alias: str) -> "ModelVersion | None":
    """The version that has an alias; None where nobody has, or where there is no such model."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def version(client: "MlflowClient", name: str, number: str | int) -> "ModelVersion":
    """A version by its number.

    Raises:
        SadclError: it is no number, or there is no such version.
    """
    from mlflow.exceptions import MlflowException

    known = "`sadcl status` says who challenges"
    if not str(number).isdecimal():
        raise SadclError(f"A version is a number, but it is {str(number)!r}", where=name, fix=known)
    try:
        return client.get_model_version(name, str(number))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise SadclError(f"There is no version {number} of {name}", fix=known) from None
        raise
