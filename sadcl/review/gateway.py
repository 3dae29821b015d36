"""What the page asks of the registry, each time as the person who looks: the one file that calls it."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.review import schemas
from sadcl.review.after_decision import Aftermath
from sadcl.review.cache import Cache
from sadcl.review.sessions import Session
from sadcl.review.snapshot import RegistrySnapshot, Version, version

if TYPE_CHECKING:
    from mlflow import MlflowClient
from sadcl.review.authentication import Authenticator

_SHA256 = re.compile(r"[0-9a-f]{64}")
VERDICT, SETTINGS, METRICS = "verdict.json", "params.yaml", "evidence/metrics.json"


class Registry:
    """The registry of a project, asked by one person at a time.

    Args:
        root: the project's folder.
        door: how it is asked as a person.
        cache: of what it was asked for already.
        aftermath: what follows a decision.
    """

    def __init__(self, root: Path, door: Authenticator, cache: Cache, aftermath: Aftermath) -> None:
        self.root, self.door, self.cache, self.aftermath = root, door, cache, aftermath
        self._one_at_a_time = threading.RLock()  # MLflow's settings belong to the process
        self._deciding = threading.Lock()  # others look at pages meanwhile
        _warm()

    def now(self, who: Session) -> RegistrySnapshot:
        """Versions and aliases, in two questions: each costs the server a check of the password.

        Raises:
            SadclError: the registry can't be had, or does not know this person any more.
        """
        from sadcl.registry import client as store
        from sadcl.registry import lookup, schema

        name = params.load("register", path=self.root / params.FILE).register_.name
        production = schema.production(name)
        if not store.exists(self.root):
            return RegistrySnapshot(name, [], None, None, None)
        with self._asked(who) as client:
            both = [version(entity) for entity in lookup.versions(client, name, beginning=True)]
            models = client.search_registered_models(f"name LIKE '{name}%'", max_results=1000)
        known, crowned = ([v for v in both if v.model == model] for model in (name, production))
        aliases = {(model.name, alias): str(number) for model in models for alias, number in model.aliases.items()}

        def holder(versions: list[Version], model: str, alias: str) -> Version | None:
            return next((v for v in versions if v.number == aliases.get((model, alias))), None)

        found = RegistrySnapshot(
            name,
            sorted(known, key=lambda version: -int(version.number)),
            holder(known, name, schema.CHALLENGER),
            holder(crowned, production, schema.CHAMPION),
            holder(crowned, production, schema.PREVIOUS),
        )
        who.registered = found
        return found

    def seen(self, who: Session) -> RegistrySnapshot:
        """What ``now`` said last to this person: the pictures of a page belong to what it was made from."""
        return who.registered or self.now(who)

    def decisions(self, who: Session) -> list[dict[str, Any]]:
        """All decisions, the newest first."""
        from sadcl.registry.audit import log

        with self._acting(who):
            return log.entries(self.root)[::-1]

    def pinned(self, who: Session, version: Version, name: str) -> Path:
        """A file whose digest was pinned when the version was registered.

        Raises:
            SadclError: it is gone, or is not the one that was pinned.
        """
        from sadcl.registry import artifacts

        digest = artifacts.pins(version.entity).get(name, "")
        if not _SHA256.fullmatch(digest):
            raise SadclError(f"No digest of {name} was pinned", where=_where(version))

        def bring(folder: Path) -> Path:
            with self._asked(who) as client:
                return artifacts.fetch(client, version.entity, name, folder)

        return self.cache.file(digest, Path(name).name, bring)

    def verdict(self, who: Session, version: Version) -> schemas.Verdict:
        """What the gate said.

        Raises:
            SadclError: it is gone, is not what the gate said, or makes no sense.
        """
        path = self._shown(who, version, VERDICT)
        try:
            value = files.read_json(path)
            if files.digest_of(value) != version.judgement:
                raise SadclError(
                    "The verdict in the registry is not the one that the gate gave",
                    where=_where(version),
                    fix="Run `sadcl register` again, and find out who changed it",
                )
        except Exception:
            path.unlink(missing_ok=True)  # the gate may have judged between two questions: it is asked for again
            raise
        return schemas.parse(schemas.Verdict, value, VERDICT, _where(version))

    def metrics(self, who: Session, version: Version) -> schemas.Metrics:
        """Its figures on the test images, with what they stand on.

        Raises:
            SadclError: they are gone, changed, or make no sense.
        """
        value = files.read_json(self.pinned(who, version, METRICS))
        return schemas.parse(schemas.Metrics, value, METRICS, _where(version))

    def settings(self, who: Session, version: Version) -> dict[str, Any]:
        """Its params.yaml.

        Raises:
            SadclError: it is gone, or makes no sense.
        """
        value = params.read_settings(self._shown(who, version, SETTINGS))
        schemas.parse(schemas.Settings, value, SETTINGS, _where(version))
        return value

    def scores(self, who: Session, version: Version) -> Path:
        """Its scores of the test images."""
        from sadcl.registry import artifacts

        return self.pinned(who, version, artifacts.SCORES)

    def weights(self, who: Session, version: Version) -> Path:
        """The file that computes it."""
        from sadcl.registry import artifacts

        return self.pinned(who, version, artifacts.model(version.entity))

    def approve(self, who: Session, number: int, seen: str, reason: str, first: bool) -> list[str]:
        """Make a version the champion.

        Args:
            who: decides.
            number: of the version.
            seen: digest of the verdict that this person saw.
            reason: why.
            first: there is no champion yet.

        Returns:
            What happened, in sentences.

        Raises:
            SadclError: the version was judged anew, or the registry refuses.
        """
        from sadcl.registry.promote import promote

        with self._deciding:
            with self._acting(who):
                words = promote(number, reason, first=first, seen=seen, root=self.root).words
            return [words, self._after(who)]

    def reject(self, who: Session, number: int, seen: str, reason: str) -> list[str]:
        """Say no to a version; as ``approve``."""
        from sadcl.registry.promote import reject

        with self._deciding:
            with self._acting(who):
                words = reject(number, reason, seen=seen, root=self.root).words
            return [words, self._after(who)]

    def roll_back(self, who: Session, expected: str, reason: str) -> list[str]:
        """Make the previous champion the champion again; as ``approve``.

        Args:
            who: decides.
            expected: number of the version in production that this person saw as champion.
            reason: why.
        """
        from sadcl.registry.promote import rollback

        with self._deciding:
            champion = self.now(who).champion
            if champion is None or champion.number != expected:
                raise SadclError("The champion has changed since you opened this page", fix="Look at it again")
            with self._acting(who):
                words = rollback(reason, root=self.root).words
            return [words, self._after(who)]

    def _after(self, who: Session) -> str:
        return self.aftermath(self.root, lambda: self._acting(who))

    def _shown(self, who: Session, version: Version, name: str) -> Path:
        """A file beside the evidence: it is replaced when the gate judges again, and has no pin."""
        run = str(version.entity.run_id)

        def bring(folder: Path) -> Path:
            gone = SadclError(f"{name} is gone from the registry", where=_where(version))
            with self._asked(who) as client:
                try:
                    return Path(client.download_artifacts(run, name, str(folder)))
                except OSError:
                    raise gone from None

        return self.cache.shown(files.digest_of([run, version.judgement]), name, bring)

    @contextmanager
    def _acting(self, who: Session) -> Iterator[None]:
        with self._one_at_a_time, self.door.acting_as(who.name, who.password):
            yield

    @contextmanager
    def _asked(self, who: Session) -> Iterator["MlflowClient"]:
        from sadcl.registry import client as store

        with self._acting(who), store.connect(self.root) as client:
            yield client


def _where(version: Version) -> str:
    return f"{version.model} version {version.number}"


def _warm() -> None:
    """Load MLflow now, which takes seconds: the first person who comes does not wait for it."""
    from sadcl.registry import mlflow_context

    with mlflow_context.silence():
        import mlflow  # noqa: F401
