"""Where a model came from: code, data, settings, machine."""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

from sadcl import files, params, processes
from sadcl.registry.stage_outputs import LOCK, StageOutputs

PACKAGES = (
    "torch", "torchvision", "timm", "safetensors", "numpy", "pandas", "pyarrow", "pillow", "simplejpeg",
    "pydantic", "mlflow",
)  # fmt: skip


def tags(made: StageOutputs) -> dict[str, str]:
    """One tag a fact; a fact that is not known has no tag."""
    commit = _git(made.root, "rev-parse", "HEAD")
    changed = _git(made.root, "status", "--porcelain", "--untracked-files=no")
    found = {
        "mlflow.source.git.commit": commit,
        "sadcl.git": commit and f"{commit}{', edited' if changed else ''}",
        "sadcl.dvc_lock": files.digest(made.root / LOCK),
        "sadcl.data": files.digest_of([made.head.get("inputs"), made.metrics["digests"]["shards"]]),
        "sadcl.recipe": recipe(made.root),
        "sadcl.seed": str(made.seed),
        "sadcl.device": str(made.head.get("device") or ""),
        "sadcl.precision": str(made.head.get("precision") or ""),
        "sadcl.packages": json.dumps(versions(PACKAGES), sort_keys=True),
    }
    return {name: value for name, value in found.items() if value}


def recipe(root: Path) -> str:
    """The recipe that params.yaml is; empty where a person wrote their own."""
    wanted = params.read_settings(root / params.FILE)
    same = [name for name, path in params.known_recipes(root).items() if params.read_settings(path) == wanted]
    return same[0] if same else ""


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Installed versions, without what names a build (`+cpu`)."""
    return {name: metadata.version(name).partition("+")[0] for name in packages}


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, names joined by dots; lists stay whole."""
    if not isinstance(value, dict):
        return {prefix: value}
    pairs = [flat(inner, f"{prefix}.{key}" if prefix else str(key)) for key, inner in value.items()]
    return {key: inner for pair in pairs for key, inner in pair.items()}


def _git(root: Path, *words: str) -> str:
    """What git says; empty where this is no repository, or has no commit."""
    asked = processes.git(root, *words, timeout=60)
    return asked.stdout.strip() if asked.returncode == 0 else ""
