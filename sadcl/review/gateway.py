"""Gateway to the registry: every call carries the credentials of a person who is logged in."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import bounded_json, files, params
from sadcl.errors import SadclError
from sadcl.registry import artifacts, lookup
from sadcl.registry.audit import log
from sadcl.registry.client import connect, database_file, registry_address, registry_exists
from sadcl.registry.mlflow_context import silence, translate_errors
from sadcl.registry.personal_client import PersonalClient
from sadcl.registry.promote import Check
from sadcl.registry.verified import VerifiedRecord
from sadcl.review import schemas
from sadcl.review.after_decision import AfterDecision
from sadcl.review.authentication import Authenticator
from sadcl.review.cache import Cache
from sadcl.review.sessions import Session
from sadcl.review.shared_reads import SharedReads
from sadcl.review.snapshot import Decision, RegistrySnapshot, Version, decision_from_log, snapshot_from_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient

THREADS = 40
"""Threads in which Starlette answers requests."""
VERDICT, SETTINGS, METRICS = "verdict.json", "params.yaml", "evidence/metrics.json"


class RegistryGateway:
    """Reads in the registry of a project as many people at once, and decides as one at a time.

    Args:
        root: the project's folder.
        authenticator: adds a person's credentials to registry calls.
        cache: of files that were downloaded before.
        after_decision: synchronises the project after a decision.
        check: refuses a promotion by raising; None refuses nothing.
    """

    def __init__(
        self, root: Path, authenticator: Authenticator, cache: Cache, after_decision: AfterDecision, check: Check | None
    ) -> None:
        self.root, self.authenticator, self.cache, self.after_decision = root, authenticator, cache, after_decision
        self._check = check
        self._address = registry_address(root)  # now: calls that log in change the environment for moments
        self._has_accounts = database_file(root) is None
        self._lock = threading.RLock()  # decisions, and registries in a file: MLflow keeps its settings per process
        self._decision_lock = threading.Lock()  # apart from `_lock`: pages stay readable while a decision runs
        self._snapshots = SharedReads[RegistrySnapshot]()
        _preload_mlflow()

    def arrival(self) -> int:
        """The present moment, for ``snapshot``."""
        return self._snapshots.arrival()

    def snapshot(self, session: Session, arrival: int | None = None) -> RegistrySnapshot:
        """Versions and aliases, read by this person or by one with the same rights.

        Args:
            session: of the person.
            arrival: moment after which it was read; by default now.

        Raises:
            SadclError: the registry can't be reached, or refuses the credentials.
        """
        moment = self.arrival() if arrival is None else arrival
        snapshot = self._snapshots.get(session.rights, moment, lambda: self._read_snapshot(session))
        session.snapshot = snapshot
        return snapshot

    def _read_snapshot(self, session: Session) -> RegistrySnapshot:
        name = params.load("register", path=self.root / params.FILE).register_.name
        if not self._has_accounts and not registry_exists(self.root):
            return RegistrySnapshot(name, [], None, None, None)
        with self._client(session) as client:  # two requests: the server checks log-in and rights in each
            versions = lookup.list_versions(client, name, beginning=True)
            models = client.search_registered_models(f"name LIKE '{name}%'", max_results=1000)
        return snapshot_from_mlflow(name, versions, models)

    def last_snapshot(self, session: Session) -> RegistrySnapshot:
        """The snapshot behind the session's last page, to which that page's images belong."""
        return session.snapshot or self.snapshot(session)

    def decisions(self, session: Session) -> list[Decision]:  # noqa: ARG002 - all who log in read the project's log
        """All decisions, the newest first."""
        return [decision_from_log(entry) for entry in reversed(log.entries(self.root))]

    def pinned_file(self, session: Session, version: Version, name: str) -> Path:
        """Download a file whose digest was pinned when the version was registered.

        Raises:
            SadclError: the file is missing, or its digest differs.
        """
        digest = artifacts.pins(version.entity).get(name, "")
        if not files.is_digest(digest):
            raise SadclError(f"The version has no digest of {name}", where=_label(version))

        def download(folder: Path) -> Path:
            with self._client(session) as client:
                download = client.download if isinstance(client, PersonalClient) else None
                return artifacts.fetch(client, version.entity, name, folder, download)

        return self.cache.file(digest, Path(name).name, download)

    def verdict(self, session: Session, version: Version) -> schemas.Verdict:
        """The gate's verdict on a version.

        Raises:
            SadclError: verdict.json is missing, was changed after the gate wrote it, or has another form.
        """
        path = self._unpinned_file(session, version, VERDICT)
        try:
            value = bounded_json.read(path)
            if files.digest_of(value) != version.verdict_digest:
                raise SadclError(
                    "The verdict in the registry was changed after the gate wrote it",
                    where=_label(version),
                    fix="Find out who changed it, then run `sadcl register` again",
                )
        except Exception:
            path.unlink(missing_ok=True)  # the gate may have judged between two requests: download it again next time
            raise
        return schemas.parse(schemas.Verdict, value, VERDICT, _label(version))

    def metrics(self, session: Session, version: Version) -> schemas.Metrics:
        """A version's metrics on the test images, with the digests of their inputs.

        Raises:
            SadclError: metrics.json is missing, was changed, or has another form.
        """
        value = bounded_json.read(self.pinned_file(session, version, METRICS))
        return schemas.parse(schemas.Metrics, value, METRICS, _label(version))

    def verified_file(self, session: Session, record: VerifiedRecord, name: str) -> Path:
        """Download a file that the verifier wrote.

        Raises:
            SadclError: the file is missing, or its digest differs.
        """
        digest, where = record.files.get(name, ""), f"verification {record.run}"
        if not files.is_digest(digest):
            raise SadclError(f"The verifier wrote no {name}", where=where)

        def download(folder: Path) -> Path:
            with self._client(session) as client:
                path = Path(client.download_artifacts(record.run, name, str(folder)))
            if files.digest(path) != digest:
                raise SadclError(f"{name} is not the file that the verifier wrote", where=where)
            return path

        return self.cache.file(digest, name, download)

    def verified_value(
        self, session: Session, record: VerifiedRecord, name: str, schema: type[schemas.SchemaT]
    ) -> schemas.SchemaT:
        """Content of a JSON file that the verifier wrote.

        Raises:
            SadclError: the file is missing, or its digest differs.
        """
        value = files.read_json(self.verified_file(session, record, name))
        return schemas.parse(schema, value, name, f"verification {record.run}")

    def accept_criteria(self, session: Session, expected: str, reason: str) -> list[str]:
        """Accept the criteria of the project.

        Args:
            session: of the reviewer.
            expected: digest of the criteria that the reviewer read.
            reason: for the ledger.

        Returns:
            Sentences about the result.

        Raises:
            SadclError: the criteria have changed since, or the registry refuses.
        """
        from sadcl.verification.acceptance import accept_project

        with self._decision_lock, self._logged_in(session):
            return [accept_project(reason, expected, self.root)]

    def settings(self, session: Session, version: Version) -> dict[str, Any]:
        """A version's params.yaml.

        Raises:
            SadclError: the file is missing, or has another form.
        """
        value = params.read_settings(self._unpinned_file(session, version, SETTINGS))
        schemas.parse(schemas.Settings, value, SETTINGS, _label(version))
        return value

    def scores(self, session: Session, version: Version) -> Path:
        """Path of a version's scores of the test images."""
        return self.pinned_file(session, version, artifacts.SCORES)

    def weights(self, session: Session, version: Version) -> Path:
        """Path of a version's model file."""
        return self.pinned_file(session, version, artifacts.model(version.entity))

    def approve(self, session: Session, number: int, verdict_digest: str, reason: str, first: bool) -> list[str]:
        """Make a version the champion.

        Args:
            session: of the reviewer.
            number: of the version.
            verdict_digest: of the verdict that the reviewer read.
            reason: for the audit log.
            first: confirms that there is no champion yet.

        Returns:
            Sentences about the result.

        Raises:
            SadclError: the verdict has changed since, or the registry refuses.
        """
        from sadcl.registry.promote import promote

        with self._decision_lock:
            with self._logged_in(session):
                sentence = promote(
                    number, reason, first=first, verdict_digest=verdict_digest, root=self.root, check=self._check
                ).words
            return [sentence, self._follow_up(session)]

    def reject(self, session: Session, number: int, verdict_digest: str, reason: str) -> list[str]:
        """Reject a version.

        Args:
            session: of the reviewer.
            number: of the version.
            verdict_digest: of the verdict that the reviewer read.
            reason: for the audit log.

        Returns:
            Sentences about the result.

        Raises:
            SadclError: the verdict has changed since, or the registry refuses.
        """
        from sadcl.registry.promote import reject

        with self._decision_lock:
            with self._logged_in(session):
                sentence = reject(number, reason, verdict_digest=verdict_digest, root=self.root).words
            return [sentence, self._follow_up(session)]

    def roll_back(self, session: Session, expected: str, reason: str) -> list[str]:
        """Make the previous champion the champion again.

        Args:
            session: of the reviewer.
            expected: number of the champion, in the production model, that the reviewer's page showed.
            reason: for the audit log.

        Returns:
            Sentences about the result.

        Raises:
            SadclError: the champion has changed since, or the registry refuses.
        """
        from sadcl.registry.promote import rollback

        with self._decision_lock:
            champion = self.snapshot(session).champion
            if champion is None or champion.number != expected:
                raise SadclError("The champion has changed since you opened this page", fix="Reload the page")
            with self._logged_in(session):
                # compared once more under the registry's lock: another machine may promote meanwhile
                sentence = rollback(reason, champion_seen=expected, root=self.root).words
            return [sentence, self._follow_up(session)]

    def _follow_up(self, session: Session) -> str:
        return self.after_decision(self.root, lambda: self._logged_in(session))

    def _unpinned_file(self, session: Session, version: Version, name: str) -> Path:
        """Download a file without a pinned digest: `sadcl register` replaces it when the gate judges again."""
        run = str(version.entity.run_id)

        def download(folder: Path) -> Path:
            missing = SadclError(f"{name} is missing in the registry", where=_label(version))
            with self._client(session) as client:
                try:
                    return Path(client.download_artifacts(run, name, str(folder)))
                except OSError:
                    raise missing from None

        return self.cache.file_by_key(files.digest_of([run, version.verdict_digest]), name, download)

    @contextmanager
    def _logged_in(self, session: Session) -> Iterator[None]:
        """Log this process in as a person, and nobody else meanwhile: decisions call MLflow's own functions."""
        with self._lock, self.authenticator.logged_in_as(session.name, session.password):
            yield

    @contextmanager
    def _client(self, session: Session) -> Iterator["MlflowClient | PersonalClient"]:
        """A client that reads: of a server with the person's log-in, and for many people at once."""
        if self._has_accounts:
            with translate_errors(self._address):
                yield PersonalClient(self._address, session.name, session.password)
        else:
            with self._logged_in(session), connect(self.root) as client:
                yield client


def _label(version: Version) -> str:
    return f"{version.model} version {version.number}"


def _preload_mlflow() -> None:
    """Import MLflow at start-up: it takes seconds, which the first request would wait for."""
    with silence():
        import mlflow  # noqa: F401
    os.environ.setdefault("MLFLOW_HTTP_POOL_MAXSIZE", str(THREADS))  # a connection for each thread of the page
