"""``python -m benchmarks.kills [PHOTOS]``: a million photos, twenty kills, one set of bytes.

Small photos lie on a server of S3 that lies (``benchmarks.photo_server``). A Ray cluster of two nodes predicts them,
while workers, nodes and drivers are killed; a driver that was killed is started again. The predictions are compared
with those of one process that nothing disturbed. Writes ``benchmarks/results/kills.md``.
"""

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx
import psutil
import torch

from benchmarks import server_process
from sadcl import params
from sadcl.errors import SadclError
from sadcl.model.network import Network
from sadcl.progress import say
from sadcl.weights import checkpoint, file_head

RESULT = Path("benchmarks/results/kills.md")
PHOTOS, KILLS = 1_000_000, 20
VICTIMS = ("worker", "node", "worker", "driver")
CLASSES = 8
MODEL = params.Model(
    backbone="test_resnet", weights="random", side=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), head="pooling",
    width=16, heads=2, feedforward=16, embedding=8,
)  # fmt: skip
POLL = 0.05


@dataclass
class Outcome:
    """Figures of a job.

    Attributes:
        seconds: from its first start to its end.
        digest: of all files that it wrote.
        repeated: photos that were read more than once.
        memory: largest resident set of a driver, in bytes.
        resumed: seconds from each start after a kill to the first photo that was read.
        kills: number of each kind of victim.
    """

    seconds: float = 0.0
    digest: str = ""
    repeated: int = 0
    memory: int = 0
    resumed: list[float] = field(default_factory=list)
    kills: dict[str, int] = field(default_factory=dict)


def main(photos: int) -> None:
    """Run both jobs, compare, and write the page."""
    with tempfile.TemporaryDirectory(prefix="sadcl-kills-") as folder:
        root = Path(folder)
        model = write_model(root / "model" / file_head.FILE)
        set_credentials()
        say("killed:")
        with server_process.run("benchmarks.photo_server", str(photos)) as (_, address):
            os.environ["AWS_ENDPOINT_URL"] = address
            with server_process.run("benchmarks.ray_nodes") as (nodes, cluster):
                os.environ["RAY_ADDRESS"] = cluster
                killed = _killed(model, root / "killed", photos, nodes)
        say("quiet:")
        with server_process.run("benchmarks.photo_server", str(photos)) as (_, address):
            os.environ["AWS_ENDPOINT_URL"] = address
            quiet = Outcome()
            started = time.time()
            driver = predict(model, root / "quiet", "local", "--workers", "1")
            if driver.wait():
                raise SadclError("The quiet job has failed", fix="Read its lines above")
            quiet.seconds, quiet.digest = time.time() - started, _digest(root / "quiet")
    page = _page(photos, killed, quiet)
    say(page)
    RESULT.write_text(page, encoding="utf-8")


def set_credentials() -> None:
    """Set what S3, a cluster of this machine, and its workers ask for."""
    os.environ.update(
        AWS_ACCESS_KEY_ID="anybody", AWS_SECRET_ACCESS_KEY="anything", AWS_DEFAULT_REGION="us-east-1",
        RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=hashlib.sha256(os.urandom(32)).hexdigest(), OMP_NUM_THREADS="1",
    )  # fmt: skip


def _killed(model: Path, out: Path, photos: int, nodes: Any) -> Outcome:
    """Predict on the cluster, with kills at even steps of the progress."""
    outcome, started = Outcome(), time.time()
    driver, begun = predict(model, out, "ray"), time.time()
    for number, victim in enumerate(islice(cycle(VICTIMS), KILLS)):
        goal = photos * (2 * number + 1) // (2 * KILLS)
        while (counts := read_counts())["read"] - counts["repeated"] < goal:
            if driver.poll() is not None:
                raise SadclError("The job ended before all kills", fix="Read its lines above")
            outcome.memory = max(outcome.memory, _memory(driver))
            time.sleep(POLL)
        say(f"  {counts['read']:,.0f} photos were read: kill of a {victim}")
        outcome.kills[victim] = outcome.kills.get(victim, 0) + 1
        if victim == "node":
            nodes.stdin.write("replace\n")
            nodes.stdin.flush()
        elif victim == "worker":
            _kill_worker()
        else:
            driver.kill()
            driver.wait()
            _wait_for_silence()
            driver, begun, before = predict(model, out, "ray"), time.time(), read_counts()["last"]
            while read_counts()["last"] <= before and driver.poll() is None:
                time.sleep(POLL)
            outcome.resumed.append(read_counts()["last"] - begun)
    while driver.poll() is None:
        outcome.memory = max(outcome.memory, _memory(driver))
        time.sleep(POLL)
    if driver.returncode:
        raise SadclError("The killed job has failed at its end", fix="Read its lines above")
    outcome.seconds, outcome.digest = time.time() - started, _digest(out)
    outcome.repeated = int(read_counts()["repeated"])
    return outcome


