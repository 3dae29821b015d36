"""Looking after a project: recipes, sources, what is accepted, what is wrong, what can go."""

import os
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from sadcl import layout, params
from sadcl.errors import SadclError


def diagnose() -> list[str]:
    """What is missing or mis-set, a sentence a finding; empty when all is well."""
    found: list[str] = []
    for check in (_packages, _project, _settings, _precision, _source, _disk, _server):
        try:
            found += list(check())
        except SadclError as error:
            found.append(str(error))
    return list(dict.fromkeys(found))  # settings that can't be read are missed by more than one check


def _packages() -> Iterator[str]:
    from packaging.requirements import Requirement

    for text in metadata.requires("sadcl") or []:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield f"The package {wanted.name} is missing; run `make install`."
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            yield f"{wanted.name} is {version}, but sadcl needs {wanted.specifier}; run `make install`."


def _project() -> Iterator[str]:
    if not Path("dvc.yaml").exists():
        yield "There is no dvc.yaml here; go to the project's folder."
    if not Path(".git").exists():
        yield "This is no git repository; run `git init`, or clone the project."
    if not Path(".dvc/config").exists():
        yield "DVC is not set up here; run `dvc init`."


def _settings() -> Iterator[str]:
    params.load()
    yield from ()


def _precision() -> Iterator[str]:
    from sadcl.model import device

    settings = params.load()
    for name, precision in (("pretrain", settings.pretrain.precision), ("train", settings.train.precision)):
        if device.slow(precision):
            yield f"This processor has to emulate {precision}; set {name}.precision to 32-true, several times as fast."


def _source() -> Iterator[str]:
    folder = Path("data/raw") / params.load().ingest.source
    if not folder.exists():
        make = "run `sadcl data scenes`" if folder == layout.SCENES else "put your photos there, or run `dvc pull`"
        yield f"The source {folder} is not there; {make}."
    elif folder.is_symlink():
        yield (
            f"{folder} is a link, which DVC does not version: clones and scheduled runs won't have these photos. "
            f"Put them there themselves and run `dvc add {folder}`."
        )
    elif not folder.with_name(f"{folder.name}.dvc").exists():
        yield f"{folder} is not versioned: clones and scheduled runs won't have it; run `dvc add {folder}`."


def _disk() -> Iterator[str]:
    free = shutil.disk_usage(".").free
    if free < 5e9:
        yield f"Only {free / 1e9:.1f} GB are free on this disk, and checkpoints may need more; `sadcl clean` helps."


def _server() -> Iterator[str]:
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if address.startswith("http"):
        from sadcl.registry.client import check

        check()
    yield from ()
