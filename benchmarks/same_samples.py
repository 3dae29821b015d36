"""``python -m benchmarks.same_samples``: the same photos in each training step, however many processes share them.

Both stages train on a part of ``scenes`` with the demo's settings, without cached views: in one process, in two, on two
hosts (network namespaces, where root allows them), in two of which one is killed in the middle, after which one
process or five go on, and in two from shards on S3 behind an empty cache, whole and killed. Writes
``benchmarks/results/same_samples.md``.
"""

import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from benchmarks import s3_server
from benchmarks.recorded_stage import Steps, read
from sadcl import layout, params
from sadcl.data import synthetic
from sadcl.data.ingest import ingest
from sadcl.data.shards import cache
from sadcl.data.shards.writer import write_shards
from sadcl.errors import SadclError
from sadcl.progress import say
from sadcl.services import free_port

RESULT = Path("benchmarks/results/same_samples.md")
SIZES, SEED = {"train": 1000, "select": 600, "test": 10}, 2307
STAGES = ("pretrain", "train")
KILLED_AFTER = 7
"""Steps of a stage after which a process is killed."""
KILLED = "killed"
"""Folder of a project for the photos of processes that have been killed."""
ON_S3 = ("two processes", "two, one killed, then one")
ADDRESSES = ("10.99.8.1", "10.99.8.2")

Train = Callable[[Path, str], None]
"""Train a stage in a project."""


@dataclass(frozen=True)
class Outcome:
    """Photos of each step and the best mAP on select, in percent, of each stage."""

    steps: dict[str, Steps]
    select: dict[str, float]


def main() -> None:
    """Train in each way, compare with one process, and write the table."""
    repository = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, _hosts() as hosts, s3_server.bucket(Path(folder)) as address:
        local, remote = _project(Path(folder) / "local"), _project(Path(folder) / "remote", f"{address}/shards")
        two_hosts = "two hosts" if hosts[0] else "two hosts, both on loopback"
        ways: dict[str, Train] = {
            "one process": lambda project, stage: _torchrun(project, stage, 1),
            "two processes": lambda project, stage: _torchrun(project, stage, 2),
            two_hosts: lambda project, stage: _on_hosts(project, stage, hosts),
            "two, one killed, then one": lambda project, stage: _killed(project, stage, then=1),
            "two, one killed, then five": lambda project, stage: _killed(project, stage, then=5),
        }
        runs = [(name, local, train) for name, train in ways.items()]
        runs += [(f"{name}, shards on S3", remote, ways[name]) for name in ON_S3]
        outcomes: dict[str, Outcome] = {}
        for name, source, train in runs:
            say(f"{name}:")
            outcomes[name] = _outcome(Path(folder) / str(len(outcomes)), source, train)
    (repository / RESULT).write_text(_page(outcomes), encoding="utf-8")
    say(f"Wrote {RESULT}")


