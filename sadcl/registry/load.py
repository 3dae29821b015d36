"""Load a model for use: from the registry, with its digests checked, or from a file."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sadcl import extras
from sadcl.errors import SadclError
from sadcl.registry import artifacts, lookup, model_code
from sadcl.registry.client import connect, registry_exists

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from sadcl.model.tagger import Tagger

SCHEME = "models:/"
_ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>[^/@]+)|@(?P<alias>[^/@]+))")


def load(source: str | Path, root: Path = Path(".")) -> "Tagger":
    """Load weights, preprocessing, class names and thresholds together.

    Args:
        source: ``models:/NAME/VERSION``, ``models:/NAME@alias``, a weights file, an ONNX file, or the folder of one.
        root: project whose registry has the model.

    Raises:
        SadclError: the model is missing, its file is not the one that was registered, it was registered with other code
            than the installed one, or an extra is missing.
    """
    with model_path(source, root) as path:
        from sadcl.weights import loader

        return loader.load_tagger(path)


@contextmanager
def model_path(source: str | Path, root: Path = Path(".")) -> Iterator[Path]:
    """Yield the path of a model; a registered one lies in a temporary folder until the block ends.

    Args:
        source: as ``load`` takes it; only an address of the registry is looked up.
        root: project whose registry has the model.

    Raises:
        SadclError: there is no such version, its file is not the one that was registered, it was registered with other
            code than the installed one, or an extra is missing.
    """
    text = str(source)
    if not text.startswith(SCHEME):
        yield Path(source)
        return
    extras.require("mlflow")  # before torch takes its time
    if not registry_exists(root):
        raise SadclError("Nothing is registered yet", where=text, fix="Run `sadcl register` first")
    with tempfile.TemporaryDirectory() as folder:
        with connect(root) as client:
            version = _version(client, text)
            model_code.require_installed(version)
            file = artifacts.fetch(client, version, artifacts.model(version), Path(folder))
        yield file


def _version(client: "MlflowClient", address: str) -> "ModelVersion":
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        raise SadclError(
            "This is not the address of a model", where=address, fix="Write models:/NAME/3 or models:/NAME@alias"
        )
    name, number, alias = parts["name"], parts["version"], parts["alias"]
    if number is not None:
        return lookup.get_version(client, name, number)
    version = lookup.version_with_alias(client, name, alias)
    if version is None:
        raise SadclError(
            f"No version of {name} has the alias {alias}", where=address, fix="`sadcl status` shows the aliases"
        )
    return version
