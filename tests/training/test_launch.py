"""A stage starts the ranks of its training, on one machine or several, and ends them when one has gone."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from sadcl import params
from sadcl.data.shards.batches import TrainingBatches
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.model import device
from sadcl.services import free_port
from sadcl.training import fit, launch, machines
from sadcl.training.store import connect, serve
from sadcl.weights import checkpoint
from tests.paths import REPOSITORY
from tests.training import groups

WEIGHTS = Path("models/pretrain/weights.safetensors")


@pytest.mark.parametrize(("processes", "on", "expected"), [
    ("", "", launch.Plan(1, 1)), ("4", "", launch.Plan(4, 1)),
    ("2", "2", launch.Plan(2, 2)), ("", "8", launch.Plan(1, 8)),
])  # fmt: skip
def test_processes_that_share_a_batch_of_8(
    processes: str, on: str, expected: launch.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SADCL_DEVICE", "cpu")
    monkeypatch.setenv("SADCL_PROCESSES", processes)
    monkeypatch.setenv("SADCL_MACHINES", on)
    assert launch.plan(8) == expected


@pytest.mark.parametrize(("gpus", "on", "expected"), [
    (1, "", launch.Plan(1)), (2, "", launch.Plan(2)), (4, "", launch.Plan(4)),
    (3, "", launch.Plan(2)), (16, "", launch.Plan(8)), (4, "4", launch.Plan(2, 4)),
])  # fmt: skip
def test_a_process_for_each_gpu_as_far_as_they_divide_a_batch_of_8(
    gpus: int, on: str, expected: launch.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SADCL_MACHINES", on)
    monkeypatch.setattr(device, "count", lambda: gpus)
    assert launch.plan(8) == expected


def test_no_photos_are_left_to_the_stage_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADCL_DEVICE", "cpu")
    monkeypatch.setenv("SADCL_PROCESSES", "2")
    assert launch.plan(0) == launch.Plan(1)


@pytest.mark.parametrize(("processes", "on", "message"), [
    ("3", "", r"3 processes can't share a batch of 8 photos evenly \(SADCL_PROCESSES\).*can: 1, 2, 4, 8\."),
    ("4", "4", r"16 processes can't share .*can: 4, 8\."),
    ("", "3", r"3 processes can't share .*\(SADCL_MACHINES\).*can: none on 3 machines"),
    ("two", "", "'two' is no positive whole number"), ("0", "", "'0' is no"), ("-2", "", "'-2' is no"),
    ("2.5", "", "'2.5' is no"), ("9" * 30, "", "9' is no"), ("²", "", "'²' is no"),
])  # fmt: skip
def test_numbers_of_processes_that_are_refused(
    processes: str, on: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SADCL_DEVICE", "cpu")
    monkeypatch.setenv("SADCL_PROCESSES", processes)
    monkeypatch.setenv("SADCL_MACHINES", on)
    with pytest.raises(SadclError, match=message):
        launch.plan(8)


@pytest.mark.parametrize("address", ["gpu1:", "gpu1:0", "gpu1:http", "gpu1:65536", ":29417"])
def test_addresses_that_are_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SadclError, match="is no address"):
        machines.join(address)


@pytest.mark.parametrize("address", ["::1", "[::1]:29417", "fe80::1%eth0"])
def test_addresses_of_ipv6_are_refused(address: str) -> None:
    with pytest.raises(SadclError, match=r"is an IPv6 address\. Use the machine's name"):
        machines.join(address)


def test_a_name_that_no_machine_has_is_refused(exact: Path) -> None:
    with pytest.raises(SadclError, match=r"The machine 'gpu1\.\.local' can't be found"):
        machines.join("gpu1..local")


@pytest.mark.parametrize("port", ["1000000", "99999", "in use"])
def test_a_port_that_is_not_available(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    used = serve("", 0)
    monkeypatch.setenv("SADCL_PORT", str(used.port) if port == "in use" else port)
    with pytest.raises(SadclError, match=r"(Port \d+ is not available|no positive whole number).*SADCL_PORT"):
        machines.gather("train", launch.Plan(1, 2))


def test_only_a_project_joins_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SadclError, match=r"no params\.yaml here"):
        machines.join("gpu1")


def test_a_machine_with_other_devices_is_refused(exact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADCL_DEVICE", "cpu")
    store = serve("127.0.0.1", 0)
    store.set(machines.PLAN, json.dumps({"stage": "train", "processes": 1, "machines": 2, "device": "cuda"}))
    with pytest.raises(SadclError, match="The first machine trains on cuda, this one would on cpu"):
        machines.join(f"127.0.0.1:{store.port}")
    assert not store.check([machines.ADDRESS])


def test_a_machine_that_has_left_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    for name, value in {"SADCL_PORT": str(port), "SADCL_DEVICE": "cpu", "GLOO_SOCKET_IFNAME": "lo"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "lo")
    monkeypatch.setattr(machines, "CALL_SECONDS", 0.5)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(machines.gather, "train", launch.Plan(1, 3))
        store = connect("127.0.0.1", port, 30)
        while not (call := store.add(machines.CALL, 0)):
            time.sleep(0.01)
        store.set(machines.ADDRESS, "127.0.0.1")
        store.add(f"{machines.ANSWERS}/{call}", 2)  # one machine joins, leaves, joins and leaves again
        while store.add(machines.CALL, 0) < call + 3:
            assert not first.done()
            time.sleep(0.01)
        assert not store.check([machines.STARTED])
        clients = [connect("127.0.0.1", port, 30) for _ in range(2)]
        assert sorted(pool.map(machines._answer_until_start, clients)) == [1, 2]
        assert first.result()[1] == "127.0.0.1"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that takes the place of Python in ranks."""
    file = tmp_path / "program"
    file.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(file))
    return file


