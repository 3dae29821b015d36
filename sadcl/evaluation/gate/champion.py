"""The champion as recorded in the project's files: data/champion.json and data/champion/."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sadcl import files, layout
from sadcl.errors import SadclError

_FIX = "Run `sadcl sync`, which writes it again from the registry"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Champion:
    """The model that a person promoted.

    Attributes:
        name: of the registered model.
        version: of this model.
        weights: SHA-256 of its weights file.
        scores: SHA-256 of its scores file, or None.
        test: digest of the test images on which it was judged, or None.
    """

    name: str
    version: str
    weights: str
    scores: str | None = None
    test: str | None = None

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


def read_champion(path: str | Path = layout.CHAMPION) -> Champion | None:
    """Read the champion's record; None where there is no champion yet.

    Raises:
        SadclError: the file is missing, not JSON, or does not name a model and its digest.
    """
    value = files.read_json(path, fix=_FIX)
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise SadclError(
            f"The file must contain null or a champion, but it contains {type(value).__name__}", where=path, fix=_FIX
        )
    missing = [key for key in ("name", "version", "weights") if not value.get(key)]
    if missing:
        raise SadclError(f"The champion has no {' and no '.join(missing)}", where=path, fix=_FIX)
    for key in ("weights", "scores"):
        _check_digest(value.get(key), key, path)
    return Champion(
        name=str(value["name"]),
        version=str(value["version"]),
        weights=value["weights"],
        scores=value.get("scores"),
        test=value.get("test"),
    )


def weights_file(champion: Champion, folder: str | Path = layout.CHAMPION_FOLDER) -> Path:
    """Find the champion's weights, or the ONNX file served instead, and check their digest.

    Raises:
        SadclError: the file is missing, or its digest is not the champion's.
    """
    path, fix = Path(folder) / "weights.onnx", "Run `dvc pull data/champion.dvc` or `sadcl sync`"
    path = path if path.is_file() else path.with_suffix(".safetensors")
    if not path.is_file():
        raise SadclError(f"The weights of the champion ({champion}) are missing", where=path, fix=fix)
    digest = files.digest(path)
    if digest != champion.weights:
        raise SadclError(
            f"These are not the weights of the champion ({champion}): their sha256 starts with {digest[:12]}, "
            f"but {champion.weights[:12]} was promoted",
            where=path,
            fix=fix,
        )
    return path


def _check_digest(value: Any, key: str, path: str | Path) -> None:
    if value is not None and not (isinstance(value, str) and _SHA256.fullmatch(value)):
        raise SadclError(
            f"The champion's {key} must be a sha256 in hexadecimal, but it is {value!r}", where=path, fix=_FIX
        )
