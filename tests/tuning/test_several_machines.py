"""Several processes on one PostgreSQL storage: number of trials, outages, signs of life, dashboard, doctor."""

import os
import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path
from urllib.request import urlopen

import pytest
import sqlalchemy
from optuna.trial import TrialState
from werkzeug.test import Client

from sadcl import databases, params, processes
from sadcl.errors import SadclError
from sadcl.services import optuna_login
from sadcl.tuning import checks, claims, search, storage
from tests.paths import REPOSITORY
from tests.tuning.postgres import PASSWORD, Server
from tests.tuning.projects import give_to_a_silent_machine, opened

WORKER = """
import os, time
from pathlib import Path
from sadcl.tuning import search, storage
from tests.tuning import projects

settings, shared = projects.opened(Path(), 2, worker=None)
for total in range(2, 7, 2):
    Path(f"ready-{total}-{os.getpid()}").touch()
    while len(list(Path().glob(f"ready-{total}-*"))) < 3:
        time.sleep(0.001)
    shared.study.set_user_attr(storage.TRIALS, total)
    search.search(shared, settings, lambda settings, report: 50.0 + settings.train.lr, Path())
"""
"""Three processes reach for two trials at the same moment, three times."""

ENDS = """
import sys
from pathlib import Path
from sadcl.errors import SadclError
from sadcl.tuning import search
from tests.tuning import projects

def waits(settings, report):
    state = Path(".sadcl/state/trained")
    state.mkdir(parents=True)
    report(0, 50.0)
    Path("begun").touch()
    while True:
        if Path("stopped").exists():
            report(1, 60.0)

settings, shared = projects.opened(Path(), 1)
shared.outage.limit, shared.outage.pause = 0.5, 0.1
try:
    search.search(shared, settings, waits, Path())
except SadclError as error:
    sys.exit(str(error))
"""


