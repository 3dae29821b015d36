"""Lineage of a model: code, data, settings and machine that it came from."""

import json
from pathlib import Path

from sadcl import extras, files, params, processes
from sadcl.registry.stage_outputs import LOCK, StageOutputs

PACKAGES = (
    "torch", "torchvision", "timm", "safetensors", "numpy", "pandas", "pyarrow", "pillow", "simplejpeg",
    "pydantic", "mlflow",
)  # fmt: skip


def tags(outputs: StageOutputs) -> dict[str, str]:
    """Tags about code, data, settings and machine; an unknown fact has no tag."""
    commit = _git(outputs.root, "rev-parse", "HEAD")
    changed = _git(outputs.root, "status", "--porcelain", "--untracked-files=no", "--", ".")
    facts = {
        "mlflow.source.git.commit": commit,
        "sadcl.git": commit and f"{commit}{', edited' if changed else ''}",
        "sadcl.dvc_lock": files.digest(outputs.root / LOCK),
        "sadcl.data": files.digest_of([outputs.head.get("inputs"), outputs.metrics["digests"]["shards"]]),
        "sadcl.recipe": recipe(outputs.root),
        "sadcl.seed": str(outputs.seed),
        "sadcl.device": str(outputs.head.get("device") or ""),
        "sadcl.precision": str(outputs.head.get("precision") or ""),
        "sadcl.packages": json.dumps(extras.versions(PACKAGES), sort_keys=True),
    }
    return {name: value for name, value in facts.items() if value}


def recipe(root: Path) -> str:
    """Name of the recipe that params.yaml equals; empty where it equals none."""
    settings = params.read_settings(root / params.FILE)
    equal = [name for name, path in params.known_recipes(root).items() if params.read_settings(path) == settings]
    return equal[0] if equal else ""


def _git(root: Path, *words: str) -> str:
    """Output of a git command; empty where this is no repository, or has no commit."""
    process = processes.git(root, *words, timeout=60)
    return process.stdout.strip() if process.returncode == 0 else ""
