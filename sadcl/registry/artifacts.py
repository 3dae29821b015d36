"""Files of a registered version: brought from the registry, and held against the digests pinned with it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from sadcl import files
from sadcl.errors import SadclError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

PINS = "sadcl.files"
"""Tag of a version: JSON, SHA-256 of each file by name, written when the version is registered."""

MODEL, EVIDENCE = "model", "evidence"
WEIGHTS = f"{MODEL}/artifacts/weights.safetensors"
ONNX = f"{MODEL}/artifacts/weights.onnx"
SCORES = f"{EVIDENCE}/scores.parquet"
LEFT_BY_MLFLOW = "registered_model_meta"
"""MLflow drops this file into a model's folder whenever it loads it."""


def digests(folder: Path, prefix: str) -> dict[str, str]:
    """SHA-256 of each file under a folder, by ``prefix`` and its path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != LEFT_BY_MLFLOW)
    return {f"{prefix}/{path.relative_to(folder).as_posix()}": files.digest(path) for path in found}


def pins(version: "ModelVersion") -> dict[str, str]:
    """The digests pinned when a version was registered.

    Raises:
        SadclError: it has none, so nobody can say whether its files are what was judged.
    """
    try:
        value = json.loads(version.tags[PINS])
        return {str(name): str(digest) for name, digest in value.items()}
    except (KeyError, ValueError, AttributeError):
        raise SadclError(
            "No digests were pinned when it was registered",
            where=f"models:/{version.name}/{version.version}",
            fix="Use a version that `sadcl register` made",
        ) from None


def model(version: "ModelVersion") -> str:
    """The name, among a version's pins, of the one file that its scores come from."""
    return ONNX if ONNX in pins(version) else WEIGHTS


def fetch(client: "MlflowClient", version: "ModelVersion", name: str, folder: Path) -> Path:
    """Bring one file of a version, checked against its pin.

    Args:
        client: of the registry.
        version: that the file belongs to.
        name: of ``model``, ``SCORES``, or another name among the pins.
        folder: an existing one to bring it to.

    Raises:
        SadclError: it is gone from the registry, or is not the one that was pinned.
    """
    expected = pins(version).get(name)
    part, _, inner = name.partition("/")
    where = _folder(client, version, part)
    path = _download(f"{where}/{inner}", folder)
    _compare(version, {name: expected} if expected else {}, {name: files.digest(path)})
    return path


def check_all(client: "MlflowClient", version: "ModelVersion", folder: Path) -> None:
    """Bring every file of a version, and refuse one that is changed, missing or new.

    Raises:
        SadclError: naming the file.
    """
    found: dict[str, str] = {}
    for part in (MODEL, EVIDENCE):
        there = _download(_folder(client, version, part), folder / part)
        found |= digests(there, part)
    _compare(version, pins(version), found)


def _folder(client: "MlflowClient", version: "ModelVersion", part: str) -> str:
    if part == MODEL:
        return str(client.get_model_version_download_uri(version.name, version.version)).rstrip("/")
    return f"{client.get_run(str(version.run_id)).info.artifact_uri}/{part}"


def _download(uri: str, folder: Path) -> Path:
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    folder.mkdir(parents=True, exist_ok=True)
    gone = SadclError(
        "A file of the registry is gone", where=uri, fix="Bring its artefacts back from a backup, or register anew"
    )
    try:
        return Path(download_artifacts(artifact_uri=uri, dst_path=str(folder)))
    except OSError:
        raise gone from None
    except MlflowException as error:
        raise (gone if "failures occurred" in str(error) else error) from None


def _compare(version: "ModelVersion", expected: dict[str, str], found: dict[str, str]) -> None:
    differ = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if not differ:
        return
    name = differ[0]
    if name not in found:
        how = "is gone"
    else:
        how = f"{'is not the same as' if name in expected else 'was not there'} when it was registered"
    raise SadclError(
        f"{name} {how}" + (f", and {len(differ) - 1} more differ" if differ[1:] else ""),
        where=f"models:/{version.name}/{version.version}",
        fix="Do not use this version; find out who changed it, and register the model anew",
    )
