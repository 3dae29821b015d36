"""Artifacts of a registered version: downloaded, and compared with the digests that were pinned with it."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from errno import ENOENT, ENOTDIR
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import files, layout
from sadcl.errors import SadclError, first_line
from sadcl.registry import schema

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from sadcl.registry.personal_client import PersonalClient

PINS = "sadcl.files"
"""Tag of a version: JSON, SHA-256 of each file by name, written when the version is registered."""

MODEL, EVIDENCE = "model", "evidence"
WEIGHTS = f"{MODEL}/artifacts/weights.safetensors"
ONNX = f"{MODEL}/artifacts/weights.onnx"
SCORES = f"{EVIDENCE}/scores.parquet"
PHOTOS, VALIDATION = f"{EVIDENCE}/annotations.parquet", f"{EVIDENCE}/validation.json"
"""Table of all photos with their labels, and what validation reported of it."""
LEFT_BY_MLFLOW = "registered_model_meta"
"""MLflow drops this file into a model's folder whenever it loads it."""


_MISSING = re.compile(r"\b404\b|No such (file|artifact)|NoSuchKey|does not exist", re.IGNORECASE)
"""Words of storages for a missing file."""


class DifferentFileError(SadclError):
    """A file of a version is not the one that was pinned."""


def digests(folder: Path, prefix: str) -> dict[str, str]:
    """SHA-256 of each file under a folder, by ``prefix`` and its path."""
    # every file, not only the known ones: code that was added to a model's folder could run at its load
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != LEFT_BY_MLFLOW)
    return {f"{prefix}/{path.relative_to(folder).as_posix()}": files.digest(path) for path in paths}


def pins(version: "ModelVersion") -> dict[str, str]:
    """SHA-256 by file name, as they were pinned when a version was registered.

    Raises:
        SadclError: it has no pins, so nobody can say whether its files are those that the gate judged.
    """
    pinned = read_pins(version.tags)
    if pinned is None:
        raise SadclError(
            "The version has no pinned digests",
            where=f"models:/{version.name}/{version.version}",
            fix="Use a version that `sadcl register` registered",
        )
    return pinned


def read_pins(tags: Mapping[str, str]) -> dict[str, str] | None:
    """SHA-256 by file name from the tags of a version; None where they pin nothing."""
    try:
        value = json.loads(tags[PINS])
        return {str(name): str(digest) for name, digest in value.items()}
    except (KeyError, ValueError, AttributeError, RecursionError):
        return None


def model(version: "ModelVersion") -> str:
    """Name of the served file among a version's pins: the ONNX file where there is one, else the weights."""
    return served(pins(version))


def served(pinned: Mapping[str, str]) -> str:
    """Name of the served file among pins."""
    return ONNX if ONNX in pinned else WEIGHTS


def served_digest(tags: Mapping[str, str]) -> str | None:
    """SHA-256 of the served file that the tags of a version pin; None where they pin none."""
    pinned = read_pins(tags)
    return None if pinned is None else pinned.get(served(pinned))


def champion_record(version: "ModelVersion") -> dict[str, str]:
    """Content of ``data/champion.json`` for a version in production."""
    pinned = pins(version)
    return {
        "name": str(version.name),
        "version": str(version.version),
        "challenger": str(version.source),
        "weights": pinned[model(version)],
        "scores": pinned[SCORES],
        "test": str(version.tags.get(schema.TEST, "")),
    }


def recorded_champion(root: Path) -> dict[str, Any] | None:
    """Content of ``data/champion.json``; None where it is missing, null, or damaged, for example by a merge."""
    with suppress(SadclError):
        value = files.read_json(root / layout.CHAMPION)
        return value if isinstance(value, dict) else None
    return None


