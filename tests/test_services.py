"""Pages that run beside the loop: they answer, and they end with whoever opened them."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sadcl.services import HOST, free_port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def wait_for(port: int, wanted: bool, page: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while answers(port) != wanted:
        assert time.monotonic() < deadline
        assert not wanted or page.poll() is None
        time.sleep(0.1)


def opened(port: int, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "sadcl", "open", "optuna", "--port", str(port)]
    return subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_page_answers_and_ends_with_the_one_who_opened_it(sign: signal.Signals, tmp_path: Path) -> None:
    port = free_port()
    page = opened(port, tmp_path)
    try:
        wait_for(port, True, page)
        page.send_signal(sign)
        printed, _ = page.communicate(timeout=60)
        wait_for(port, False, page)
    finally:
        page.kill()
    assert page.returncode == 0
    assert f"http://{HOST}:{port}" in printed or "ended" in printed
    assert "Traceback" not in printed


def test_an_unknown_page_is_a_sentence(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "sadcl", "open", "nonsense"],
        cwd=tmp_path, env=os.environ, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert "Choose one of mlflow, optuna, prefect" in ran.stderr
