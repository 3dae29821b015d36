"""Small files of a registered model that say what MLflow runs and installs: checked by their content.

MLflow writes run ids, times and versions into them, so no constant digest could stand for them.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sadcl.data.sources.safe_yaml import parse_yaml
from sadcl.errors import SadclError
from sadcl.registry import lineage

MLMODEL, CONDA, PYTHON, REQUIREMENTS = "MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"
CODE = "artifacts/code.json"
LOADER = "pyfunc_loader.py"
REQUIRED = (*lineage.PACKAGES, "packaging", "psutil", "pyyaml", "rich")
"""Distributions that a process needs to predict with sadcl."""
ONNX_REQUIRED = ("onnx", "onnxruntime")
"""Further distributions that an ONNX file needs."""
LARGEST = 100_000
"""Characters of all texts together; MLflow holds no longer tag."""
LONGEST = 20_000
"""Characters of a text, ten times what MLflow writes; the YAML parser is slow."""

_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!-]{0,40}")
_PIP = re.compile(r"pip(<=[0-9][0-9.]{0,20})?")
_BUILD = re.compile(r"(pip|setuptools|wheel)(==[0-9][0-9A-Za-z.]{0,20})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ANY_TEXT = ("artifact_path", "mlflow_version", "model_id", "model_uuid", "run_id", "utc_time_created")
"""Fields of MLmodel that describe the registration, and that nothing runs."""
_EXAMPLE = {
    "artifact_path": "input_example.json", "pandas_orient": "split",
    "serving_input_path": "serving_input_example.json", "type": "dataframe",
}  # fmt: skip


def read_texts(tag: str) -> dict[str, str]:
    """Texts of files by name from the tag of a version; empty where the tag has another form or is too large."""
    try:
        value = json.loads(tag) if len(tag) <= LARGEST else None
    except (ValueError, RecursionError):
        return {}
    items = value.items() if isinstance(value, dict) else ()
    return {name: text for name, text in items if isinstance(text, str)}


def is_own(name: str, text: str, served: str) -> bool:
    """Whether the text of a file says no more than what sadcl and MLflow write for a model.

    Args:
        name: of ``CHECKED``.
        text: content of the file.
        served: name of the file with the weights, which is among the artifacts.
    """
    try:
        return len(text) <= LONGEST and CHECKED[name](text, served)
    # no YAML, more of it than any of these files has, or a value that has no text, such as a number of 5,000 digits
    except (SadclError, ValueError):
        return False


def _is_mlmodel(text: str, served: str) -> bool:
    value = _yaml(text)
    flavors, example = value.pop("flavors", None), value.pop("saved_input_example_info", None)
    value.pop("signature", None)  # types of columns, which MLflow checks the input with
    size = value.pop("model_size_bytes", 0)
    descriptions = [value.pop(name, "") for name in _ANY_TEXT]
    return (
        isinstance(flavors, dict)
        and flavors.keys() == {"python_function"}
        and _is_flavor(flavors["python_function"], served)
        and example in (None, _EXAMPLE)
        and isinstance(size, int)
        and all(isinstance(description, str | None) for description in descriptions)
        and not any(value.values())  # further fields are switches and references that are not set
    )


def _is_flavor(value: Any, served: str) -> bool:
    """Whether MLflow runs the loader alone, which gets weights and the name of the code."""
    if not isinstance(value, dict):
        return False
    expected = {
        "loader_module": "mlflow.pyfunc.loaders.code_model", "env": {"conda": CONDA, "virtualenv": PYTHON},
    }  # fmt: skip
    optional = {"code": None, "streamable": False}
    versions = ("cloudpickle_version", "python_version")
    artifacts, path = value.get("artifacts"), value.get("model_code_path")
    return (
        value.keys() <= {*expected, *optional, *versions, "artifacts", "model_code_path"}
        and all(value.get(name) == wanted for name, wanted in expected.items())
        and all(value.get(name, wanted) in (wanted, None) for name, wanted in optional.items())
        and all(_VERSION.fullmatch(str(value.get(name, "0"))) for name in versions)
        and isinstance(path, str)
        and re.split(r"[/\\]", path)[-1] == LOADER
        and isinstance(artifacts, dict)
        and all(isinstance(entry, dict) and entry.keys() == {"path", "uri"} for entry in artifacts.values())
        and all(isinstance(entry["uri"], str) for entry in artifacts.values())
        and {name: entry["path"] for name, entry in artifacts.items()}
        == {"weights": f"artifacts/{served}", "code": CODE}
    )


def _is_conda(text: str, served: str) -> bool:
    value = _yaml(text)
    dependencies = value.pop("dependencies", None)
    if value != {"channels": ["conda-forge"], "name": "mlflow-env"} or not isinstance(dependencies, list):
        return False
    if len(dependencies) != 3 or not all(isinstance(line, str) for line in dependencies[:2]):
        return False
    python, pip, packages = dependencies
    name, _, version = python.partition("=")
    return (
        name == "python"
        and bool(_VERSION.fullmatch(version))
        and bool(_PIP.fullmatch(pip))
        and isinstance(packages, dict)
        and packages.keys() == {"pip"}
        and _are_requirements(packages["pip"], served)
    )


def _is_python_env(text: str, served: str) -> bool:  # noqa: ARG001 - one signature for all checks
    value = _yaml(text)
    build = value.get("build_dependencies")
    return (
        value.keys() == {"python", "build_dependencies", "dependencies"}
        and bool(_VERSION.fullmatch(str(value["python"])))
        and isinstance(build, list)
        and all(isinstance(line, str) and _BUILD.fullmatch(line) for line in build)
        and value["dependencies"] == [f"-r {REQUIREMENTS}"]
    )


def _is_requirements(text: str, served: str) -> bool:
    return _are_requirements(text.split("\n"), served)


def _are_requirements(lines: Any, served: str) -> bool:
    """Whether lines name known distributions with their versions; an option of pip could name another index."""
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        return False
    known = {*REQUIRED, *(ONNX_REQUIRED if served.endswith(".onnx") else ())}
    pairs = [line.partition("==") for line in lines]
    return all(name in known and bool(_VERSION.fullmatch(version)) for name, _, version in pairs)


def _is_code(text: str, served: str) -> bool:  # noqa: ARG001 - one signature for all checks
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(value, dict)
        and value.keys() == {"package", "version", "digest"}
        and value["package"] == "sadcl"
        and all(isinstance(part, str) for part in value.values())
        and bool(_VERSION.fullmatch(value["version"]))
        and bool(_SHA256.fullmatch(value["digest"]))
    )


def _yaml(text: str) -> dict[str, Any]:
    """A mapping from YAML; empty where the text is something else."""
    value = parse_yaml(text, Path(), "")
    return value if isinstance(value, dict) else {}


CHECKED: Mapping[str, Callable[[str, str], bool]] = {
    MLMODEL: _is_mlmodel, CONDA: _is_conda, PYTHON: _is_python_env, REQUIREMENTS: _is_requirements, CODE: _is_code,
}  # fmt: skip
"""Whether a file's text is what sadcl and MLflow write, by its name."""
