"""Fuzzed tags of a registered version, which say what its model runs."""

import json
from functools import cache
from pathlib import Path
from random import Random

import yaml

from benchmarks.fuzz.mutation import structure, text
from sadcl import bounded_json, files
from sadcl.registry import artifacts, eligibility, model_code, model_files


@cache
def _tags() -> dict[str, str]:
    """Tags of a version with a model that sadcl registered."""
    requirements = [f"{name}==1.0" for name in model_files.REQUIRED]
    flavor = {
        "artifacts": {name: {"path": f"artifacts/{file}", "uri": "x"} for name, file in
                      (("weights", "weights.safetensors"), ("code", "code.json"))},
        "code": None, "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}, "python_version": "3.11.7",
        "loader_module": "mlflow.pyfunc.loaders.code_model", "model_code_path": "/a/pyfunc_loader.py",
    }  # fmt: skip
    contents = {
        "MLmodel": yaml.safe_dump({"flavors": {"python_function": flavor}, "run_id": "0" * 32}),
        "conda.yaml": yaml.safe_dump({"channels": ["conda-forge"], "name": "mlflow-env",
                                      "dependencies": ["python=3.11.7", "pip<=23", {"pip": requirements}]}),
        "python_env.yaml": yaml.safe_dump({"python": "3.11.7", "build_dependencies": ["pip==23"],
                                           "dependencies": ["-r requirements.txt"]}),
        "requirements.txt": "\n".join(requirements),
        "artifacts/code.json": model_code.installed().text(),
    }  # fmt: skip
    texts = {f"model/{name}": content for name, content in contents.items()}
    pins = {name: files.digest_of_text(content) for name, content in texts.items()}
    pins |= {artifacts.WEIGHTS: "0" * 64, model_code.LOADER: min(model_code.LOADERS)}
    tags = {artifacts.PINS: json.dumps(pins), model_code.TEXTS: json.dumps(texts)}
    assert [*model_code.objections(tags)] == []
    return tags


def tags(rng: Random) -> dict[str, bytes]:
    """Draw tags of a version, with other files of the model, pinned as they are."""
    pins, texts = (json.loads(_tags()[name]) for name in (artifacts.PINS, model_code.TEXTS))
    for _ in range(rng.choice((0, 1, 2))):
        name = rng.choice(sorted(texts))
        value = structure(rng, yaml.safe_load(json.loads(_tags()[model_code.TEXTS])[name]), rng.choice((1, 2)))
        texts[name] = text(rng, value).decode("utf-8", "replace")
        pins[name] = files.digest_of_text(texts[name])
    value = {artifacts.PINS: pins, model_code.TEXTS: texts}
    return {"tags.json": text(rng, structure(rng, value, rng.choice((0, 0, 1))))}


def read_tags(root: Path) -> None:
    """Ask the promotion rules about a version."""
    value = bounded_json.read(root / "tags.json")
    parts = value.items() if isinstance(value, dict) else ()
    named = {name: part if isinstance(part, str) else json.dumps(part) for name, part in parts}
    for objection in eligibility.objections(named, None, {}, None):
        objection.sentence.encode("utf-8", "backslashreplace")
    model_code.is_current(named)
