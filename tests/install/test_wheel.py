"""The wheel: everything that the package reads lies in it, and it predicts in an environment that has nothing else."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.install.test_extras import folder
from tests.paths import REPOSITORY

__all__ = ["folder"]
SOURCES = ("sadcl", "flows", "recipes", "dvc.yaml", "pyproject.toml", "README.md", "LICENSE", "NOTICE")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a clean copy of the sources; setuptools is there, since torch needs it."""
    root = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, root / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / name, root / name)
    subprocess.run([sys.executable, "-c", BUILD, str(root / "dist")], cwd=root, capture_output=True, check=True)
    [path] = (root / "dist").iterdir()
    return path


def test_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    root = wheel.parents[1]
    links = [(root / "sadcl/starter/recipes" / path.name) for path in (root / "recipes").iterdir()]
    files = [path for package in ("sadcl", "flows") for path in (root / package).rglob("*") if path.is_file()]
    assert len(links) > 5
    assert {str(path.relative_to(root)) for path in (*files, *links)} - packed == set()


def test_wheel_has_the_packages_alone(wheel: Path) -> None:
    packed = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in packed} == {"sadcl", "flows", "sadcl-0.1.0.dist-info"}


@pytest.mark.slow
def test_wheel_predicts_in_an_empty_environment(wheel: Path, folder: Path, tmp_path: Path) -> None:
    """Downloads the core's dependencies, with the build of torch that pip is set up for."""
    venv.create(tmp_path / "empty", with_pip=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(command: str, *arguments: str) -> str:
        program = [str(tmp_path / "empty/bin" / command), *arguments]
        return subprocess.run(
            program, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    run("pip", "install", "--quiet", str(wheel), "--constraint", str(REPOSITORY / "requirements.lock"))
    assert "mlflow" not in run("pip", "list", "--format", "freeze")
    printed = run("sadcl", "predict", "photo.jpg", "--model", "weights.safetensors", "--threshold", "0")
    assert printed.startswith("photo.jpg: ")
    assert printed.count("%") == 3
