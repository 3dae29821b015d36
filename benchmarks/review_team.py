"""A team on this machine for ``review_load``: guarded registry, accounts, versions to review, and the review page."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sadcl import files, processes
from sadcl.accounts import host
from sadcl.evaluation import scores
from sadcl.registry import artifacts, client, schema
from sadcl.registry.promote import promote
from sadcl.services import HOST, free_port
from sadcl.services.supervisor import wait

NAME = "load"
CLASSES = tuple(f"class {j}" for j in range(80))
TRAINER, REVIEWER = "trainer", "reviewer"
TEST = "1" * 64
"""Digest of the list of test images."""


@dataclass(frozen=True)
class Team:
    """Servers with accounts.

    Attributes:
        root: the project's folder.
        registry, page: addresses of the registry and of the review page.
        page_process: process of the review page.
    """

    root: Path
    registry: str
    page: str
    page_process: int


def password(name: str) -> str:
    """Password of an account."""
    return f"the password of {name}"


@contextmanager
def running_team(root: Path, readers: Sequence[str], versions: int, photos: int) -> Iterator[Team]:
    """Start registry and review page in a new project, and end both.

    Args:
        root: an empty folder.
        readers: names of accounts that read.
        versions: registered versions; the first is champion, and the last challenges it.
        photos: test images of the first and the last version.
    """
    _create_project(root)
    command, variables = host.server(port := free_port(), root)
    address = f"http://{HOST}:{port}"
    with server(command, variables, root, "registry", port):
        host.set_up(address, root)
        _add_accounts(address, root, readers)
        with _environment(address, root):
            _register(versions, photos)
        page_port = free_port()
        page = ["-m", "uvicorn", "--factory", "sadcl.review.app:create_app", "--host", HOST, "--port", str(page_port)]
        with server([sys.executable, *page], {client.ADDRESS: address}, root, "page", page_port) as process:
            yield Team(root, address, f"http://{HOST}:{page_port}", process.pid)


def _create_project(root: Path) -> None:
    recipe = (Path(__file__).parents[1] / "recipes/demo.yaml").read_text(encoding="utf-8")
    files.write_text(root / "params.yaml", recipe.replace("name: sadcl-scenes", f"name: {NAME}"))
    files.write_json(root / "data/champion.json", None)
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=root, check=True)


@contextmanager
def server(
    command: Sequence[str], variables: Mapping[str, str], root: Path, name: str, port: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server in a session of its own, wait until it answers, and end the session's processes."""
    path = [str(Path(__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = processes.child_environment(**{**variables, "PYTHONPATH": os.pathsep.join(filter(None, path))})
    with open(root / f"{name}.log", "wb") as log:
        process = subprocess.Popen(
            command, cwd=root, env=environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        wait(process, name, port, f"See {root / name}.log")
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def _environment(address: str, root: Path) -> Iterator[None]:
    """Work in the project with the registry."""
    before, folder = dict(os.environ), Path.cwd()
    os.environ[client.ADDRESS] = address
    os.chdir(root)
    try:
        yield
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before)


def _add_accounts(address: str, root: Path, readers: Sequence[str]) -> None:
    from mlflow.server.auth.client import AuthServiceClient

    admin = host.administrator(root)
    assert admin is not None
    with client.logged_in_as(admin["username"], admin["password"]):
        accounts = AuthServiceClient(address)
        roles = {role.name: role.id for role in accounts.list_roles(host.WORKSPACE)}
        people = {TRAINER: host.TRAINER, REVIEWER: host.REVIEWER, **dict.fromkeys(readers, host.READER)}
        for name, role in people.items():
            accounts.create_user(name, password(name))
            accounts.assign_role(name, roles[role])


def _register(versions: int, photos: int) -> None:
    """Register versions, and promote the first."""
    for number in range(1, versions + 1):
        with client.logged_in_as(TRAINER, password(TRAINER)):
            _register_version(number, photos if number in (1, versions) else 20)
        if number == 1:
            with client.logged_in_as(REVIEWER, password(REVIEWER)):
                promote(1, "the first", first=True)


def _register_version(number: int, photos: int) -> None:
    champion = files.read_json(Path("data/champion.json"))
    evidence, verdict = _write_outputs(number, photos, champion)
    with client.connect() as registry:
        experiment = registry.get_experiment_by_name(NAME)
        assert experiment is not None
        run = registry.create_run(experiment.experiment_id).info
        for report in ("reports/verdict.json", "params.yaml"):
            registry.log_artifact(run.run_id, report)
        for path in evidence:
            registry.log_artifact(run.run_id, str(path), artifacts.EVIDENCE)
        weights = Path("reports/weights.safetensors")
        registry.log_artifact(run.run_id, str(weights), f"{artifacts.MODEL}/artifacts")
        pins = {f"{artifacts.EVIDENCE}/{path.name}": files.digest(path) for path in evidence}
        pins[artifacts.WEIGHTS] = files.digest(weights)
        tags = {
            schema.IDENTITY: files.digest_of(["identity", number]), schema.WEIGHTS: pins[artifacts.WEIGHTS],
            schema.TEST: TEST, schema.MAP: "80.00", artifacts.PINS: json.dumps(pins),
            schema.JUDGED_AGAINST: (champion or {}).get("weights", ""), schema.WORDS: verdict["words"],
            schema.VERDICT: verdict["verdict"], schema.VERDICT_DIGEST: files.digest_of(verdict),
        }  # fmt: skip
        source = f"{run.artifact_uri}/{artifacts.MODEL}"
        version = registry.create_model_version(NAME, source, run.run_id, tags=tags, await_creation_for=0)
        registry.set_registered_model_alias(NAME, schema.CHALLENGER, version.version)


def _write_outputs(number: int, photos: int, champion: dict[str, Any] | None) -> tuple[list[Path], dict[str, Any]]:
    """Write weights, scores, metrics and verdict as the stages do; return the evidence's paths, and the verdict."""
    digests = {"weights": files.digest_of(number), "test_list": TEST, "labels": "2" * 64, "shards": "3" * 64}
    verdict = {
        "model": digests["weights"], "test": TEST, "champion": champion and champion["weights"], "verdict": "pass",
        "words": "It passes.", "rules": [{"result": "pass", "words": "mAP is at least 60."}],
        "intervals": {"mAP": {"model": [80.0, 79.0, 81.0]}},
    }  # fmt: skip
    metrics = {"sadcl": {"mAP": 80.0}, "images": photos, "digests": digests, "threshold": 0.5}
    files.write_json("reports/verdict.json", verdict)
    files.write_json("reports/metrics.json", metrics)
    files.write_text("reports/weights.safetensors", f"weights {number}")
    scores.write_scores("reports/scores.parquet", _scores(number, photos))
    return [Path("reports/scores.parquet"), Path("reports/metrics.json")], verdict


def _scores(seed: int, photos: int) -> scores.Scores:
    """Scores of a model that is right more often than not, with labels as frequent as COCO's."""
    truth, noise = np.random.default_rng(0), np.random.default_rng(seed)
    shape = (photos, len(CLASSES))
    targets = truth.random(shape) < 0.036
    logits = (np.where(targets, 2.0, -2.0) + noise.normal(0, 1.5, shape)).astype(np.float32)
    ids = [f"photo {i}" for i in range(photos)]
    return scores.Scores(ids, ["c" * 64] * photos, CLASSES, targets, np.zeros(shape, bool), logits={"sadcl": logits})
