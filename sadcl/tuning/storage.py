"""Storage of Optuna studies: SQLite in the project, or PostgreSQL that several machines share."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import databases, extras, files, layout, params
from sadcl.errors import SadclError
from sadcl.processes import OPTUNA_STORAGE
from sadcl.tuning.outage import Outage, reason

if TYPE_CHECKING:
    import optuna
    import sqlalchemy

HEARTBEAT, GRACE = 60, 300
"""Seconds between two signs of life of a trial; seconds without one after which it is run again elsewhere."""

TRIALS = "trials"
"""Attribute of a study: its number of trials."""

CONNECTION = {
    "connect_timeout": 10,
    # a server that is unplugged closes no connection: without these, a query waits for a quarter of an hour
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""Parameters of a connection to PostgreSQL, in seconds; the last one in milliseconds."""


@dataclass(frozen=True)
class SharedStudy:
    """A study that several processes or machines work on.

    Attributes:
        study: of Optuna.
        storage: its storage.
        outage: through which all operations on the storage go.
    """

    study: "optuna.Study"
    storage: "optuna.storages.RDBStorage"
    outage: Outage

    @property
    def is_local(self) -> bool:
        """Whether the storage is a file, which only processes of one machine share."""
        return self.storage.engine.dialect.name == "sqlite"

    @property
    def total(self) -> int:
        """Number of trials that the study shall have; 0 before its first search."""
        return int(self.study.user_attrs.get(TRIALS, 0))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Exclude all other processes that work on this study, on any machine."""
        with lock(self.storage.engine, self.study.study_name):
            yield


def address(root: Path = Path()) -> str:
    """Address of the storage: sqlite in the project, or ``SADCL_OPTUNA_STORAGE``.

    Raises:
        SadclError: it is a database in memory, which would forget the trials.
    """
    where = os.environ.get(OPTUNA_STORAGE) or f"sqlite:///{(root / layout.OPTUNA_DATABASE).resolve()}"
    return databases.require_lasting(where, "trials", OPTUNA_STORAGE)


def open_study(
    name: str, settings: params.Params, root: Path = Path(), worker: int | None = 0, *, create: bool = True
) -> SharedStudy:
    """Open a study.

    Args:
        name: of the study.
        settings: seed and pruning.
        root: the project.
        worker: number of this process, which seeds its sampler; None takes a seed that no other process has.
        create: whether to create the study where there is none.

    Raises:
        SadclError: the storage can't be used, or there is no such study.
    """
    import optuna

    storage = open_storage(root)
    with silence_warnings(), _errors_of(address(root)):
        if create:
            study = optuna.create_study(study_name=name, storage=storage, load_if_exists=True, direction="maximize")
        else:
            study = optuna.load_study(study_name=name, storage=storage)
        if not study.metric_names:
            study.set_metric_names(["select mAP, %"])  # the label of the dashboard's axes
        done = len(study.get_trials(deepcopy=False))
        # constant_liar: workers side by side take running trials for bad ones, and do not all try the same
        study.sampler = optuna.samplers.TPESampler(seed=_seed(settings.seed, worker, done), constant_liar=True)
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=settings.tune.startup_trials)
    return SharedStudy(study, storage, Outage(databases.without_login(address(root))))


def open_storage(root: Path = Path()) -> "optuna.storages.RDBStorage":
    """Open the storage at ``address``.

    Raises:
        SadclError: the storage can't be reached, or the address is no valid one.
    """
    import optuna

    # our lines say why a trial failed; Optuna's would precede them with a traceback
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    where = address(root)
    (root / layout.OPTUNA_DATABASE).parent.mkdir(parents=True, exist_ok=True)
    # libpq's time zone. Heartbeats are stored without one: in local time, all trials would seem dead when summer time
    # begins
    os.environ["PGTZ"] = "UTC"
    with silence_warnings(), _errors_of(where), _creation_lock(where):
        return optuna.storages.RDBStorage(
            database_url(where).render_as_string(hide_password=False),
            engine_kwargs=engine_options(where),
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
        )


def study_names(root: Path = Path()) -> list[str]:
    """Names of all studies in the storage, oldest first.

    Raises:
        SadclError: the storage can't be used.
    """
    storage = open_storage(root)
    with _errors_of(address(root)):
        names = [study.study_name for study in sorted(storage.get_all_studies(), key=lambda study: study._study_id)]
    storage.engine.dispose()
    return names


def database_url(where: str) -> "sqlalchemy.URL":
    """Parse the address of a storage; PostgreSQL is reached through psycopg 3.

    Raises:
        SadclError: it is no address of SQLite or PostgreSQL, or the driver is missing.
    """
    import sqlalchemy

    # checked first: a library that cuts such an address elsewhere would print parts of the password
    is_file = databases.sqlite_file(where) is not None
    if not is_file and re.search(r"[@/?#]", where.partition("://")[2].rpartition("@")[0]):
        raise _unusable("its address has special characters", where, "Percent-encode them, such as %40 for @")
    try:
        url = sqlalchemy.make_url(where)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise _unusable("this is no address of a database", where) from None
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise _unusable("it is neither SQLite nor PostgreSQL", where)
    if url.drivername == "postgresql+psycopg":
        extras.require("psycopg")
    return url


def engine_options(where: str) -> dict[str, Any]:
    """Options of SQLAlchemy's engine for the storage at an address."""
    url = database_url(where)
    if url.get_backend_name() == "sqlite":
        # one writer at a time: the others wait for it, by default five seconds
        return {"connect_args": {"timeout": 60}}
    return {"pool_pre_ping": True, "connect_args": CONNECTION}


