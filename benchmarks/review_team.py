"""A team on this machine for ``review_load``: guarded registry, accounts, versions to review, and the review page."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sadcl import files, params, processes
from sadcl.accounts import host
from sadcl.evaluation import scores
from sadcl.registry import artifacts, client, criteria, model_code, package, schema
from sadcl.registry.audit import log
from sadcl.registry.criteria import Criteria
from sadcl.registry.promote import promote
from sadcl.registry.stage_outputs import StageOutputs
from sadcl.registry.verified import VerifiedRecord
from sadcl.services import HOST, free_port
from sadcl.services.supervisor import wait

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

NAME = "load"
CLASSES = tuple(f"class {j}" for j in range(80))
TRAINER, REVIEWER = "trainer", "reviewer"
TEST = "1" * 64
"""Digest of the list of test images."""
SMALLEST = {
    "backbone": "test_resnet", "weights": "random", "output_stride": 32, "side": 64, "width": 16, "heads": 2,
    "feedforward": 16, "embedding": 8, "frozen": [],
}  # fmt: skip
"""Settings of a network that takes no time to write."""
CRITERIA = Criteria([], 0.5, [], 40_137, len(CLASSES), TEST, "2" * 64, "3" * 64, {})
"""Acceptance criteria."""


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
    """Register versions, each with a record of the verifier, and promote the first."""
    with client.logged_in_as(REVIEWER, password(REVIEWER)), client.connect() as registry:
        criteria.accept(registry, NAME, CRITERIA, REVIEWER, "the first", log.now())
    for number in range(1, versions + 1):
        images = photos if number in (1, versions) else 20
        outputs, values = _outputs(number, images), _scores(number, images)
        champion = files.read_json(Path("data/champion.json"))
        with client.logged_in_as(TRAINER, password(TRAINER)), client.connect() as registry:
            version = _register_version(registry, outputs, values)
        with client.logged_in_as(*host.account_login(host.VERIFIER).values()), client.connect() as registry:
            _record(registry, version, outputs, values, (champion or {}).get("weights", ""), images)
        if number == 1:
            with client.logged_in_as(REVIEWER, password(REVIEWER)):
                promote(1, "the first", first=True)


def _outputs(number: int, photos: int) -> StageOutputs:
    """Weights of a network that was not trained, with figures and a verdict as the stages leave them."""
    path = Path("reports/weights.safetensors")
    _write_weights(path, number)
    weights = files.digest(path)
    verdict = {
        "model": weights, "test": TEST, "champion": None, "verdict": "pass", "words": "It passes.",
        "rules": [{"result": "pass", "words": "mAP is at least 60."}],
        "intervals": {"mAP": {"model": [80.0, 79.0, 81.0]}},
    }  # fmt: skip
    digests = {"weights": weights, "test_list": TEST, "labels": "2" * 64, "shards": "3" * 64}
    metrics = {"sadcl": {"mAP": 80.0}, "images": photos, "digests": digests, "threshold": 0.5}
    files.write_json("reports/verdict.json", verdict)
    files.write_json("reports/metrics.json", metrics)
    settings = params.read_settings(Path("params.yaml"))
    return StageOutputs(Path(), settings, NAME, number, path, weights, metrics, verdict)


def _write_weights(path: Path, seed: int) -> None:
    import torch

    from sadcl.model.network import Network
    from sadcl.weights import checkpoint

    model = params.Model(**{**params.read_settings(Path("params.yaml"))["model"], **SMALLEST})
    torch.manual_seed(seed)
    state = Network(model, len(CLASSES), start=False).state_dict()
    tensors = {f"{kind}.network.{name}": value.clone() for kind in ("raw", "ema") for name, value in state.items()}
    head = {
        "format": 1, "stage": "train", "classes": list(CLASSES), "model": model.model_dump(mode="json"),
        "preprocessing": {"side": model.side, "mean": list(model.mean), "std": list(model.std)}, "settings": {},
        "seed": seed, "epoch": 1, "best": "raw", "select": None, "inputs": {}, "seen": [], "thresholds": None,
        "device": "cpu", "precision": "32-true",
    }  # fmt: skip
    checkpoint.save(path, tensors, head)


def _register_version(registry: "MlflowClient", outputs: StageOutputs, values: scores.Scores) -> "ModelVersion":
    """Register a version as ``sadcl register`` does; it becomes the challenger."""
    import mlflow
    from mlflow.artifacts import download_artifacts

    scores.write_scores("reports/scores.parquet", values)
    experiment = registry.get_experiment_by_name(NAME)
    assert experiment is not None
    run = registry.create_run(experiment.experiment_id).info
    model = package.log(outputs, run.run_id)
    for report in ("reports/verdict.json", "params.yaml"):
        registry.log_artifact(run.run_id, report)
    evidence = [Path("reports/scores.parquet"), Path("reports/metrics.json")]
    for path in evidence:
        registry.log_artifact(run.run_id, str(path), artifacts.EVIDENCE)
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(download_artifacts(artifact_uri=model.model_uri, dst_path=folder))
        pins, texts = artifacts.digests(stored, artifacts.MODEL), model_code.texts(stored)
    pins |= {f"{artifacts.EVIDENCE}/{path.name}": files.digest(path) for path in evidence}
    tags = {
        schema.IDENTITY: outputs.identity, schema.WEIGHTS: outputs.weights, schema.TEST: TEST, schema.MAP: "80.00",
        artifacts.PINS: json.dumps(pins), model_code.TEXTS: texts, schema.JUDGED_AGAINST: "",
        schema.WORDS: outputs.verdict["words"], schema.VERDICT: outputs.verdict["verdict"],
        schema.VERDICT_DIGEST: files.digest_of(outputs.verdict),
    }  # fmt: skip
    version = mlflow.register_model(model.model_uri, NAME, tags=tags)
    registry.set_registered_model_alias(NAME, schema.CHALLENGER, version.version)
    return version


def _record(
    registry: "MlflowClient",
    version: "ModelVersion",
    outputs: StageOutputs,
    values: scores.Scores,
    champion: str,
    photos: int,
) -> None:
    """Write the verifier's record of a version with its files, as after a verification."""
    experiment = registry.get_experiment_by_name(schema.verification(NAME))
    assert experiment is not None
    run = registry.create_run(experiment.experiment_id).info
    paths = [Path("reports/verdict.json"), Path("reports/metrics.json"), Path("reports/scores.parquet")]
    if champion:
        paths.append(Path("reports/champion_scores.parquet"))
        rival = _scores(1, photos)
        scores.write_scores(paths[-1], replace(rival, logits={"champion": rival.logits["sadcl"]}))
    scores.write_scores("reports/scores.parquet", values)
    for path in paths:
        registry.log_artifact(run.run_id, str(path))
    record = VerifiedRecord(
        verdict="pass", words="It passes.", mAP="80.00", weights=outputs.weights, test=TEST, criteria=CRITERIA.digest,
        champion=champion, run=run.run_id, files={path.name: files.digest(path) for path in paths}, time=log.now(),
    )  # fmt: skip
    registry.set_model_version_tag(version.name, version.version, schema.VERIFIED, record.text())


def _scores(seed: int, photos: int) -> scores.Scores:
    """Scores of a model that is right more often than not, with labels as frequent as COCO's."""
    truth, noise = np.random.default_rng(0), np.random.default_rng(seed)
    shape = (photos, len(CLASSES))
    targets = truth.random(shape) < 0.036
    logits = (np.where(targets, 2.0, -2.0) + noise.normal(0, 1.5, shape)).astype(np.float32)
    ids = [f"photo {i}" for i in range(photos)]
    return scores.Scores(ids, ["c" * 64] * photos, CLASSES, targets, np.zeros(shape, bool), logits={"sadcl": logits})
