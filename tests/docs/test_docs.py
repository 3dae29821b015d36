"""The documentation says what the code does: commands, settings, files, variables and links."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
import yaml

from sadcl import params
from sadcl.cli import app
from sadcl.data.table import SCHEMA, Table
from sadcl.data.validation.rules import rules

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TEXTS = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
INTERNAL = {"SADCL_LEDGER", "SADCL_OWNERS", "SADCL_PROJECT", "SADCL_SERVICE", "SADCL_STARTED_FOR"}
"""Variables that sadcl sets for its own processes."""

sys.path.insert(0, str(DOCS / "hooks"))


def commands(path: Path) -> Iterator[list[str]]:
    """The words of each ``sadcl ...`` in the shell blocks of a page."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for block in re.findall(r"^ *```(?:sh)?\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        for line in re.findall(r"^ *(sadcl [^|\n]*)", block, re.MULTILINE):
            yield shlex.split(line, comments=True)
    for line in re.findall(r"^    (sadcl [^|\n]*)", text, re.MULTILINE):
        yield shlex.split(line, comments=True)


@pytest.mark.parametrize("path", [path for path in TEXTS if any(commands(path))], ids=lambda path: path.stem)
def test_commands_and_options_exist(path: Path) -> None:
    for words in commands(path):
        command: Any = typer.main.get_command(app)
        rest = words[1:]
        while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
            assert rest[0] in command.commands, " ".join(words)
            command, rest = command.commands[rest[0]], rest[1:]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
        assert {word for word in rest if word.startswith("--")} <= known, " ".join(words)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_links_lead_to_files(path: Path) -> None:
    generated = {"commands", "settings", "stages", "recipes", "annotation-formats"}
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in target and not (Path(target).stem in generated and target.endswith(".md")):
            assert (path.parent / target).exists(), target


def test_every_setting_has_a_meaning() -> None:
    import settings_page

    rows = [line.split(" | ") for line in settings_page.page(ROOT).splitlines() if line.startswith("| `")]
    assert len(rows) > 80
    assert [row[0] for row in rows if not row[1].strip()] == []


def test_settings_show_type_bounds_default_and_unit() -> None:
    import settings_page

    text = settings_page.page(ROOT)
    side = next(line for line in text.splitlines() if line.startswith("| `side` |"))
    assert "integer, > 0 | required | px |" in side
    share = next(line for line in text.splitlines() if line.startswith("| `select_fraction` |"))
    assert "number, ≥ 0, < 1 | `0.2` | share, 0 to 1 |" in share


def test_every_command_is_on_its_page() -> None:
    import commands_page

    text = commands_page.page(app)
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        for child in getattr(command, "commands", {"": None}):
            assert command.hidden or f"### sadcl {name} {child}".rstrip() in text


def test_every_output_of_a_stage_is_described() -> None:
    text = (DOCS / "reference/files.md").read_text(encoding="utf-8")
    named = {name.strip("/").replace("*", "") for name in re.findall(r"`?((?:data|models|reports)/[\w./*-]+)`?", text)}
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for stage in stages.values():
        for out in (out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])):
            path = out if isinstance(out, str) else next(iter(out))
            parts = {path, f"{Path(path).parent}/{Path(path).suffix}", f"{Path(path).parts[0]}//{Path(path).name}"}
            assert parts & named or path.startswith("data/shards/"), path


def test_every_column_of_the_table_is_described() -> None:
    text = (DOCS / "reference/files.md").read_text(encoding="utf-8")
    assert [name for name in SCHEMA if f"`{name}`" not in text] == []


def test_every_validation_rule_is_described() -> None:
    text = (DOCS / "reference/validation-rules.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([a-z][^|]*) \|", text, re.MULTILINE)
    described = {name for cell in cells for name in cell.split("; ")} - {"rule"}
    frame = pd.DataFrame({"split": ["train"], "labels": [[0]]})
    table = Table(frame, ("cat",), "data/raw/pets", {})
    settings = params.Validate(min_positives={}, max_unlabelled=0)
    assert described == {rule.name for rule in rules(table, settings, None)}


def test_variables_are_those_of_the_code() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "sadcl").rglob("*.py"))
    documented = set(re.findall(r"`(SADCL_\w+)`", (DOCS / "reference/environment.md").read_text(encoding="utf-8")))
    assert documented == set(re.findall(r"\bSADCL_[A-Z_]+\b", code)) - INTERNAL


def test_install_page_names_the_locked_torch() -> None:
    text = (DOCS / "how-to/install.md").read_text(encoding="utf-8")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert set(re.findall(r"\btorch(?:vision)?==[\d.]+", text)) <= set(lock.splitlines())


def test_readme_fits_on_two_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
