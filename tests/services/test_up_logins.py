"""Log-ins of a team's servers, and the account of the worker; all tests share one team."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from sadcl import files, pipeline
from sadcl.accounts import users
from sadcl.registry import client as store
from sadcl.registry import lookup
from sadcl.services import HOST
from sadcl.services.supervisor import STARTED_FOR
from tests.flows.conftest import save
from tests.paths import REPOSITORY
from tests.registry.conftest import NAME, Networks, _settings, networks, write_stage_outputs  # noqa: F401 - fixtures
from tests.services.test_up import four_ports, run, up, variables

pytestmark = pytest.mark.slow

PASSWORD = "long enough for all"
PIPELINE = """
stages:
  look:
    cmd: python look.py
    deps: [look.py]
    outs: [looked.txt]
"""
LOOK = """
import json, os
from pathlib import Path
Path({seen!r}).write_text(json.dumps(dict(os.environ)))
Path("looked.txt").write_text("looked")
"""


@dataclass(frozen=True)
class Team:
    """A project with a trained model, and its servers."""

    root: Path
    port: int

    def address(self, after: int = 0) -> str:
        return f"http://{HOST}:{self.port + after}"

    @property
    def secrets(self) -> dict[str, str]:
        value: dict[str, str] = files.read_json(self.root / ".sadcl/team/administrator.json")
        return value

    @property
    def prefect(self) -> tuple[str, str]:
        name, _, password = self.secrets["prefect"].partition(":")
        return name, password


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, networks: Networks) -> Iterator[Team]:  # noqa: F811
    """The servers, a reader and a trainer."""
    import optuna

    root = tmp_path_factory.mktemp("team") / "a project"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=root, check=True)
    pipeline.set_up(root)
    (root / ".gitignore").write_text("/.sadcl/\n/.dvc-remote/\n")
    files.write_json(root / "params.yaml", _settings())
    files.write_json(root / "data/champion.json", None)
    write_stage_outputs(root, networks(1))
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "look.py").write_text(LOOK.format(seen=str(root.parent / "seen.json")))
    shutil.copytree(REPOSITORY / "flows", root / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    save(root)
    (root / ".sadcl").mkdir(exist_ok=True)
    optuna.create_study(study_name="a search", storage=f"sqlite:///{root}/.sadcl/optuna.db")
    servers = Team(root, four_ports())
    running = up(root, servers.port)
    try:
        for name, role in (("rea", "reader"), ("tom", "trainer")):
            status, output = run(root, "user", "add", name, "--role", role, SADCL_USER_PASSWORD=PASSWORD)
            assert status == 0, output
        yield servers
    finally:
        run(root, "down")
        running.kill()
        running.communicate()


def test_prefects_server_answers_to_who_knows_the_string_only(team: Team) -> None:
    server = team.address(1)
    request = {"url": f"{server}/api/flows/filter", "json": {}}
    assert httpx.post(**request).status_code == 401
    assert httpx.post(**request, auth=("sadcl", "a guess")).status_code == 401
    assert httpx.post(**request, auth=team.prefect).status_code == 200
    assert httpx.get(f"{server}/ui-settings").json()["auth"] == "BASIC"
    assert run(team.root, "user", "prefect") == (0, f"{':'.join(team.prefect)}\n")


def test_pages_of_others_read_nothing_of_prefects_server(team: Team) -> None:
    server = team.address(1)
    own_page, other_page = (
        httpx.get(f"{server}/api/health", headers={"Origin": origin}) for origin in (server, team.address(2))
    )
    assert own_page.headers["access-control-allow-origin"] == server
    assert "access-control-allow-origin" not in other_page.headers


def test_the_studies_are_shown_to_people_and_changed_by_more_than_readers(team: Team) -> None:
    studies, another = f"{team.address(2)}/api/studies", {"study_name": "another", "directions": ["minimize"]}
    assert httpx.get(studies).status_code == 401
    assert httpx.get(studies, auth=("rea", "not her password")).status_code == 401
    assert httpx.post(studies, json=another).status_code == 401
    [study] = httpx.get(studies, auth=("rea", PASSWORD)).json()["study_summaries"]
    assert study["study_name"] == "a search"
    assert "<title>" in httpx.get(team.address(2), auth=("rea", PASSWORD), follow_redirects=True).text
    assert httpx.post(studies, json=another, auth=("rea", PASSWORD)).status_code == 403
    assert httpx.post(studies, json=another, auth=("tom", PASSWORD)).status_code == 201


def test_a_scheduled_run_registers_in_the_workers_name_and_its_stages_have_no_log_in(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = {"PREFECT_API_URL": f"{team.address(1)}/api"}
    login = {"PREFECT_API_AUTH_STRING": ":".join(team.prefect)}
    for refused in (["flows.deploy"], ["flows.retrain", "--no-register"]):
        assert "The Prefect server rejected the login" in command(team, *refused, **server)
    command(team, "flows.deploy", **server, **login)
    words = ["deployment", "run", "retrain/weekly", "--param", "tune_trials=0", "--watch", "--watch-interval", "1"]
    output = command(team, "prefect", *words, **server, **login)
    assert "Completed" in output, output + (team.root / ".sadcl/team/logs/worker.log").read_text()

    monkeypatch.setenv(store.ADDRESS, team.address())
    assert users.check_login("worker", team.secrets["worker"], team.root) == users.Account("worker", "trainer")
    with store.logged_in_as("rea", PASSWORD), store.connect(team.root) as client:
        [version] = lookup.list_versions(client, NAME)
    assert version.user_id == "worker"
    environment = json.loads((team.root.parent / "seen.json").read_text())
    assert environment[STARTED_FOR] == str((team.root / ".sadcl/team").resolve())
    assert not (set(team.secrets.values()) - {"admin"}) & set(environment.values())


def command(team: Team, module: str, *words: str, **more: str) -> str:
    """Output of a module's command."""
    home = os.fspath(team.root / ".sadcl/prefect")
    ended = subprocess.run(
        [sys.executable, "-m", module, *words], cwd=team.root, env=variables(PREFECT_HOME=home, **more), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240, check=False,
    )  # fmt: skip
    return ended.stdout
