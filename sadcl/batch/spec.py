"""The description of a job, which every worker gets, and the check that a worker computes the same as all others."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import sadcl
from sadcl import extras, files
from sadcl.data.images import heif
from sadcl.errors import SadclError
from sadcl.weights.file_head import ONNX

CODE = ("batch", "data/images", "model", "weights")
"""Packages that decide the predictions of photos."""
SHARE_FOLDER = "Share the project's folder with all nodes, under the same path and for the same user"
LIBRARIES = ("torch", "timm", "pyarrow", "pillow", "simplejpeg", "numpy")
"""Distributions that decide the predictions of photos; their versions are read without an import."""


@dataclass(frozen=True)
class Spec:
    """Job description for a worker.

    Attributes:
        job: ``predict`` the photos of a place, ``score`` the rows of shards, or ``encode`` photos into shards.
        root: folder or ``s3://`` address of the photos, or folder of the shards.
        models: paths of the model files; without any, workers run on cores alone.
        digests: SHA-256 of each model file.
        threads: that read and decode photos.
        seconds: that reading and decoding a photo may take.
        versions: of the packages that decide the results.
        settings: further ones of the job, as JSON values.
    """

    job: Literal["predict", "score", "encode"]
    root: str
    models: Sequence[str]
    digests: Sequence[str]
    threads: int
    seconds: float
    versions: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As a JSON value, for ``Spec(**value)``."""
        return asdict(self)


def versions(*packages: str) -> dict[str, str]:
    """Versions of the libraries and of this package's code that decide the results, in this process.

    Args:
        packages: folders of the code; by default those of predictions.
    """
    return {
        "sadcl": f"{sadcl.__version__} ({files.digest_of_code(*(packages or CODE))[:8]})",
        # without the build: +cpu and +cu128 are the same code
        **extras.versions(LIBRARIES),
        "pillow-heif": heif.version(),
    }


def prediction_versions(model: Path) -> dict[str, str]:
    """Versions of all that decides the predictions of a model file, in this process."""
    return versions() | (extras.versions(["onnxruntime"]) if model.suffix == ONNX else {})


def require_equal(spec: Spec, here: Mapping[str, str]) -> None:
    """Raise where a worker would compute other results than the rest of the job.

    Args:
        spec: of the job.
        here: versions in this process.

    Raises:
        SadclError: a package has another version, or a model file another content.
    """
    for package, version in here.items():
        expected = spec.versions[package]
        if version != expected:
            raise SadclError(
                f"{package} is {version or 'missing'} here and {expected or 'missing'} where the job was started",
                where=os.uname().nodename,
                fix="Install the same versions",
            )
    for model, digest in zip(spec.models, spec.digests, strict=True):
        if files.digest(model) != digest:
            raise SadclError("The model is not the one of the job", where=model, fix="Copy it again")
