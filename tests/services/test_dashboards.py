"""Dashboards answer, and end with the command that opened them."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from sadcl.errors import SadclError
from sadcl.services import HOST, free_port, up

# A run that was started in the background ignores Ctrl-C, and so would the processes that are started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def open_page(page: str, port: int, folder: Path, *before: str) -> "subprocess.Popen[str]":
    """A page that answers by now, opened by a command behind the words ``before``."""
    command = [*before, sys.executable, "-m", "sadcl", "open", page, "--port", str(port)]
    process = subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    assert any(line.startswith(f"{page}: http://{HOST}:{port}") for line in process.stdout)
    return process


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_page_answers_and_ends_with_the_one_who_opened_it(sign: signal.Signals, status: int, tmp_path: Path) -> None:
    port = free_port()
    # the tests may run behind nohup themselves, which every process below inherits
    page = open_page("optuna", port, tmp_path, "env", "--default-signal=HUP")
    assert page.stdout is not None
    with page.stdout:
        assert answers(port)
        assert httpx.get(f"http://{HOST}:{port}/dashboard").headers["x-frame-options"] == "DENY"
        assert httpx.get(f"http://{HOST}:{port}/", headers={"Host": "10.evil.example"}).status_code == 400
        below = psutil.Process(page.pid).children(recursive=True)
        page.send_signal(sign)
        assert "Traceback" not in page.stdout.read()
        assert page.wait(60) == status
    assert not psutil.wait_procs(below, timeout=60)[1]
    assert not answers(port)


def test_a_page_behind_nohup_goes_on_after_the_end_of_its_shell(tmp_path: Path) -> None:
    port = free_port()
    page = open_page("optuna", port, tmp_path, "nohup")
    assert page.stdout is not None
    with page.stdout:
        below = psutil.Process(page.pid).children(recursive=True)
        page.send_signal(signal.SIGHUP)
        assert answers(port)
        page.send_signal(signal.SIGTERM)
        assert page.wait(60) == 143
    assert not psutil.wait_procs(below, timeout=60)[1]


@pytest.mark.slow
def test_prefects_page_asks_its_own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_HOME", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    port = free_port()
    with open_page("prefect", port, tmp_path) as page:
        api_url = httpx.get(f"http://{HOST}:{port}/ui-settings").json()["api_url"]
        assert httpx.get(f"{api_url}/health").json() is True
        assert api_url.startswith(f"http://{HOST}:{port}/")
        for path in ("/api/health", "/"):
            answer = httpx.get(f"http://{HOST}:{port}{path}", headers={"Host": "10.evil.example"})
            assert answer.status_code == 400
        assert httpx.get(f"http://localhost:{port}/").headers["x-frame-options"] == "DENY"
        page.terminate()
        page.communicate(timeout=60)


def test_a_registry_that_forgets_is_refused_before_any_server_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///:memory:")
    with pytest.raises(SadclError, match="forgets all models"):
        up(root=tmp_path)
    assert not list(tmp_path.iterdir())
