"""The verifier's flow on a real Prefect server: what it does, and what a kill in the middle leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sadcl.accounts import host
from sadcl.registry.client import ADDRESS, connect, logged_in_as
from sadcl.registry.verified import read_record
from tests.paths import REPOSITORY
from tests.verification.test_with_guard import RITA, password, register, team  # noqa: F401 - fixture

pytestmark = pytest.mark.slow


def start(root: Path) -> "subprocess.Popen[str]":
    """Start the flow as the verifier, on a Prefect server of its own."""
    (root / "dvc.yaml").write_text((REPOSITORY / "dvc.yaml").read_text())
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    own = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    variables = {**own, **host.account_login(host.VERIFIER, root), "PYTHONPATH": path}
    return subprocess.Popen(
        [sys.executable, "-m", "flows.verify"], cwd=root, env={**variables, ADDRESS: os.environ[ADDRESS]},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def verdicts() -> list[str | None]:
    """Verdicts in the records of both versions; None without a record."""
    with logged_in_as(RITA, password(RITA)), connect() as client:
        records = [read_record(client.get_model_version("tiny", number).tags) for number in ("1", "2")]
    return [None if record is None else record.verdict for record in records]


def test_a_killed_run_leaves_no_record_and_the_next_one_uses_its_scores(team: Path) -> None:  # noqa: F811
    register(1)
    register(2)
    killed = start(team)
    scored = team / ".sadcl/verified"
    while killed.poll() is None and not list(scored.glob("*/*.parquet")):
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    before = {path: path.stat().st_mtime_ns for path in scored.glob("*/*.parquet")}
    assert before
    assert verdicts() == [None, None]
    again = start(team)
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    assert "verify: completed: Version 1: pass" in output
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert verdicts() == ["pass", "pass"]
