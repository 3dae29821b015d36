"""Pages that run beside the loop: they answer, and they end with whoever opened them."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sadcl.services import HOST, free_port

# A run that was started in the background ignores Ctrl-C, and so would the processes that are started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_page_answers_and_ends_with_the_one_who_opened_it(sign: signal.Signals, status: int, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "sadcl", "open", "optuna", "--port", str(port)]
    page = subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert page.stdout is not None
    with page.stdout:
        assert any(line.startswith(f"optuna: http://{HOST}:{port}") for line in page.stdout)
        assert answers(port)
        below = psutil.Process(page.pid).children(recursive=True)
        page.send_signal(sign)
        assert "Traceback" not in page.stdout.read()
        assert page.wait(60) == status
    assert not psutil.wait_procs(below, timeout=60)[1]
    assert not answers(port)
