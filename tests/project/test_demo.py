"""The demo's command outside a project."""

from pathlib import Path

import pytest

from sadcl.errors import SadclError
from sadcl.project import demo


def test_outside_a_project_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SadclError, match=r"There is no dvc\.yaml here"):
        demo.run("demo")
    assert list(tmp_path.iterdir()) == []
