"""The whole loop on a tiny set, every tool real: what a newcomer, a retrainer and a reviewer see."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml

from sadcl import files
from tests.paths import REPOSITORY
from tests.programs import MLFLOW, ForkServer

BIN = Path(sys.executable).parent
SADCL = "from sadcl.cli import main; main()"
Command = Callable[..., str]
SIZES = {"train": 60, "select": 20, "test": 24}
MAKE = f"""
from pathlib import Path
from sadcl.data import synthetic
synthetic.generate(Path("data/raw/scenes"), 7, {SIZES!r})
"""


def tiny() -> str:
    raw = yaml.safe_load((REPOSITORY / "recipes/demo.yaml").read_text())
    raw["model"] |= {"side": 32, "width": 16, "heads": 2, "feedforward": 16, "embedding": 8, "weights": "random"}
    for stage in ("pretrain", "train"):
        raw[stage] |= {"epochs": 1, "batch": 10}
    raw["validate"] |= {"min_positives": {"train": 0, "select": 0, "test": 0}, "max_unlabelled": 0.5}
    raw["gate"]["rules"][0]["at_least"] = 0.0  # a network this small on so few photos shows nothing above it
    return yaml.safe_dump(raw, sort_keys=False)


def run(project: Path, *command: str, code: int = 0, **variables: str) -> str:
    """Run a command of the project's environment; its output."""
    variables |= environment(project)
    completed = subprocess.run(command, cwd=project, env=variables, text=True, capture_output=True, timeout=400)
    assert completed.returncode == code, completed.stdout + completed.stderr
    assert "Traceback" not in completed.stdout + completed.stderr
    return completed.stdout + completed.stderr


def environment(project: Path) -> dict[str, str]:
    return {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(project.parent), "OMP_NUM_THREADS": "1",
        "DVC_NO_ANALYTICS": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }  # fmt: skip


def recorded(project: Path) -> dict[str, str]:
    """Variables of programs that write the names of their modules to files next to the project."""
    return {
        "PYTHONPATH": str(REPOSITORY / "tests/end_to_end/loaded"), "LOADED_MODULES": str(project.parent / "loaded"),
    }  # fmt: skip


