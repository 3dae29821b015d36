"""However a run is ended, no trainer is left behind; what a person sees in the terminal."""

import signal
from pathlib import Path

import psutil
import pytest

RETRAIN = ("flows.retrain", "--no-register")


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ending_the_flow_ends_dvc_and_its_stage(project: Path, server: str, slow, sign: signal.Signals) -> None:
    flow = slow.start(project, server, *RETRAIN)
    stage = slow.trainer(project)
    below = psutil.Process(flow.pid).children(recursive=True)
    flow.send_signal(sign)
    slow.ended(flow)
    slow.wait_for(lambda: slow.gone(stage) and all(slow.gone(one) for one in below))
    assert not (project / "three.txt").exists()
