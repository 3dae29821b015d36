"""A team: the real guarded server, a trainer, two reviewers, a reader, and somebody without an account."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow import MlflowClient

from sadcl.accounts import host, users
from sadcl.registry import criteria, lookup, schema
from sadcl.registry.audit import log
from sadcl.registry.client import ADDRESS, connect, logged_in_as
from sadcl.registry.promote import Promotion, promote
from sadcl.registry.publish import publish
from sadcl.registry.verified import VerifiedRecord
from sadcl.services import free_port
from sadcl.services.supervisor import wait
from tests.registry.conftest import (  # noqa: F401 - fixtures
    Networks,
    ProjectStates,
    networks,
    new_project,
    project,
    project_states,
    registered,
    stages,
    states,
    write_stage_outputs,
)

NAME, PRODUCTION = "tiny", "tiny-production"
ADMIN = "admin"
TOM, RITA, ROB, REA, NOBODY = "tom", "rita", "rob", "rea", "nobody"
"""A trainer, two reviewers, a reader, and a name that the server does not know."""


CRITERIA = criteria.Criteria([{"kind": "absolute"}], 0.5, [], 2, 3, "1" * 64, "2" * 64, "3" * 64, {})


def password(name: str) -> str:
    return f"the password of {name}"


@dataclass
class Team:
    """The project, the server, and ways to ask it."""

    root: Path
    home: Path
    address: str
    networks: Networks
    last: int = 0
    """Seed of the model that was registered last."""

    @contextmanager
    def in_project(self) -> Iterator[None]:
        """Work inside the project, which uses the server."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(ADDRESS, self.address)
            patch.chdir(self.root)
            yield

    def acting(self, name: str) -> AbstractContextManager[None]:
        """Log in as a person, for our functions and for MLflow's client."""
        return logged_in_as(name, self.secret(name))

    def secret(self, name: str) -> str:
        """Password of a person."""
        stored = host.administrator(self.home)
        if stored is not None and name in (host.VERIFIER, host.WORKER):
            return stored[name]
        return stored["password"] if stored is not None and name == stored["username"] else password(name)

    def client(self) -> MlflowClient:
        """MLflow's client of the server, whatever address this process has for MLflow."""
        return MlflowClient(tracking_uri=self.address, registry_uri=self.address)

    @contextmanager
    def holding(self, name: str, role: str) -> Iterator[None]:
        """Give a person another role too, for a while."""
        from mlflow.server.auth.client import AuthServiceClient

        accounts = AuthServiceClient(self.address)
        with self.acting(ADMIN):
            number = next(entity.id for entity in accounts.list_roles("default") if entity.name == role)
            accounts.assign_role(name, number)
        try:
            yield
        finally:
            with self.acting(ADMIN):
                accounts.unassign_role(name, number)

    def ask(self, name: str, method: str, path: str, **words: Any) -> requests.Response:
        """Send a plain HTTP request, whose path stays as it is written."""
        request = requests.Request(method, self.address, auth=(name, self.secret(name)), **words)
        prepared = request.prepare()
        query = prepared.url.partition("?")[2] if prepared.url else ""
        prepared.url = f"{self.address}{path}" + (f"?{query}" if query else "")
        return requests.Session().send(prepared, timeout=30)

    def train(self) -> str:
        """Register another model that passed its gate, as the trainer, and verify it; its number."""
        self.last += 1
        write_stage_outputs(self.root, self.networks(self.last), mAP=80)
        with self.acting(TOM):
            number = publish().version
        self.verify(number)
        return number

    def record(self, number: str, **changes: str) -> VerifiedRecord:
        """Record of a verification with a pass, about the present champion."""
        with self.acting(REA), connect() as client:
            champion = lookup.version_with_alias(client, PRODUCTION, schema.CHAMPION)
            version = client.get_model_version(NAME, number)
        rival = "" if champion is None else champion.tags[schema.WEIGHTS]
        values = {
            "verdict": "pass", "words": "It passed.", "mAP": "80.00", "weights": version.tags[schema.WEIGHTS],
            "test": "1" * 64, "criteria": CRITERIA.digest, "champion": rival, "run": "", "time": log.now(),
        }  # fmt: skip
        return VerifiedRecord(**{**values, **changes}, files={})  # type: ignore[arg-type]

    def verify(self, number: str, **changes: str) -> None:
        """Write a record as the server's verifier."""
        with self.acting(host.VERIFIER):
            self.client().set_model_version_tag(NAME, number, schema.VERIFIED, self.record(number, **changes).text())

    def promote(self, version: str, account: str, reason: str = "better") -> Promotion:
        """Promote a version as `sadcl promote` does it."""
        first = self.holders()["champion"] is None
        with self.acting(account):
            return promote(version, reason, first=first)

    def holders(self) -> dict[str, str | None]:
        """Version that has each alias."""
        with self.acting(REA), connect() as client:
            names = [(NAME, schema.CHALLENGER), (PRODUCTION, schema.CHAMPION), (PRODUCTION, schema.PREVIOUS)]
            versions = {alias: lookup.version_with_alias(client, model, alias) for model, alias in names}
        return {alias: None if version is None else str(version.source) for alias, version in versions.items()}

    def ledger(self) -> list[dict[str, Any]]:
        """Lines of the server's ledger."""
        return [json.loads(line) for line in (self.home / host.LEDGER).read_text().splitlines()]


@pytest.fixture(scope="session")
def new_team(
    new_project: ProjectStates, networks: Networks, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Team]:
    """The team with an empty registry at first, one for all tests: a server costs a quarter of a minute."""
    home, root = tmp_path_factory.mktemp("server"), tmp_path_factory.mktemp("team") / "a project"
    shutil.copytree(new_project.states / "empty", root)
    shutil.copy(root / "params.yaml", home)
    port = free_port()
    command, variables = host.server(port, home)
    with open(home / "log", "wb") as log:
        running = subprocess.Popen(
            command, env={**os.environ, **variables}, start_new_session=True, stdout=log, stderr=log
        )
    team = Team(root, home, f"http://127.0.0.1:{port}", networks)
    try:
        wait(running, "registry", port, f"{home / 'log'} says why")
        with team.in_project():
            host.set_up(team.address, home)
            for name, role in ((TOM, "trainer"), (RITA, "reviewer"), (ROB, "reviewer"), (REA, "reader")):
                users.add_account(name, role, password(name), home)
        yield team
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


@pytest.fixture(scope="session")
def team(new_team: Team) -> Team:
    """The team with a champion and a previous champion."""
    with new_team.in_project():
        with new_team.acting(RITA):
            criteria.accept(new_team.client(), NAME, CRITERIA, RITA, "the rules of the team", log.now())
        for reason in ("the first", "better"):
            new_team.promote(new_team.train(), RITA, reason)
    return new_team


@pytest.fixture(autouse=True)
def _in_project(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests with a team run inside its project."""
    if "new_team" not in request.fixturenames:
        yield
        return
    with request.getfixturevalue("new_team").in_project():
        yield