@contextmanager
def lock(engine: "sqlalchemy.Engine", name: str) -> Iterator[None]:
    """Hold a lock on a name in a database; it ends with the process, or with its connection."""
    from sqlalchemy import text

    if engine.dialect.name == "sqlite":
        with files.open_locked(f"{engine.url.database}.lock"):
            yield
        return
    key = int(files.digest_of(["sadcl", name])[:15], 16)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
        yield


def uptime(engine: "sqlalchemy.Engine") -> float:
    """Seconds since a PostgreSQL server started."""
    from sqlalchemy import text

    with engine.connect() as connection:
        query = text("SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())")
        return float(connection.execute(query).scalar_one())


@contextmanager
def silence_warnings() -> Iterator[None]:
    """Silence Optuna's warnings about experimental features and values reported twice or out of range, all intended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _creation_lock(where: str) -> Iterator[None]:
    """Let one process at a time create Optuna's tables in PostgreSQL: two at once would fail."""
    import sqlalchemy

    url = database_url(where)
    if url.get_backend_name() == "sqlite":
        yield
        return
    engine = sqlalchemy.create_engine(url, **engine_options(where), poolclass=sqlalchemy.NullPool)
    with lock(engine, "tables"):
        yield


def _seed(seed: int, worker: int | None, done: int) -> int:
    """Seed of a sampler; a search that goes on must not draw again what it drew at its start."""
    if worker is None:
        return int.from_bytes(os.urandom(4), "big")
    return seed + worker if not done else int(files.digest_of([seed, worker, done])[:8], 16)


@contextmanager
def _errors_of(where: str) -> Iterator[None]:
    """Convert the errors of opening a storage."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    # no such server; a database of another program or version of Optuna
    except (SQLAlchemyError, OptunaError, ImportError, ValueError, RuntimeError) as error:
        raise _unusable(reason(error), where) from None


def _unusable(problem: str, where: str, fix: str = f"Start the server, or check {OPTUNA_STORAGE}") -> SadclError:
    return SadclError(f"The storage of studies can't be used: {problem}", where=databases.without_login(where), fix=fix)
