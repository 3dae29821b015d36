"""The page of recipes, from the comments at the head of each file under ``recipes/``."""

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from markup import code

INTRO = """# Recipes

A recipe is a complete `params.yaml`. `sadcl recipe NAME` puts it in place; settings of your own that stand in no recipe
are kept in a file beside it. DVC remembers results, so switching back costs nothing.

This page is generated from the heads of the files under `recipes/`.
"""


def page(root: Path) -> str:
    """Markdown of all recipes of the repository."""
    return "\n".join([INTRO, *(part for path in sorted((root / "recipes").glob("*.yaml")) for part in _section(path))])


def _section(path: Path) -> Iterator[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line.removeprefix("#").strip() for line in takewhile(lambda line: line.startswith("#"), lines)]
    first, rest = head[0], [line for line in head[1:] if line]
    yield f"## {path.stem}\n"
    yield first.partition(": ")[2].strip() + "\n"
    yield f"{code(f'sadcl recipe {path.stem}')}\n"
    yield " ".join(rest) + "\n"
