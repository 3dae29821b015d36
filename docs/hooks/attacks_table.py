"""MkDocs hook: the attacks on the page about threats, from the heads of the files under ``tests/attacks``."""

import ast
from pathlib import Path
from typing import Any

PAGE, PLACE = "explanation/threat-model.md", "ATTACKS"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001 - MkDocs names them
    """Put the table of attacks into its page."""
    if page.file.src_uri != PAGE:
        return markdown
    return markdown.replace(PLACE, table(Path(config.config_file_path).parent))


def table(root: Path) -> str:
    """Markdown table of attacks: what the attacker does, and the test that shows what stops it."""
    rows = ["| what a trainer does | shown by |", "|---|---|"]
    for path in sorted((root / "tests/attacks").glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
        sentences = "<br>".join(name.removeprefix("test_").replace("_", " ") for name in names)
        rows.append(f"| {ast.get_docstring(tree)} | `{path.relative_to(root)}`<br>{sentences} |")
    return "\n".join(rows)