def _project(root: Path, store: str | None = None) -> Path:
    """A project with shards, before any training; those on S3 have no copy here yet."""
    raw = params.read_settings(Path("recipes/demo.yaml"))
    for stage in STAGES:
        raw[stage]["augmentation"]["views"] = None  # each epoch reads the photos
    synthetic.generate(root / layout.SCENES, SEED, SIZES)
    (root / "params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    settings = params.load(path=root / "params.yaml")
    table = ingest(root, str(layout.SCENES), settings.ingest, SEED, root / layout.CACHE, 2)
    # out of the way: each training copies the shards anew
    os.environ[cache.FOLDER] = str(root / "unused")
    write_shards(table, root, root / layout.SHARDS, settings.prepare.model_copy(update={"store": store}), 2)
    shutil.rmtree(root / "unused", ignore_errors=True)
    del os.environ[cache.FOLDER]
    return root


def _outcome(project: Path, source: Path, train: Train) -> Outcome:
    shutil.copytree(source, project)
    steps, select = {}, {}
    for stage in STAGES:
        train(project, stage)
        # a step that a kill has cut off is done again
        steps[stage] = {**read(project / KILLED), **read(project)}
        for path in project.rglob("photos-*.jsonl"):
            path.unlink()
        with (project / layout.MODELS / stage / "history.csv").open(encoding="utf-8") as file:
            select[stage] = max(float(row["select_mAP"]) for row in csv.DictReader(file))
        if stage == "pretrain":
            _wait(_start(project, [], "-m", "sadcl.stages", "prototypes"))
    return Outcome(steps, select)


def _start(project: Path, prefix: Sequence[str], *words: str, **variables: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen([*prefix, sys.executable, *words], cwd=project, env=environment)


def _launch(
    project: Path, stage: str, processes: int, options: Sequence[str] = (), prefix: Sequence[str] = (), **variables: str
) -> subprocess.Popen[bytes]:
    """Start torchrun, on this host or, by a prefix of the command, on another one."""
    where = options or ("--master-addr", "127.0.0.1", "--master-port", str(free_port()))
    words = (
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        str(processes),
        *where,
        "-m",
        "benchmarks.recorded_stage",
    )
    return _start(project, prefix, *words, stage, **variables)


def _wait(*running: subprocess.Popen[bytes]) -> None:
    if [process for process in running if process.wait()]:
        raise SadclError("A training has failed", fix="Read its lines above")


def _torchrun(project: Path, stage: str, processes: int) -> None:
    _wait(_launch(project, stage, processes))


def _on_hosts(project: Path, stage: str, hosts: Sequence[Sequence[str]]) -> None:
    """Train on two hosts, each with a process of torchrun."""
    port, running = str(free_port()), []
    for number, host in enumerate(hosts):
        address, interface = (ADDRESSES[0], "cable") if host else ("127.0.0.1", "lo")
        options = ("--nnodes", "2", "--node-rank", str(number), "--master-addr", address, "--master-port", port)
        running.append(_launch(project, stage, 1, options, host, GLOO_SOCKET_IFNAME=interface))
    _wait(*running)


def _killed(project: Path, stage: str, then: int) -> None:
    """Kill one of two processes in the middle of the first epoch, then go on with others."""
    group = _launch(project, stage, 2, SADCL_STATE_SECONDS="0")
    photos = project / "photos-1.jsonl"
    while not (photos.exists() and len(photos.read_text(encoding="utf-8").splitlines()) > KILLED_AFTER):
        if group.poll() is not None:
            raise SadclError("A training has ended before it was killed", fix="Read its lines above")
        time.sleep(0.1)
    ranks = psutil.Process(group.pid).children()
    next(rank for rank in ranks if rank.environ().get("RANK") == "1").kill()
    group.wait()
    (project / KILLED).mkdir(exist_ok=True)
    for path in project.glob("photos-*.jsonl"):
        path.rename(project / KILLED / path.name)
    _torchrun(project, stage, then)


@contextmanager
def _hosts() -> Iterator[Sequence[Sequence[str]]]:
    """Words before a command that run it on each of two hosts; none where this user can't make any."""
    names = [f"samples{os.getpid()}{side}" for side in "ab"]
    commands = [
        *(f"ip netns add {name}" for name in names),
        f"ip link add cable netns {names[0]} type veth peer name cable netns {names[1]}",
        *(f"ip -n {name} addr add {own}/24 dev cable" for name, own in zip(names, ADDRESSES, strict=True)),
        *(f"ip -n {name} link set {device} up" for name in names for device in ("lo", "cable")),
    ]
    try:
        available = shutil.which("ip") and not any(_run(command) for command in commands)
        yield [["ip", "netns", "exec", name] if available else [] for name in names]
    finally:
        if shutil.which("ip"):
            for name in names:
                _run(f"ip netns del {name}")


def _run(command: str) -> int:
    return subprocess.run(command.split(), capture_output=True, check=False).returncode


def _page(outcomes: dict[str, Outcome]) -> str:
    first = next(iter(outcomes.values()))
    lines = [
        "# Same samples anywhere",
        "",
        "Generated by `python -m benchmarks.same_samples`: the demo's settings without cached views, on "
        f"{SIZES['train']} photos of `scenes` ({SIZES['select']} for select), on CPUs. A step has the same photos if "
        "its global batch has the same photos at the same places. mAP on select in percent, and its difference from "
        "one process: another number of processes adds up in another order, and a training in float32 amplifies last "
        "digits.",
        "",
        "| run | steps with the same photos, stage 1 | stage 2 | mAP, stage 1 | mAP, stage 2 |",
        "|---|---|---|---|---|",
    ]
    for name, outcome in outcomes.items():
        same = [_same(outcome.steps[stage], first.steps[stage]) for stage in STAGES]
        maps = [f"{outcome.select[s]:.2f} ({outcome.select[s] - first.select[s]:+.2f})" for s in STAGES]
        lines.append(f"| {' | '.join([name, *same, *maps])} |")
    return "\n".join([*lines, ""])


def _same(steps: Steps, expected: Steps) -> str:
    return f"{sum(steps.get(step) == photos for step, photos in expected.items())} of {len(expected)}"


if __name__ == "__main__":
    main()