def predict(model: Path, out: Path, engine: str, *words: str) -> "subprocess.Popen[bytes]":
    """Start a job on all photos of the server."""
    command = [sys.executable, "-m", "sadcl", "predict", "s3://photos", "--out", str(out), "--model", str(model)]
    command += ["--photo-seconds", "600"]  # a busy machine is no reason to give up a photo
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    return subprocess.Popen([*command, "--engine", engine, *words], env=environment)


def read_counts() -> dict[str, float]:
    """Ask the server of photos what it has counted."""
    counts: dict[str, float] = _client().get(f"{os.environ['AWS_ENDPOINT_URL']}/counts").json()
    return counts


@cache
def _client() -> httpx.Client:
    return httpx.Client(timeout=60)


def _workers() -> list[psutil.Process]:
    """Processes that compute; on this machine only this benchmark has any."""
    workers = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        words, variables = process.info["cmdline"] or [], process.info["environ"] or {}
        own = variables.get("AWS_ENDPOINT_URL") == os.environ["AWS_ENDPOINT_URL"]
        if own and "sadcl.batch.child" in words:
            workers.append(process)
    return workers


def _kill_worker() -> None:
    """Kill a worker, as soon as there is one."""
    while True:
        for worker in _workers():
            with suppress(psutil.NoSuchProcess):
                worker.send_signal(signal.SIGKILL)
                return
        time.sleep(POLL)


def _wait_for_silence() -> None:
    """Wait until the workers of a killed driver are gone."""
    while _workers():
        time.sleep(POLL)


def _memory(driver: "subprocess.Popen[bytes]") -> int:
    try:
        return int(psutil.Process(driver.pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _digest(folder: Path) -> str:
    """Digest of the names and contents of all files but the lock."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_model(path: Path) -> Path:
    """Write the weights file of an untrained network for small photos."""
    torch.manual_seed(0)
    network = Network(MODEL, CLASSES, start=False).eval()
    head = {
        "stage": "train", "classes": [str(j) for j in range(CLASSES)], "model": MODEL.model_dump(mode="json"),
        "thresholds": None,
        "preprocessing": {"side": MODEL.side, "mean": list(MODEL.mean), "std": list(MODEL.std)},
    }  # fmt: skip
    checkpoint.save(path, {f"ema.network.{name}": tensor for name, tensor in network.state_dict().items()}, head)
    return path


def _page(photos: int, killed: Outcome, quiet: Outcome) -> str:
    kills = ", ".join(f"{count} {victim}s" for victim, count in killed.kills.items())
    same = "equal, byte for byte" if killed.digest == quiet.digest else "NOT equal"
    rows = {
        "predictions, manifest and summary": f"{same} ({killed.digest[:12]}, {quiet.digest[:12]})",
        "photos read twice": f"{killed.repeated:,} ({100 * killed.repeated / photos:.2f} %)",
        "start after a killed driver to the first photo": f"{max(killed.resumed, default=0.0):.1f} s at most",
        "memory of the driver": f"{killed.memory / 1e6:.0f} MB at most",
        "duration, with kills on two nodes": f"{killed.seconds:,.0f} s",
        "duration of one quiet process": f"{quiet.seconds:,.0f} s",
    }
    return "\n".join([
        "# Many photos, twenty kills, one set of bytes", "",
        f"Generated by `python -m benchmarks.kills {photos}`: {photos:,} JPEGs of 32 x 32 pixels on a server of S3 of "
        f"which one object in a hundred answers wrongly at first, a Ray cluster of two nodes with a core each, killed: "
        f"{kills}.", "",
        "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items()), "",
    ])  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PHOTOS)