def fetch(
    client: "MlflowClient | PersonalClient",
    version: "ModelVersion",
    name: str,
    folder: Path,
    download: Callable[[str, Path], Path] | None = None,
) -> Path:
    """Download one file of a version and compare it with its pin.

    Args:
        client: of the registry.
        version: that the file belongs to.
        name: of ``model``, ``SCORES``, or another name among the pins.
        folder: existing folder for the download.
        download: downloads an address into a folder; by default MLflow, with the log-in of this process.

    Raises:
        SadclError: the file is gone from the registry, or is not the one that was pinned.
    """
    expected = pins(version).get(name)
    part, _, inner = name.partition("/")
    # downloaded even without a pin: the error then says that the file was added after the registration
    path = _download(f"{_artifact_uri(client, version, part)}/{inner}", folder, download or _download_by_mlflow)
    _compare(version, {name: expected} if expected else {}, {name: files.digest(path)})
    return path


def check_all(client: "MlflowClient", version: "ModelVersion", folder: Path) -> Path:
    """Download every file of a version; none may be changed, missing or new.

    Returns:
        Path of the served file in ``folder``.

    Raises:
        DifferentFileError: a file differs; the message names it.
        SadclError: the files can't be downloaded.
    """
    actual: dict[str, str] = {}
    downloaded = {}
    for part in (MODEL, EVIDENCE):
        downloaded[part] = _download(_artifact_uri(client, version, part), folder / part, _download_by_mlflow)
        actual |= digests(downloaded[part], part)
    if str(client.tracking_uri).startswith("sqlite:"):
        # MLflow loads a model where it lies, and Python leaves compiled code there; from a server it would be uploaded
        actual = {name: digest for name, digest in actual.items() if "/__pycache__/" not in name}
    _compare(version, pins(version), actual)
    return downloaded[MODEL] / model(version).removeprefix(f"{MODEL}/")


def _artifact_uri(client: "MlflowClient | PersonalClient", version: "ModelVersion", part: str) -> str:
    if part == MODEL:
        return str(client.get_model_version_download_uri(version.name, version.version)).rstrip("/")
    return f"{client.get_run(str(version.run_id)).info.artifact_uri}/{part}"


def _download_by_mlflow(uri: str, folder: Path) -> Path:
    from mlflow.artifacts import download_artifacts

    return Path(download_artifacts(artifact_uri=uri, dst_path=str(folder)))


def _download(uri: str, folder: Path, download: Callable[[str, Path], Path]) -> Path:
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    with files.translate_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return download(uri, folder)
        except RequestException as error:
            raise _broken_download(first_line(error), uri) from None
        except MlflowException as error:
            if "failures occurred" not in str(error):
                raise
            # MLflow puts the errors of all files into one text
            reasons = str(error).splitlines()[1:]
            reason = next((line for line in reasons if line and not line.startswith("#")), "no reason is known")
            raise (_missing(uri) if _MISSING.search(str(error)) else _broken_download(reason, uri)) from None
        # any: each storage has errors of its own, such as s3 without boto3, without a login, without a bucket
        except Exception as error:
            if files.is_disk_full(error):
                raise
            # MLflow gives its own OSError no number
            if isinstance(error, OSError) and error.errno in (None, ENOENT, ENOTDIR):
                raise _missing(uri) from None
            raise SadclError(
                f"The storage of the registry's files failed: {first_line(error)}",
                where=uri,
                fix="Check the login of that storage, or register the model again through the server",
            ) from error


def _missing(uri: str) -> SadclError:
    fix = "Restore its artifacts from a backup, or register again"
    return SadclError("A file of the registry is gone", where=uri, fix=fix)


def _broken_download(reason: str, uri: str) -> SadclError:
    fix = "Check the connection and the room on this disk, then try again"
    return SadclError(f"The download from the registry broke: {reason}", where=uri, fix=fix)


def _compare(version: "ModelVersion", expected: dict[str, str], actual: dict[str, str]) -> None:
    differing = sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
    if not differing:
        return
    name = differing[0]
    if name not in actual:
        difference = "is gone"
    else:
        difference = "has changed since" if name in expected else "was added after"
        difference += " the version was registered"
    raise DifferentFileError(
        f"{name} {difference}" + (f", and {len(differing) - 1} more files differ" if differing[1:] else ""),
        where=f"models:/{version.name}/{version.version}",
        fix="Do not use this version; find out who changed it, and register the model again",
    )
