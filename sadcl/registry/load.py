"""Load a model for use: from the registry, with its digests checked, or from a file."""

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sadcl import extras
from sadcl.errors import SadclError
from sadcl.registry import artifacts, lookup
from sadcl.registry import client as store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from sadcl.model.tagger import Tagger

SCHEME = "models:/"
_ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>[^/@]+)|@(?P<alias>[^/@]+))")


def load(what: str | Path, root: Path = Path(".")) -> "Tagger":
    """Load weights, preprocessing, class names and thresholds together.

    Args:
        what: ``models:/NAME/VERSION``, ``models:/NAME@alias``, a weights file, an ONNX file, or the folder of one.
        root: the project whose registry is asked.

    Raises:
        SadclError: there is no such model, its file is not the one that was registered, or an extra is missing.
    """
    text = str(what)
    if text.startswith(SCHEME):
        extras.require("mlflow")  # before torch takes its time
    from sadcl.weights import loader

    if not text.startswith(SCHEME):
        return loader.load_tagger(what)
    if not store.exists(root):
        raise SadclError("Nothing is registered yet", where=text, fix="Run `sadcl register` first")
    with tempfile.TemporaryDirectory() as folder:
        with store.connect(root) as client:
            version = _version(client, text)
            file = artifacts.fetch(client, version, artifacts.model(version), Path(folder))
        return loader.load_tagger(file)


def _version(client: "MlflowClient", address: str) -> "ModelVersion":
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        raise SadclError(
            "This is no address of a model", where=address, fix="Write models:/NAME/3 or models:/NAME@alias"
        )
    name, number, alias = parts["name"], parts["version"], parts["alias"]
    if number is not None:
        return lookup.version(client, name, number)
    holder = lookup.version_with_alias(client, name, alias)
    if holder is None:
        raise SadclError(f"No version of {name} has the alias {alias}", where=address, fix="`sadcl status` says who is")
    return holder
