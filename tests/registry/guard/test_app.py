"""The guard does not start where it could not guard."""

import subprocess
import sys

import pytest

START = "from sadcl.registry.guard.app import create_app; create_app()"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"_MLFLOW_SGI_NAME": "gunicorn", "SADCL_LEDGER": "ledger.jsonl"}, "The guard needs uvicorn"),
        ({"_MLFLOW_SGI_NAME": "uvicorn"}, "no ledger to write"),
    ],
)
def test_another_server_or_no_ledger_is_refused(
    variables: dict[str, str], words: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_MLFLOW_SGI_NAME", "SADCL_LEDGER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    started = subprocess.run(
        [sys.executable, "-c", START], cwd=str(tmp_path), capture_output=True, text=True, check=False
    )
    assert started.returncode != 0
    assert words in started.stderr


ALONE = """
from mlflow.entities.model_registry import ModelVersion
from sadcl.registry.guard import makers
makers.require_another(ModelVersion("tiny", "1", 0, user_id=None))
"""


@pytest.mark.parametrize(("allowed", "words"), [("1", ""), ("0", "Nobody knows who made"), ("", "Nobody knows")])
def test_one_person_alone_may_review_where_the_server_says_so(
    allowed: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SADCL_ALLOW_SELF_REVIEW", allowed)
    asked = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert (asked.returncode == 0) == (words == ""), asked.stderr
    assert words in asked.stderr
