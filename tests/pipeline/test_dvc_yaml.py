"""``dvc.yaml`` lists what each stage truly depends on: its code and its settings."""

import ast
from functools import cache
from pathlib import Path

import grimp
import pytest
import yaml
from jinja2 import meta

from sadcl.report import html
from tests.paths import REPOSITORY

STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
INFRASTRUCTURE = {
    "params", "files", "names", "databases", "bounded_json", "bounded_parquet", "errors", "extras", "pipeline",
    "progress", "processes", "layout", "s3", "stages", "cli",
}  # fmt: skip
"""Never listed: an edit changes how a stage runs, not its result."""
ENGINES = {"prepare": "sadcl.batch"}
"""Package that a stage hands its work to, and that calls the listed code: the shards have the same bytes without it."""


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("sadcl", cache_dir=None)


@cache
def imported(stage: str) -> frozenset[str]:
    """Files of all modules that a stage imports, directly or not, packages' own ``__init__`` left out."""
    modules, waiting = set(), {f"sadcl.stages.{stage}"}
    engines = ENGINES.get(stage, ())
    while waiting:
        for module in graph().find_modules_directly_imported_by(waiting.pop()) - modules:
            if module != "sadcl" and module.split(".")[1] not in INFRASTRUCTURE and not module.startswith(engines):
                modules.add(module)
                waiting.add(module)
    return frozenset(path for path in map(file, modules) if not path.endswith("__init__.py"))


def file(module: str) -> str:
    path = Path(*module.split("."))
    return str(path.with_suffix(".py") if (REPOSITORY / path).with_suffix(".py").exists() else path / "__init__.py")


def listed(stage: str) -> set[str]:
    """Files of code that a stage depends on, those in listed folders too."""
    paths = [Path(dep) for dep in STAGES[stage]["deps"] if dep.startswith("sadcl/")]
    below = [path.relative_to(REPOSITORY) for folder in paths for path in (REPOSITORY / folder).rglob("*.py")]
    return {str(path) for path in (*paths, *below) if path.suffix == ".py" and path.name != "__init__.py"}


def upstream(stage: str) -> set[str]:
    """A stage, and all whose outputs it depends on, directly or not."""
    deps = STAGES[stage]["deps"]
    before = [
        name for name, other in STAGES.items()
        if any(dep == out or dep.startswith(f"{out}/") for dep in deps for out in outputs(other))
    ]  # fmt: skip
    return {stage}.union(*map(upstream, before))


def outputs(stage: dict[str, list[str | dict[str, object]]]) -> set[str]:
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
    return {path for entry in entries for path in ([entry] if isinstance(entry, str) else entry)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_code_that_decides_its_result(stage: str) -> None:
    assert imported(stage) <= listed(stage), "make dvc.yaml agree with the imports"


@pytest.mark.parametrize("stage", STAGES)
def test_no_edit_of_unrelated_code_makes_a_stage_stale(stage: str) -> None:
    """A listed folder holds code of this stage or of one before it, or code whose edit means a new training anyway."""
    related = frozenset().union(*map(imported, {*upstream(stage), "pretrain", "train"}))
    assert listed(stage) <= related


@pytest.mark.parametrize("stage", ["pretrain", "train"])
def test_only_code_of_training_and_of_its_data_makes_training_stale(stage: str) -> None:
    assert listed(stage) <= frozenset().union(*map(imported, upstream(stage)))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_settings_that_it_reads(stage: str) -> None:
    assert set(STAGES[stage].get("params", ())) == read_sections(REPOSITORY / f"sadcl/stages/{stage}.py")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_by_its_name(stage: str) -> None:
    assert STAGES[stage]["cmd"] == f"python -m sadcl.stages {stage}"
    assert (REPOSITORY / f"sadcl/stages/{stage}.py").exists()


def test_the_pages_alone_depend_on_the_code_of_reports() -> None:
    pages = [name for name, stage in STAGES.items() if any(dep.startswith("sadcl/report/") for dep in stage["deps"])]
    assert pages == ["report", "data_report"]
    assert "sadcl/report/templates/report.html" in STAGES["report"]["deps"]


@pytest.mark.parametrize(("stage", "page"), [("report", "report.html"), ("data_report", "data.html")])
def test_a_page_depends_on_all_its_templates(stage: str, page: str) -> None:
    deps = {Path(dep) for dep in STAGES[stage]["deps"]}
    assert {Path("sadcl/report/templates", name) for name in templates(page)} <= deps


def templates(name: str) -> set[str]:
    """A template's name, and those of all that it includes or imports, directly or not."""
    jinja = html.environment()
    source = (REPOSITORY / "sadcl/report/templates" / name).read_text(encoding="utf-8")
    return {name}.union(*(templates(str(other)) for other in meta.find_referenced_templates(jinja.parse(source))))


def read_sections(path: Path) -> set[str]:
    """The names in the stage's ``params.load("...")``."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    loads = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "load"]
    params = [call for call in loads if isinstance(call.func.value, ast.Name) and call.func.value.id == "params"]
    return {arg.value for call in params for arg in call.args if isinstance(arg, ast.Constant)}
