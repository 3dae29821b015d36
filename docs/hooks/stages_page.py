"""The page of stages, from ``dvc.yaml``: what each reads, which settings it looks at, what it writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from markup import code, sentence, table

INTRO = """# Stages

`dvc repro` runs these stages in order, and each only when one of its inputs has changed. A stage also depends on the
code that can change its result; that is left out below. [Files](files.md) says what is in each file.

This page is generated from `dvc.yaml`.
"""


def page(root: Path) -> str:
    """Markdown of the graph in the project's ``dvc.yaml``."""
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    overview = table(("stage", "what it does"), [(f"[{n}](#{n})", sentence(s["desc"])) for n, s in stages.items()])
    return "\n".join([INTRO, overview, *(part for name, stage in stages.items() for part in _section(name, stage))])


def _section(name: str, stage: dict[str, Any]) -> Iterator[str]:
    yield f"## {name}\n"
    yield sentence(stage["desc"][0].upper() + stage["desc"][1:]) + "\n"
    reads = [path for path in stage.get("deps", []) if not path.startswith(("sadcl", "flows"))]
    writes = [_path(out) for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
    for title, values in (("Reads", reads), ("Settings", stage.get("params", [])), ("Writes", writes)):
        yield f"- {title}: {', '.join(map(code, values)) or 'none'}"
    yield f"- Runs: {code(stage['cmd'])}\n"


def _path(out: str | dict[str, Any]) -> str:
    return out if isinstance(out, str) else next(iter(out))
