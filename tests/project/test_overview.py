"""The status of a project in sentences; the lines of the registry are tested with the registry."""

import time
from pathlib import Path

import pytest

from sadcl import files, layout, pipeline
from sadcl.errors import SadclError
from sadcl.project import overview


def test_status_before_and_after_a_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny project has no settings of a model, so the line of the registry is an error, and the others follow."""
    monkeypatch.chdir(project)
    registry, last_run, *stale = overview.describe()
    assert "Setting model is missing" in registry
    assert last_run == "No stage ran here yet; `dvc repro` runs the pipeline."
    assert [line.split()[1] for line in stale] == [stage.name for stage in pipeline.stages()]
    pipeline.reproduce()
    files.write_json(layout.LAST_RUNS / "ingest.json", {"ended": time.time() - 7200, "seconds": 65.0})
    _, last_run, stages = overview.describe()
    assert last_run.startswith("Last run: ingest, ")
    assert last_run.endswith(" ago, took 1 min 05 s.")
    assert stages == "All stages are up to date."
    assert overview.last_seconds() == {"ingest": 65.0}


def test_status_outside_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SadclError, match=r"no dvc\.yaml here"):
        overview.describe()