def ran_stages(printed: str) -> list[str]:
    return [line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage '")]


def stale(sadcl: Command) -> list[str]:
    return [line.split()[1] for line in sadcl("status").splitlines() if line.startswith("Stale: ")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this project with tiny settings, after its first `sadcl demo`."""
    project = tmp_path_factory.mktemp("loop") / "project"
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, text=True, capture_output=True, check=True
    ).stdout.split("\n")
    for name in filter(None, tracked):
        if (REPOSITORY / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, project / name)
    (project / "recipes/tiny.yaml").write_text(tiny())
    git = ("init -q -b main", "config user.name Ann", "config user.email ann@example.org", "add -A", "commit -qm start")
    for command in map(str.split, git):
        run(project, "git", *command)
    run(project, sys.executable, "-c", MAKE)
    run(project, "dvc", "add", "--quiet", "data/raw/scenes")
    (project.parent / "loaded").mkdir()
    (project / "first.log").write_text(run(project, "sadcl", "demo", "--recipe", "tiny", **recorded(project)))
    return project


@pytest.fixture(scope="module")
def sadcl(project: Path, programs: ForkServer) -> Command:
    """The command ``sadcl`` in the project; its output."""

    def run_command(*words: str, code: int = 0) -> str:
        program = programs.start("-c", SADCL, *words, imports=MLFLOW, cwd=project, env=environment(project))
        printed, _ = program.communicate()
        assert program.returncode == code, printed
        assert "Traceback" not in printed
        return printed

    return run_command


def test_the_demo_ends_with_what_happened(project: Path) -> None:
    printed = (project / "first.log").read_text()
    for part in ("60 images", "Time per stage", "linear probe", "SARL", "SADCL", "Gate: pass", "sadcl-scenes",
                 "photo 3000", "sadcl open mlflow", "sadcl tune --dashboard", "sadcl open prefect",
                 "report.html"):  # fmt: skip
        assert part in printed


SCORES = {"torch", "timm", "torchvision"}
HEAVY = {
    *SCORES, "torch._dynamo", "lightning_fabric", "great_expectations", "pandas", "scipy.stats", "sklearn", "cleanlab",
    "matplotlib", "mlflow", "prefect", "optuna", "dvc", "networkx",
}  # fmt: skip
"""Modules that take a tenth of a second of CPU time or more to import."""
LOADS = {
    "ingest": {"pandas"},
    "validate": {"great_expectations", "pandas", "scipy.stats"},
    "prepare": {"pandas"},
    "probe": SCORES,
    "pretrain": SCORES | {"lightning_fabric"},
    "prototypes": SCORES,
    "train": SCORES | {"lightning_fabric"},
    "calibrate": SCORES,
    "evaluate": SCORES,
    "rescore": set(),
    "gate": set(),
    "report": SCORES | {"matplotlib"},
    "label_errors": {"cleanlab", "sklearn", "scipy.stats", "pandas"},
    "data_report": {"pandas", "matplotlib"},
    "status": {"dvc"},
    "doctor": set(),
}
"""Modules of ``HEAVY`` that each stage of a first run, and each command after it, may load."""


@pytest.mark.parametrize("program", LOADS)
def test_a_program_loads_no_heavy_module_that_it_does_not_use(project: Path, program: str) -> None:
    file = project.parent / f"loaded/{program}.txt"
    if not file.exists():
        for _ in range(2):  # the first `sadcl status` after a change of the registry asks MLflow
            run(project, sys.executable, "-m", "sadcl", program, **recorded(project))
    loaded = set(file.read_text().split())
    assert "sadcl" in loaded
    assert loaded & HEAVY <= LOADS[program]


def test_a_second_demo_and_a_second_repro_have_nothing_to_do(project: Path, sadcl: Command) -> None:
    assert "Everything is up to date" in sadcl("demo", "--recipe", "tiny")
    assert ran_stages(run(project, "dvc", "repro")) == []


def test_a_changed_setting_reruns_its_stage_and_what_follows(project: Path, sadcl: Command) -> None:
    settings = project / "params.yaml"
    before = settings.read_text()
    try:
        raw = yaml.safe_load(before)
        raw["train"]["lr"] = 1e-4
        settings.write_text(yaml.safe_dump(raw, sort_keys=False))
        judged = ["train", "calibrate", "evaluate", "gate", "report"]
        assert stale(sadcl) == [*judged, "label_errors", "data_report"]
    finally:
        settings.write_text(before)


def test_an_edit_of_the_plots_reruns_the_pages_alone(project: Path, sadcl: Command) -> None:
    code = project / "sadcl/report/model_plots.py"
    before = code.read_text()
    try:
        code.write_text(before + "\n# a remark\n")
        assert stale(sadcl) == ["report", "data_report"]
    finally:
        code.write_text(before)


def test_metrics_params_and_plots_are_dvcs(project: Path) -> None:
    assert "mAP" in run(project, "dvc", "metrics", "show")
    assert "reports/metrics.json" in run(project, "dvc", "metrics", "diff", "--json")
    assert "pretrain" in run(project, "dvc", "params", "diff", "--all")
    assert run(project, "dvc", "plots", "show", "--json")


def test_a_second_clone_gets_everything_by_pull_and_has_nothing_to_do(project: Path) -> None:
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "a trained model")
    clone = project.parent / "clone"
    run(project, "git", "clone", "-q", str(project), str(clone))
    run(clone, "dvc", "remote", "modify", "--local", "local", "url", str(project / ".dvc-remote"))
    run(clone, "dvc", "pull", "--quiet")
    assert (clone / "models/train/weights.safetensors").exists()
    assert (clone / "reports/metrics.json").exists()
    assert ran_stages(run(clone, "dvc", "repro")) == []


def test_a_photo_is_tagged(project: Path, sadcl: Command) -> None:
    photo = next((project / "data/raw/scenes/images/test").glob("*.jpg"))
    printed = sadcl("predict", str(photo), "--json", "--threshold", "0.0")
    labels = json.loads(printed)["labels"]
    assert len(labels) == 10
    assert labels[0]["probability"] >= labels[-1]["probability"]
    sadcl("predict", str(photo), "--threshold", "0.0", "--attention", "maps")
    assert len(list((project / "maps").glob("*.jpg"))) == 10
    assert "can't be read" in sadcl("predict", "nowhere.jpg", code=2)


def test_a_reviewer_promotes_and_only_what_follows_is_stale(project: Path, sadcl: Command) -> None:
    assert "--first" in sadcl("promote", "1", "--reason", "good", code=2)
    assert "reason" in sadcl("promote", "1", "--first", code=2)
    sadcl("promote", "1", "--first", "--reason", "The first one")
    assert json.loads((project / "data/champion.json").read_text())["version"]
    assert stale(sadcl) == ["rescore", "gate", "report"]
    run(project, "dvc", "repro")
    verdict = json.loads((project / "reports/verdict.json").read_text())
    assert [rule["result"] for rule in verdict["rules"]] == ["pass", *["not applicable"] * 4]
    assert "Champion: sadcl-scenes-production version 1" in sadcl("status")
    printed = sadcl("predict", str(next((project / "data/raw/scenes/images/test").glob("*.jpg"))),
                  "--model", "models:/sadcl-scenes-production@champion")  # fmt: skip
    assert ".jpg:" in printed


def test_the_flow_finds_nothing_to_do(project: Path, server: str) -> None:
    printed = run(project, sys.executable, "-m", "flows.retrain", PREFECT_API_URL=server)
    assert "unchanged" in printed.lower()


def test_doctor_has_nothing_to_say(project: Path, sadcl: Command) -> None:
    first, *runs = sadcl("doctor").strip().splitlines()
    assert first == "There are no problems."
    assert all(line.startswith("Last good retraining") for line in runs)  # another test has run the flow


STAGES = (
    "ingest", "validate", "prepare", "pretrain", "prototypes", "calibrate", "evaluate", "rescore", "gate", "report",
    "label_errors", "data_report",
)  # fmt: skip


@pytest.mark.parametrize("stage", ["train", *(pytest.param(s, marks=pytest.mark.slow) for s in STAGES)])
def test_dvc_killed_in_any_stage_leaves_no_stage_behind_and_can_run_again(project: Path, stage: str) -> None:
    before = {path: files.digest(path) for path in project.glob("models/**/*.safetensors")}
    command = ["dvc", "repro", "--single-item", "--force", stage]
    dvc = subprocess.Popen(command, cwd=project, env=environment(project), text=True, stdout=subprocess.PIPE)
    assert dvc.stdout is not None
    for line in dvc.stdout:
        if line.startswith(f"{stage}: reads"):
            break
    below = psutil.Process(dvc.pid).children(recursive=True)
    dvc.kill()
    dvc.wait()
    dvc.stdout.close()
    assert below
    assert not psutil.wait_procs(below, timeout=60)[1]
    assert ran_stages(run(project, *command)) == [stage]
    assert not set(ran_stages(run(project, "dvc", "repro"))) - {"report"}  # which shows how fast training was
    assert {path: files.digest(path) for path in before} == before


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["pretrain", "train", *STAGES])
def test_a_stage_killed_by_itself_fails_dvc_and_can_run_again(project: Path, stage: str) -> None:
    before = {path: files.digest(path) for path in project.glob("models/**/*.safetensors")}
    command = ["dvc", "repro", "--single-item", "--force", stage]
    unbuffered = {**environment(project), "PYTHONUNBUFFERED": "1"}
    dvc = subprocess.Popen(
        command, cwd=project, env=unbuffered, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert dvc.stdout is not None
    with dvc.stdout:
        for line in dvc.stdout:
            if line.startswith(f"{stage}: reads"):
                (victim,) = (
                    p for p in psutil.Process(dvc.pid).children(True) if p.cmdline()[-2:] == ["sadcl.stages", stage]
                )
                victim.kill()
    assert dvc.wait() != 0
    assert ran_stages(run(project, *command)) == [stage]
    assert not set(ran_stages(run(project, "dvc", "repro"))) - {"report"}  # which shows how fast training was
    assert {path: files.digest(path) for path in before} == before


def test_broken_data_stops_the_line_with_a_sentence(project: Path) -> None:
    photo = next((project / "data/raw/scenes/images/train").glob("*.jpg"))
    whole = photo.read_bytes()
    photo.unlink()
    photo.write_bytes(whole[: len(whole) // 3])
    try:
        printed = run(project, "dvc", "repro", code=255)
        assert "can be decoded" in printed
        assert photo.stem in printed
    finally:
        photo.write_bytes(whole)
        run(project, "dvc", "repro")
