"""Fuzzed settings, verdict, figures and card of a registered version."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml

from benchmarks.fuzz.mutation import structure, text
from benchmarks.fuzz.version_file import CLASSES, DIGESTS, SETTINGS, VersionFile
from sadcl import bounded_json, files, params

ODD_YAML = (
    b"\n? [a]\n: b", b"\nx: !!python/name:os.system", b"\nx: 2001-99-99", b"\nx: &a *a", b"\n- a", b"\nx: .inf",
    b"\nx: 0x" + b"f" * 9000, b"\nx: " + b"1:" * 9000 + b"1", b"\nx: !!binary x",
)  # fmt: skip


def settings(rng: Random) -> dict[str, bytes]:
    """Draw a params.yaml, with other values, anchors and merges."""
    value = structure(rng, json.loads(json.dumps(SETTINGS)), rng.choice((0, 1, 2, 5)))
    content = text(rng, value) if rng.random() < 0.5 else yaml.safe_dump(value).encode()
    if rng.random() < 0.3:
        part = rng.choice(("[{}]", "{{<<: [{}]}}", "{{a: {}}}"))
        many, levels = rng.choice((1, 9)), range(1, rng.choice((3, 12)))
        lines = [f"a{i}: &a{i} {part.format(', '.join([f'*a{i - 1}'] * many))}\n" for i in levels]
        content = ("a0: &a0 {x: 1}\n" + "".join(lines)).encode() + content
    if rng.random() < 0.1:
        content += rng.choice(ODD_YAML)
    return {"params.yaml": content}


def read_params(root: Path) -> None:
    """Read settings as a page and as a stage do."""
    value = params.read_settings(root / "params.yaml")
    _parse("Settings", value, "params.yaml")
    params.parse(value, root / "params.yaml")


def metrics(rng: Random) -> dict[str, Any]:  # noqa: ARG001 - as `verdict`
    figures = {"mAP": 80.0, "CF1": 70.0, "OF1": 71.0, "ECE": 2.0, "top3": {"mAP": None, "CF1": 60.0}}
    return {
        "sadcl": dict(figures), "sarl": dict(figures), "images": 2, "chosen": "ema", "digests": dict(DIGESTS),
        "threshold": 0.5, "cost": {"bytes": 1, "parameters": 2}, "seen_in_training": 0,
    }  # fmt: skip


def verdict(rng: Random) -> dict[str, Any]:
    rule = {"kind": "absolute", "result": "pass", "words": "mAP is 80", "metric": "mAP"}
    by_slice = {"kind": "slice", "result": "pass", "words": "all", "column": "side", "metric": "mAP", "min_images": 1}
    interval = {"model": [80.0, 79.0, 81.0], "champion": None, "difference": None}
    return {
        "verdict": "pass", "words": "All rules hold.", "model": "0" * 64, "test": "1" * 64, "champion": None,
        "rules": [rule, *([by_slice] if rng.random() < 0.3 else [])], "intervals": {"mAP": interval},
        "digests": dict(DIGESTS), "settings": "4" * 64,
    }  # fmt: skip


def document(name: str, make: Callable[[Random], Any], schema: str) -> VersionFile:
    """A JSON file that pages read by a schema."""

    def draw(rng: Random) -> dict[str, bytes]:
        value = structure(rng, make(rng), rng.choice((0, 1, 2, 5)))
        content = text(rng, value)
        if rng.random() < 0.05:
            content = rng.choice((b"[" * 10**6, b"[" + b"[]," * 2_000_000 + b"[]]", b'{"a":' * 10**5, b"1" * 10**7,
                                  b'{"rules":[' + b"{}," * 10**6 + b"{}]}"))  # fmt: skip
        return {name: content}

    def read(root: Path) -> None:
        value = bounded_json.read(root / name)
        files.digest_of(value)
        _parse(schema, value, name)

    return VersionFile(draw, read)


def _parse(schema: str, value: Any, name: str) -> None:
    from sadcl.review import schemas

    schemas.parse(getattr(schemas, schema), value, name, "version 1")


def card(rng: Random) -> dict[str, bytes]:
    """Draw figures and verdict of a model card."""
    changed = structure(rng, {"metrics": metrics(rng), "verdict": verdict(rng)}, rng.choice((0, 1, 1, 3)))
    return {"card.json": text(rng, changed)}


def read_card(root: Path) -> None:
    """Render the model card of a project with these figures and this verdict."""
    from sadcl import layout
    from sadcl.evaluation import scores as score_files
    from sadcl.registry.model_card import card
    from sadcl.registry.stage_outputs import StageOutputs

    value = bounded_json.read(root / "card.json")
    if not isinstance(value, dict) or not {"metrics", "verdict"} <= value.keys():
        return
    outputs = StageOutputs(root, SETTINGS, "tiny", 0, Path("w"), "0" * 64, value["metrics"], value["verdict"])
    model = {"head": {"classes": list(CLASSES), "model": SETTINGS["model"], "thresholds": [0.5] * 3}}
    outputs.__dict__.update(model)  # a cached property: the head of weights is another format
    nobody = np.zeros((2, len(CLASSES)), dtype=bool)
    logits = {"sadcl": np.ones((2, len(CLASSES)), np.float32)}
    score_files.write_scores(
        root / layout.SCORES, score_files.Scores(["1", "2"], ["c" * 64] * 2, CLASSES, ~nobody, nobody, logits=logits)
    )
    files.write_json(root / layout.VALIDATION, {"passed": True})
    card.render(card.collect(outputs), "1", {})
