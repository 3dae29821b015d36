"""Gateway to the registry: every call carries the credentials of the session's person."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import bounded_json, files, params
from sadcl.errors import SadclError
from sadcl.registry.criteria import Acceptance, Criteria, changes, read_acceptance
from sadcl.registry.promote import Check
from sadcl.registry.verified import VerifiedRecord
from sadcl.review import schemas
from sadcl.review.after_decision import AfterDecision
from sadcl.review.authentication import Authenticator
from sadcl.review.cache import Cache
from sadcl.review.sessions import Session
from sadcl.review.snapshot import Decision, RegistrySnapshot, Version, decision_from_log, version_from_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SHA256 = re.compile(r"[0-9a-f]{64}")
VERDICT, SETTINGS, METRICS = "verdict.json", "params.yaml", "evidence/metrics.json"


@dataclass(frozen=True)
class CriteriaState:
    """Acceptance criteria as the page shows them.

    Attributes:
        accepted: the accepted ones; None where nobody has accepted any.
        project: those of the project.
        changes: sentences about what differs.
    """

    accepted: Acceptance | None
    project: Criteria
    changes: list[str]

    @property
    def is_open(self) -> bool:
        """Whether a reviewer has to decide about the criteria of the project."""
        return self.accepted is None or self.accepted.criteria.digest != self.project.digest


class RegistryGateway:
    """Reads and decides in the registry of a project, as one person at a time.

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
        self._lock = threading.RLock()  # MLflow keeps credentials per process, not per thread
        self._decision_lock = threading.Lock()  # apart from `_lock`: pages stay readable while a decision runs
        _preload_mlflow()

    def snapshot(self, session: Session) -> RegistrySnapshot:
        """Read versions and aliases.

        Raises:
            SadclError: the registry can't be reached, or refuses the credentials.
        """
        from sadcl.registry import lookup, schema
        from sadcl.registry.client import registry_exists

        name = params.load("register", path=self.root / params.FILE).register_.name
        production = schema.production(name)
        if not registry_exists(self.root):
            return RegistrySnapshot(name, [], None, None, None)
        with self._client(session) as client:  # two requests at most: the server checks the password in each
            versions = [version_from_mlflow(entity) for entity in lookup.list_versions(client, name, beginning=True)]
            models = client.search_registered_models(f"name LIKE '{name}%'", max_results=1000)
        candidates, promoted = ([v for v in versions if v.model == model] for model in (name, production))
        aliases = {(model.name, alias): str(number) for model in models for alias, number in model.aliases.items()}

        def version_with_alias(versions: list[Version], model: str, alias: str) -> Version | None:
            return next((v for v in versions if v.number == aliases.get((model, alias))), None)

        snapshot = RegistrySnapshot(
            name,
            sorted(candidates, key=lambda candidate: -int(candidate.number)),
            version_with_alias(candidates, name, schema.CHALLENGER),
            version_with_alias(promoted, production, schema.CHAMPION),
            version_with_alias(promoted, production, schema.PREVIOUS),
            next((str(m.tags.get(schema.CRITERIA, "")) for m in models if m.name == production), ""),
        )
        session.snapshot = snapshot
        return snapshot

    def last_snapshot(self, session: Session) -> RegistrySnapshot:
        """The snapshot behind the session's last page, to which that page's images belong."""
        return session.snapshot or self.snapshot(session)

    def decisions(self, session: Session) -> list[Decision]:
        """All decisions, the newest first."""
        from sadcl.registry.audit import log

        with self._logged_in(session):
            return [decision_from_log(entry) for entry in reversed(log.entries(self.root))]

    def pinned_file(self, session: Session, version: Version, name: str) -> Path:
        """Download a file whose digest was pinned when the version was registered.

        Raises:
            SadclError: the file is missing, or its digest differs.
        """
        from sadcl.registry import artifacts

        digest = artifacts.pins(version.entity).get(name, "")
        if not _SHA256.fullmatch(digest):
            raise SadclError(f"The version has no digest of {name}", where=_label(version))

        def download(folder: Path) -> Path:
            with self._client(session) as client:
                return artifacts.fetch(client, version.entity, name, folder)

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

    def shown_verdict(self, session: Session, version: Version, record: VerifiedRecord | None) -> schemas.Verdict:
        """The verifier's verdict on a version; without a record with files, the author's.

        Raises:
            SadclError: verdict.json is missing, was changed, or has another form.
        """
        if record is None or not record.files:
            return self.verdict(session, version)
        value = files.read_json(self.verified_file(session, record, VERDICT))
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
        if not _SHA256.fullmatch(digest):
            raise SadclError(f"The verifier wrote no {name}", where=where)

        def download(folder: Path) -> Path:
            with self._client(session) as client:
                path = Path(client.download_artifacts(record.run, name, str(folder)))
            if files.digest(path) != digest:
                raise SadclError(f"{name} is not the file that the verifier wrote", where=where)
            return path

        return self.cache.file(digest, name, download)

    def criteria(self, session: Session) -> CriteriaState:
        """The accepted criteria, and how those of the project differ.

        Raises:
            SadclError: the test photos are not here, or the registry can't be reached.
        """
        from sadcl.verification.inputs import load_inputs

        accepted = read_acceptance(self.snapshot(session).accepted)
        protected = load_inputs(self.root).criteria
        return CriteriaState(accepted, protected, [] if accepted is None else changes(accepted.criteria, protected))

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
        from sadcl.registry import artifacts

        return self.pinned_file(session, version, artifacts.SCORES)

    def weights(self, session: Session, version: Version) -> Path:
        """Path of a version's model file."""
        from sadcl.registry import artifacts

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
                sentence = rollback(reason, root=self.root).words
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
        with self._lock, self.authenticator.logged_in_as(session.name, session.password):
            yield

    @contextmanager
    def _client(self, session: Session) -> Iterator["MlflowClient"]:

        from sadcl.registry.client import connect

        with self._logged_in(session), connect(self.root) as client:
            yield client


def _label(version: Version) -> str:
    return f"{version.model} version {version.number}"


def _preload_mlflow() -> None:
    """Import MLflow at start-up: it takes seconds, which the first request would wait for."""
    from sadcl.registry import mlflow_context

    with mlflow_context.silence():
        import mlflow  # noqa: F401
