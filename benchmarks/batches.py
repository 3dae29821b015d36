"""Batch prediction against tensors that are there already, photo by photo and on Ray; its steps by themselves."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from benchmarks import server_process
from benchmarks.pairs import Pair, Side
from sadcl import files, params, processes
from sadcl.batch import job, lease, listing, parts, plan, summary
from sadcl.batch.chunks import BATCH
from sadcl.batch.engines.local import LocalEngine
from sadcl.batch.engines.ray import RayEngine
from sadcl.batch.lease import Engine
from sadcl.batch.parts import About, Collector
from sadcl.batch.spec import Spec, prediction_versions
from sadcl.data import manifest
from sadcl.data.manifest import Manifest
from sadcl.errors import SadclError
from sadcl.model.network import Network
from sadcl.model.tagger import Tagger
from sadcl.weights import checkpoint, file_head, loader
from sadcl.weights.folding import fold

PHOTOS, ONE_BY_ONE = 1024, 64
SIZE = (640, 480)
PIECE, NODES = 4 * BATCH, 2
LISTED, PLANNED = 50_000, 10_000_000
"""Photos of a finished job that runs again, and of a plan."""
_stack = ExitStack()
"""Workers and clusters of the measured rows."""


def close() -> None:
    """End all workers, then the clusters; a cluster that ends under a connected driver can hold up its exit."""
    _stack.close()


def ready_tensors() -> Pair:
    """All photos, read, decoded and written as predictions, beside the network alone."""
    tagger = loader.load_tagger(_model())
    side = int(tagger.head["preprocessing"]["side"])
    images = torch.randn(BATCH, 3, side, side).contiguous(memory_format=torch.channels_last)

    def plain() -> None:
        with torch.inference_mode():
            for _ in range(PHOTOS // BATCH):
                tagger.network(images)

    return _batch_job(PHOTOS), plain


def one_by_one() -> Pair:
    """A few photos, beside a loop that predicts one after the other."""
    tagger = loader.load_tagger(_model())
    photos = sorted(_photos(ONE_BY_ONE).rglob("*.jpg"))

    def plain() -> None:
        for _ in range(PHOTOS // ONE_BY_ONE):
            for photo in photos:
                tagger.predict([photo])

    return _batch_job(PHOTOS), plain


def ray() -> Pair:
    """All photos on two nodes of a Ray cluster on this machine, beside as many local workers."""
    return _on_ray(), _batch_job(PHOTOS, lambda spec: LocalEngine(spec, [{}] * NODES))


def ray_data() -> Pair:
    """All photos on two nodes of a Ray cluster, beside Ray Data on another such cluster."""
    engine_side = _on_ray()
    _start_cluster()  # of its own: the engine's actors leave no core of theirs to others
    child, _ = _stack.enter_context(server_process.run("benchmarks.ray_data", str(_photos(PHOTOS)), str(_model())))

    def plain() -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(tempfile.mkdtemp(dir=_folder()) + "\n")
        child.stdin.flush()
        if "DONE" not in child.stdout.readline():
            raise SadclError("Ray Data has failed", fix="Run benchmarks.ray_data by itself and read its errors")

    return engine_side, plain


def folding() -> Pair:
    """A batch through a network whose norms are folded into its convolutions, beside the network as it was trained."""
    folded, plain = (loader.load_tagger(_model()) for _ in range(2))
    side = int(folded.head["preprocessing"]["side"])
    fold(folded.network, side)
    images = torch.randn(BATCH, 3, side, side).contiguous(memory_format=torch.channels_last)

    def run(tagger: Tagger) -> None:
        with torch.inference_mode():
            tagger.network(images)

    return lambda: run(folded), lambda: run(plain)


def second_run() -> Pair:
    """A finished job of a folder that runs again, beside the listing alone."""
    place, out, folder = _folder() / "many", _folder() / "finished", _folder()
    place.mkdir()
    photo = next(_photos(PHOTOS).iterdir())
    for i in range(LISTED):
        os.link(photo, place / f"{i}.jpg")
    source, model = listing.find(str(place)), _model()

    def listed() -> None:
        manifest.write(folder / "listed.parquet", source.name, source.rows())

    listed()
    # its predictions are written by hand: what a second run reads of them does not depend on the network
    about = About(files.digest(model), loader.load_tagger(model).classes, None, prediction_versions(model))
    out.mkdir()
    manifest.write(out / listing.FILE, source.name, source.rows())
    rows = Manifest(out / listing.FILE)
    todo, collector = plan.make(rows, out, about, retry=False), Collector(out, rows, about)
    for chunk in todo.left:
        collector.add(chunk, pa.concat_tables(parts.failure(index, "not computed") for index in range(chunk.count)))
    names = [parts.name(chunk.key) for chunk in todo.chunks]
    summary.write(out, source.name, files.digest(out / listing.FILE), about, names, collector.written)
    return lambda: job.run(str(place), out, model, job.Options()), listed


def planning() -> Pair:
    """Seconds of the plan of many listed photos."""
    return (lambda: _plan()["seconds"]), _nothing


def planning_memory() -> Pair:
    """Peak memory of that plan, in MB."""
    return (lambda: _plan()["memory"]), _nothing


@cache
def _plan() -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.plan_rows", str(PLANNED)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def _nothing() -> None:
    """The other side of a row with a bound of its own."""


@cache
def _on_ray() -> Side:
    """The job on two nodes; once for all rows, since a process connects to one cluster."""
    _start_cluster()
    return _batch_job(PHOTOS, lambda spec: RayEngine(spec, NODES))


def _start_cluster() -> None:
    """Start a cluster of two nodes, and set its address in the environment."""
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ["RAY_AUTH_MODE"] = "token"
    _, os.environ["RAY_ADDRESS"] = _stack.enter_context(server_process.run("benchmarks.ray_nodes"))


def _local(spec: Spec) -> Engine:
    return LocalEngine(spec, [{}] * processes.workers())


def _batch_job(photos: int, start: Callable[[Spec], Engine] = _local) -> Side:
    """A job without its start: workers are there, and the folder for the predictions is new each time."""
    folder = _folder()
    source = listing.find(str(_photos(photos)))
    manifest.write(folder / listing.FILE, source.name, source.rows())
    listed = Manifest(folder / listing.FILE)
    model, tagger = _model(), loader.load_tagger(_model())
    about = About(files.digest(model), tagger.classes, None)
    spec = Spec(
        "predict", source.root, [str(model)], [about.model], 2, 60.0, prediction_versions(model), {"threshold": None}
    )
    engine = start(spec)
    _stack.callback(engine.close)

    def predict() -> None:
        out = Path(tempfile.mkdtemp(dir=folder))
        todo, collector = plan.make(listed, out, about, retry=False), Collector(out, listed, about)
        for _ in lease.work(todo.pieces(collector, PIECE), todo.rows, engine, collector):
            pass

    return predict


@cache
def _temporary() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="sadcl-bench-")


def _folder() -> Path:
    return Path(_temporary().name)


@cache
def _photos(number: int) -> Path:
    """Folder of smooth photos of noise."""
    folder = _folder() / f"photos-{number}"
    folder.mkdir()
    for i in range(number):
        coarse = np.random.default_rng(i).integers(0, 255, (12, 16, 3), np.uint8)
        Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=90)
    return folder


@cache
def _model() -> Path:
    """Weights of the present settings' shape."""
    settings = params.load("model").model.for_test()
    torch.manual_seed(0)
    network = Network(settings, 80, start=False).eval()
    head = {
        "stage": "train", "classes": [str(j) for j in range(80)], "model": settings.model_dump(mode="json"),
        "thresholds": None,
        "preprocessing": {"side": settings.side, "mean": list(settings.mean), "std": list(settings.std)},
    }  # fmt: skip
    path = _folder() / file_head.FILE
    checkpoint.save(path, {f"ema.network.{name}": tensor for name, tensor in network.state_dict().items()}, head)
    return path