def start(code: str, root: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def test_processes_that_start_at_once_share_a_study_and_run_none_too_many(shared_root: Path) -> None:
    workers = [start(WORKER, shared_root) for _ in range(3)]
    assert [(worker.communicate()[1], worker.returncode) for worker in workers] == [("", 0)] * 3
    _, shared = opened(shared_root, 6)
    trials = shared.study.trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    assert len({trial.params["train.lr"] for trial in trials}) == 6
    recorded = str([shared.study.user_attrs, *(trial.user_attrs | trial.system_attrs for trial in trials)])
    assert PASSWORD not in recorded


def test_training_goes_on_without_the_storage_and_reports_later(
    shared_root: Path, server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    settings, shared = opened(shared_root, 2)
    shared.outage.pause = 0.1

    def trains(settings: params.Params, report: search.Report) -> float:
        report(0, 50.0)
        server.stop()
        report(1, 51.0)
        report(2, 52.0)
        if next(calls) == 0:
            server.start()
            report(3, 53.0)
        else:  # the storage comes back after the training has ended
            threading.Timer(0.5, server.start).start()
        return 53.0

    calls = count()
    search.search(shared, settings, trains, shared_root)
    first, second = shared.study.trials
    assert first.state == second.state == TrialState.COMPLETE
    assert first.intermediate_values == {0: 50, 1: 51, 2: 52, 3: 53}
    assert second.intermediate_values == {0: 50, 1: 51, 2: 52}
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("the storage")]
    assert ["answers again" in line for line in lines] == [False, True, False, True]
    assert PASSWORD not in "".join(lines)


def test_an_outage_in_the_middle_of_a_claim_is_none_of_the_search(
    shared_root: Path, server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    settings, shared = opened(shared_root, 1)

    def cut_off() -> None:
        with shared.lock():
            claims.take_back(shared)
            server.stop()
            claims.take_back(shared)

    assert shared.outage.attempt(cut_off) is None
    server.start()
    assert "does not answer" in (line := capfd.readouterr().out)
    assert "transaction" not in line, "the database's own reason"
    search.search(shared, settings, lambda settings, report: 50.0, shared_root)
    assert [trial.state for trial in shared.study.trials] == [TrialState.COMPLETE]


def test_a_search_without_its_storage_ends_in_a_sentence_and_goes_on_later(shared_root: Path, server: Server) -> None:
    ends = start(ENDS, shared_root)
    deadline = time.monotonic() + 60
    while not (shared_root / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    server.stop()
    (shared_root / "stopped").touch()
    _, printed = ends.communicate()
    server.start()
    assert ends.returncode == 1
    assert printed.startswith("The storage of studies has not answered for")
    assert "Run the same command again" in printed
    assert PASSWORD not in printed
    assert (shared_root / ".sadcl/state/trained").exists()
    settings, shared = opened(shared_root, 1)
    search.search(shared, settings, lambda settings, report: 60.0, shared_root)
    interrupted, again = shared.study.trials
    assert (interrupted.state, again.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert again.params == interrupted.params


def test_trials_get_time_for_a_sign_of_life_after_the_server_was_away(
    shared_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, shared = opened(shared_root)
    claimed = claims.claim(shared, settings.tune.space)
    assert claimed is not None
    give_to_a_silent_machine(shared)
    with shared.lock():
        monkeypatch.setattr(storage, "HEARTBEAT", 1e9)  # as if the server had just started
        claims.take_back(shared)
        assert shared.study.trials[0].state == TrialState.RUNNING
        monkeypatch.setattr(storage, "HEARTBEAT", 0)
        claims.take_back(shared)
    assert [trial.state for trial in shared.study.trials] == [TrialState.FAIL, TrialState.WAITING]


def test_connections_keep_utc(shared_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGTZ", "Europe/Berlin")
    with storage.open_storage(shared_root).engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SHOW timezone")).scalar_one() == "UTC"


def test_the_dashboard_shows_the_shared_study(shared_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, shared = opened(shared_root)
    monkeypatch.chdir(shared_root)
    answer = Client(optuna_login.create_open_app()).get("/api/studies", headers={"Host": "127.0.0.1"})
    assert [entry["study_name"] for entry in answer.json["study_summaries"]] == [shared.study.study_name]


@pytest.mark.slow
def test_the_dashboard_of_the_command_line_has_the_address_of_the_storage(shared_root: Path) -> None:
    _, shared = opened(shared_root)
    dashboard = start(
        "import sys; sys.argv[1:] = ['tune', '--dashboard']; from sadcl.cli import main; main()", shared_root
    )
    assert dashboard.stdout is not None
    address = next(line for line in dashboard.stdout if line.startswith("optuna: ")).split()[1]
    with urlopen(f"{address}/api/studies") as answer:
        assert shared.study.study_name in answer.read().decode()
    dashboard.terminate()
    _, printed = dashboard.communicate(timeout=60)
    assert PASSWORD not in printed


def test_doctor_examines_the_server(shared_root: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = f"postgresql+psycopg://127.0.0.1:{server.port}/"
    assert list(checks.problems()) == []
    monkeypatch.setattr(checks, "OLDEST", 99)
    monkeypatch.setattr(checks, "CLOCK", -1e9)
    version, clock = checks.problems()
    assert shown in version
    assert "99 or later" in version
    assert shown in clock
    assert "set both by NTP" in clock
    server.stop()
    [away] = checks.problems()
    server.start()
    assert "does not answer" in away
    monkeypatch.setenv(processes.OPTUNA_STORAGE, server.address("nothing"))
    [absent] = checks.problems()
    assert 'database "nothing" does not exist' in absent
    assert PASSWORD not in away + absent


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://ann:s3cret@host:5432/studies", "postgresql://host:5432/studies"),
        ("postgresql://ann:s3@cr/et@host/studies?sslmode=require&password=s3cret", "postgresql://host/studies"),
        ("postgresql://host/studies?user=ann&password=abc@s3cret", "postgresql://..."),
        ("ann:s3cret@host", "host"),
        ("/home/a@b/mlruns", "/home/a@b/mlruns"),
        ("file:///home/a@b/mlruns", "file:///home/a@b/mlruns"),
        ("sqlite:////home/a@b/optuna.db", "sqlite:////home/a@b/optuna.db"),
    ],
)
def test_an_address_is_shown_without_its_login(address: str, shown: str) -> None:
    assert databases.without_login(address) == shown


@pytest.mark.parametrize(
    "address", ["postgresql://ann:s3cr@et@h/x", "postgresql://ann:s3/cret@h/x", "mysql://a:s3cret@h/x"]
)
def test_an_address_that_cannot_be_used_is_a_sentence_without_its_password(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(processes.OPTUNA_STORAGE, address)
    with pytest.raises(SadclError, match="can't be used") as caught:
        storage.open_storage(tmp_path)
    assert not any(part in str(caught.value) for part in ("s3", "cret", "ann"))
    assert processes.OPTUNA_STORAGE not in processes.child_environment()
