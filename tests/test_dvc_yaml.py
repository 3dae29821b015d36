"""``dvc.yaml`` says what each stage truly depends on: its code and its settings, no more and no less."""

import ast
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).parent.parent
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
GROUND = {f"sadcl.{name}" for name in ("params", "files", "errors", "graph", "progress", "processes", "stages", "cli")}
"""Never listed: what they change is how a stage runs, not what it gives."""


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("sadcl", cache_dir=None)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_modules_whose_edit_can_change_its_result(stage: str, imports: grimp.ImportGraph) -> None:
    listed = {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    assert listed == code(imports, f"sadcl.stages.{stage}"), "make dvc.yaml agree with the imports"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_settings_that_it_reads(stage: str) -> None:
    assert set(STAGES[stage].get("params", ())) == read_sections(ROOT / f"sadcl/stages/{stage}.py")


def test_the_pages_alone_depend_on_the_reports_code() -> None:
    having = [name for name, stage in STAGES.items() if any(dep.startswith("sadcl/report/") for dep in stage["deps"])]
    assert having == ["report", "data_report"]
    assert "sadcl/report/templates/report.html" in STAGES["report"]["deps"]


def code(imports: grimp.ImportGraph, module: str) -> set[str]:
    """Files of all modules that ``module`` imports, directly or not; a package stands for nothing but itself."""
    found, waiting = set(), {module}
    while waiting:
        for imported in imports.find_modules_directly_imported_by(waiting.pop()):
            known = imported in found or imported in GROUND or imported == "sadcl"
            if not known and not imported.startswith("sadcl.stages"):
                found.add(imported)
                waiting.add(imported)
    return {file(name) for name in found}


def file(module: str) -> str:
    path = Path(*module.split("."))
    return str(path.with_suffix(".py") if (ROOT / path).with_suffix(".py").exists() else path / "__init__.py")


def read_sections(path: Path) -> set[str]:
    """The names in the stage's ``params.load("...")``."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    loads = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "load"]
    ours = [call for call in loads if isinstance(call.func.value, ast.Name) and call.func.value.id == "params"]
    return {arg.value for call in ours for arg in call.args if isinstance(arg, ast.Constant)}