def test_why_another_machine_has_failed_is_shown_also_where_it_is_reported_late(program: Path) -> None:
    program.write_text(f"#!/bin/sh\nexit {launch.LOST}\n")
    store = serve("127.0.0.1", 0)
    with closing(launch.LocalRanks("train", launch.Plan(1, 2), 1, "127.0.0.1", store)) as ranks:
        ranks.children[0].wait()
        threading.Timer(0.5, store.set, (launch.FAILED, "Process 1 of 2 on gpu1 failed: image 3 is damaged")).start()
        with pytest.raises(SadclError, match=r"on gpu1 failed: image 3 is damaged\. Start it again"):
            ranks.wait()


def test_ranks_are_ended_where_a_further_one_cannot_be_started(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    # more than the system passes to a program
    monkeypatch.setattr(launch, "_variables", lambda plan, machine, local, *_: {"LONG": "x" * 10_000_000 * local})
    with pytest.raises(SadclError, match=r"Process 2 on .* can't be started: .*SADCL_PROCESSES to a smaller"):
        launch.LocalRanks("train", launch.Plan(2), 0, "127.0.0.1", serve("127.0.0.1", 0))
    assert not [child for child in psutil.Process().children() if "600" in child.cmdline()]


def wait_for(condition: Callable[[], object], running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 150
    while not condition():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start(*words: str, prefix: tuple[str, ...] = (), **variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(
        [*prefix, sys.executable, *words], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def state_exists() -> bool:
    return any(Path(".sadcl/state").glob("*/state.pt"))


@pytest.fixture
def exact(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = groups.set_up(template, tmp_path / "exact")
    monkeypatch.chdir(root)
    return root


def require_weights_of_one_process() -> None:
    """Compare the weights on disk with a training in this process, from its start."""
    trained, _ = checkpoint.load_tensors(WEIGHTS)
    shutil.rmtree(".sadcl/state")
    for name, tensor in fit.pretrain(params.load(), Path("data/shards")).tensors.items():
        assert (trained[name] - tensor).abs().max() < 1e-5, name


def test_a_killed_rank_ends_the_stage_with_a_sentence_and_the_next_start_goes_on(
    exact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = start("-m", "sadcl.stages", "pretrain", SADCL_PROCESSES="2", SADCL_STATE_SECONDS="0")
    wait_for(state_exists, stage)
    ranks = psutil.Process(stage.pid).children()
    assert len(ranks) == 2
    ranks[1].kill()
    printed, _ = stage.communicate(timeout=60)
    assert stage.returncode == 2, printed
    assert "pretrain: Process 2 of 2 was ended by SIGKILL, perhaps for lack of memory. Start it again" in printed
    assert "Traceback" not in printed
    assert not any(rank.is_running() for rank in ranks)
    assert not WEIGHTS.exists()
    fit.pretrain(params.load(), Path("data/shards")).save(WEIGHTS.parent)
    assert "resumes at epoch" in capsys.readouterr().out
    require_weights_of_one_process()


@pytest.mark.slow
def test_ranks_of_torchrun_train_as_one_process(exact: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    running = start(*torchrun, "-m", "sadcl.stages", "pretrain")
    assert running.communicate()[0].count("epoch 1 of 2") == 1
    assert running.returncode == 0
    require_weights_of_one_process()


@pytest.mark.slow
def test_a_killed_stage_takes_its_ranks_along(exact: Path) -> None:
    stage = start("-m", "sadcl.stages", "pretrain", SADCL_PROCESSES="2", SADCL_STATE_SECONDS="0")
    wait_for(state_exists, stage)
    ranks = psutil.Process(stage.pid).children()
    stage.kill()
    stage.communicate()
    assert psutil.wait_procs(ranks, timeout=60)[1] == []
    assert not WEIGHTS.exists()


@pytest.mark.slow
@pytest.mark.parametrize("damaged", ["all", "share of the second rank"])
def test_an_error_in_ranks_is_one_sentence(damaged: str, exact: Path) -> None:
    train = Shards(Path("data/shards/train"))
    settings = params.load()
    batches = TrainingBatches(
        train, settings.model, settings.pretrain.augmentation, settings.pretrain.batch, settings.seed, rank=1, world=2
    )
    rows = range(len(train)) if damaged == "all" else batches.mine(0, 0)
    jpegs = [bytes(train.jpeg(int(row))) for row in rows]
    for shard in Path("data/shards/train").glob("*.arrow"):
        content = shard.read_bytes()
        for jpeg in jpegs:
            content = content.replace(jpeg, bytes(len(jpeg)))
        shard.write_bytes(content)
    stage = start("-m", "sadcl.stages", "pretrain", SADCL_PROCESSES="2")
    printed, _ = stage.communicate(timeout=200)
    assert stage.returncode == 2, printed
    assert len(re.findall(r"^pretrain: .*image .* of data/shards/train", printed, re.MULTILINE)) == 1, printed
    assert "Traceback" not in printed


@pytest.mark.slow
def test_a_machine_that_leaves_during_the_start_ends_the_training(exact: Path) -> None:
    port = str(free_port())
    stage = start("-m", "sadcl.stages", "pretrain", SADCL_MACHINES="2", SADCL_PORT=port)
    other = start("-u", "-m", "sadcl", "join", f"127.0.0.1:{port}")
    wait_for(lambda: psutil.Process(other.pid).children(), other)
    other.send_signal(signal.SIGINT)
    printed, _ = stage.communicate(timeout=60)
    joined, _ = other.communicate()
    assert stage.returncode == 2, printed
    assert f"The machine {socket.gethostname()} has left the training. Start it again" in printed
    assert "Traceback" not in printed + joined
    assert not WEIGHTS.exists()


@pytest.fixture
def hosts() -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Two network namespaces with a cable between them: words before a command that run it there."""
    names = [f"sadcl{os.getpid()}{side}" for side in "ab"]
    commands = [
        *(f"ip netns add {name}" for name in names),
        f"ip link add cable netns {names[0]} type veth peer name cable netns {names[1]}",
        *(f"ip -n {name} addr add 10.99.7.{i}/24 dev cable" for i, name in enumerate(names, start=1)),
        *(f"ip -n {name} link set {device} up" for name in names for device in ("lo", "cable")),
    ]
    try:
        for command in commands:
            if subprocess.run(command.split(), capture_output=True, check=False).returncode:
                pytest.skip("network namespaces need root and Linux")
        yield ("ip", "netns", "exec", names[0]), ("ip", "netns", "exec", names[1])
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.mark.slow
def test_two_hosts_train_as_one_and_end_when_the_cable_is_cut(
    hosts: tuple[tuple[str, ...], tuple[str, ...]], exact: Path, template: Path, tmp_path: Path
) -> None:
    first_host, second_host = hosts
    groups.set_up(template, tmp_path / "other")
    joins = "import os; os.chdir('../other'); from sadcl.training import machines; machines.join('10.99.7.1')"
    other = start("-u", "-c", joins, prefix=second_host)
    stage = start("-m", "sadcl.stages", "pretrain", prefix=first_host, SADCL_MACHINES="2", SADCL_STATE_SECONDS="0")
    wait_for(state_exists, stage)
    ranks = [process for each in (stage, other) for process in psutil.Process(each.pid).children(recursive=True)]
    assert len(ranks) == 2
    subprocess.run([*first_host, "ip", "link", "set", "cable", "down"], check=True)
    printed, _ = stage.communicate(timeout=60)
    assert stage.returncode == 2, printed
    assert "A process on another machine has ended, or the machine can't be reached. Start it again" in printed
    assert psutil.wait_procs(ranks, timeout=30)[1] == []
    subprocess.run([*first_host, "ip", "link", "set", "cable", "up"], check=True)
    again = start("-m", "sadcl.stages", "pretrain", prefix=first_host, SADCL_MACHINES="2")
    printed, _ = again.communicate(timeout=200)
    assert again.returncode == 0, printed
    assert "resumes at epoch" in printed
    other.send_signal(signal.SIGTERM)
    joined, _ = other.communicate()
    assert "pretrain: machine 2 of 2, 1 of 2 processes" in joined
    assert "pretrain: done in" in joined
    assert "Traceback" not in printed + joined
    require_weights_of_one_process()
    assert not (tmp_path / "other" / WEIGHTS).exists()
