"""Fixtures: a project with a real registry (sqlite), real photos and tiny networks; only the log-in is simulated."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any, ClassVar

import httpx
import numpy as np
import pandas as pd
import pytest
import yaml
from starlette.testclient import TestClient

from sadcl import files, layout, params
from sadcl.data import table
from sadcl.evaluation import scores
from sadcl.evaluation.gate import champion as shadow
from sadcl.evaluation.gate import verdict
from sadcl.evaluation.metrics import to_json
from sadcl.registry import client
from sadcl.registry.promote import promote
from sadcl.registry.publish import publish
from sadcl.review.after_decision import sync_in_process
from sadcl.review.app import create_app
from tests.registry import conftest as registry
from tests.registry.conftest import Networks, ProjectStates, networks, new_project  # noqa: F401 - fixtures
from tests.report import conftest as report

PASSWORD = "a long password"
CLASSES = ("cat", "<b>dog</b>", "kite")
PHOTOS = tuple(f"photo {i}" for i in range(20))
RULES = [
    {"kind": "absolute", "metric": "mAP", "at_least": 60.0, "by": "value"},
    {"kind": "relative", "metric": "mAP", "margin": 20.0, "by": "value"},
]
PUBLISHED = {"name": "a paper", "figures": {"mAP": 85.6}}


@dataclass(frozen=True)
class Person:
    name: str
    role: str
    rights: str = ""


class StaticAuthenticator:
    """Accounts in a table, with one password."""

    people: ClassVar = {"rita": "reviewer", "ron": "reviewer", "rea": "reader", "tom": "trainer"}

    def check(self, name: str, password: str) -> Person | None:
        return Person(name, self.people[name]) if name in self.people and password == PASSWORD else None

    def logged_in_as(self, name: str, password: str) -> AbstractContextManager[None]:
        assert (name in self.people, password) == (True, PASSWORD)
        return nullcontext()


class Clock:
    """Clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Browser:
    """Client with cookies, redirects and hidden fields, like a browser."""

    def __init__(self, app: Any, base: str = "http://127.0.0.1:8000", address: str = "10.0.0.1") -> None:
        self.client = TestClient(app, base_url=base, client=(address, 50000), raise_server_exceptions=False)

    def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.client.get(path, **kwargs)

    def send(self, page: str, to: str, **fields: str) -> httpx.Response:
        """Open a page and submit a form with the hidden fields of that page."""
        hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', self.get(page).text)
        assert "csrf" in dict(hidden)
        return self.client.post(to, data={**dict(hidden), **fields})

    def log_in(self, name: str = "rita", password: str = PASSWORD, to: str = "/") -> httpx.Response:
        return self.send("/login", "/login", name=name, password=password, next=to)


@pytest.fixture(scope="session")
def states(new_project: ProjectStates, networks: Networks) -> ProjectStates:
    """States `registered` (version 1 challenges nobody yet) and `promoted` (1 is champion, 2 fails, 3 challenges)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(client.ADDRESS, raising=False)
        patch.chdir(new_project.root)
        write_stage_outputs(new_project.root, networks(1), noise=2.0)
        publish()
        new_project.save("registered")
        promote(1, "the first", first=True)
        write_stage_outputs(new_project.root, networks(2), noise=40.0, lr=0.01)
        publish()
        write_stage_outputs(new_project.root, networks(3), noise=0.5, lr=0.002, train=TRAIN_3)
        publish()
        new_project.save("promoted")
    return new_project


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the registry of the person who runs the tests, and the project folder as current folder."""
    monkeypatch.delenv(client.ADDRESS, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def registered(states: ProjectStates) -> Path:
    states.restore("registered")
    return states.root


@pytest.fixture
def promoted(states: ProjectStates) -> Path:
    states.restore("promoted")
    return states.root


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def page(promoted: Path, clock: Clock) -> Any:
    """The app of a project where version 3 challenges version 1."""
    return create_app(
        promoted, authenticator=StaticAuthenticator(), clock=clock, after_decision=sync_in_process, check=None
    )


@pytest.fixture
def rita(page: Any) -> Iterator[Browser]:
    """A reviewer, logged in."""
    browser = Browser(page)
    assert browser.log_in("rita").status_code == 200
    yield browser
    browser.client.close()


def text(page: str) -> str:
    """Visible text of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


VALIDATION = {
    "passed": True,
    "rules": [
        {"rule": "readable", "sentence": "Photos can be read.", "status": "passed", "rows": 0, "first": []},
        {"rule": "labelled", "sentence": "Most photos have a label; 2 do not.", "status": "passed", "rows": 2,
         "first": []},
        {"rule": "sharp", "sentence": "Photos are sharp, but 1 breaks this rule.", "status": "failed", "rows": 1,
         "first": []},
    ],
}  # fmt: skip
"""Content of validation.json."""
TRAIN_3 = {"train 0": ("cat", "kite"), "train 1": ("cat",), "train 3": ("cat",), "train 4": ("kite",)}
"""The third version: one photo relabelled, one removed, one added."""
TRAIN = {f"train {i}": ("cat",) for i in range(4)}
"""Labels of the training photos of the first version, by id."""


def write_stage_outputs(
    root: Path, weights: Path, noise: float, lr: float = 0.001, train: Mapping[str, Sequence[str]] = TRAIN
) -> None:
    """Write the outputs of the stages for one model: real photos, shards, scores, metrics and verdict."""
    registry.write_stage_outputs(root, weights)
    settings = registry._settings()
    settings["gate"] = {"rules": RULES, "published": PUBLISHED}
    settings["train"]["lr"] = lr
    files.write_text(root / "params.yaml", yaml.safe_dump(settings))
    truth = report.scored(root, CLASSES, PHOTOS)
    write_photo_table(root / layout.TABLE, root, train, truth)
    files.write_json(root / layout.VALIDATION, VALIDATION)
    rng = np.random.default_rng(int(weights.stem))
    confident = np.where(truth.targets, 2.0, -2.0)
    logits = {name: (confident + rng.normal(0, noise, confident.shape)).astype(np.float32) for name in truth.logits}
    from sadcl.data.shards.reader import Shards

    test = Shards(root / "data/shards/test")
    weights_digest = files.digest(weights)
    digests = {
        "weights": weights_digest, "train_weights": weights_digest, "test_list": test.list_digest,
        "shards": test.digest, "labels": truth.labels_digest(),
    }  # fmt: skip
    cost = {"bytes": weights.stat().st_size, "parameters": 1000}
    version_scores = replace(
        truth, logits=logits, digests=digests, training_overlap=dict.fromkeys(logits, 0), cost={"sadcl": cost}
    )
    figures = {
        name: {**to_json(version_scores.figures(name, 0.5)), "ECE": version_scores.calibration_error(name)}
        for name in logits
    }
    metrics = {**figures, "images": len(PHOTOS), "classes": len(CLASSES), "chosen": "ema", "threshold": 0.5,
               "seen_in_training": 0, "cost": cost, "digests": digests}  # fmt: skip
    scores.write_scores(root / "reports/scores.parquet", version_scores)
    files.write_json(root / "reports/metrics.json", metrics)
    champion = shadow.read_champion(root / "data/champion.json")
    champion_scores = scores.empty_scores(classes=CLASSES)
    if champion is not None:
        recorded_scores = scores.read_scores(root / "data/champion/scores.parquet")
        fields = {"logits": {"champion": recorded_scores.logits["sadcl"]}, "training_overlap": {"champion": 0}}
        cost_of_champion = {"champion": recorded_scores.cost["sadcl"]}
        champion_scores = replace(recorded_scores, **fields, cost=cost_of_champion)  # type: ignore[arg-type]
    gate = params.Gate(**settings["gate"])
    files.write_json(
        root / "reports/verdict.json", verdict.verdict(gate, 0.5, version_scores, metrics, champion_scores, champion)
    )


def write_photo_table(
    path: Path,
    root: Path,
    train: Mapping[str, Sequence[str]],
    truth: scores.Scores,
    look_alikes: Sequence[table.LookAlike] = (),
) -> None:
    """Write an annotation table of the test photos and of training photos, whose pictures are drawn."""
    rows: list[dict[str, Any]] = [
        {"image_id": name, "file": f"{i}.jpg", "split": "test", "labels": np.flatnonzero(truth.targets[i]).tolist(),
         "sha256": truth.sha256[i]}
        for i, name in enumerate(truth.ids)
    ]  # fmt: skip
    for name, labels in train.items():
        photo = report.picture(root / f"raw/{name}.jpg", seed=1000 + int(name.split()[1]))
        rows.append(
            {"image_id": name, "file": f"{name}.jpg", "split": "train", "labels": [CLASSES.index(c) for c in labels],
             "sha256": files.digest(photo)}
        )  # fmt: skip
    facts = {"ignored": [], "width": 80, "height": 60, "bytes": 1, "brightness": 9.0, "sharpness": 9.0, "phash": 1,
             "problem": None}  # fmt: skip
    columns = {key: table.column([{**facts, **row}[key] for row in rows]) for key in table.SCHEMA}
    table.write_table(path, table.Table(pd.DataFrame(columns), CLASSES, "raw", {}, tuple(look_alikes)))
