"""State of the registry, as pages show it: versions and aliases at one moment, and decisions."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sadcl.registry import eligibility, schema

Decision = dict[str, Any]
OPTIONAL_FIELDS = dict.fromkeys(("action", "user", "time", "reason"), "")
"""Fields that an entry of the audit log may lack."""

_SOURCE = re.compile(r"models:/[^/@]+/(\d+)")


@dataclass(frozen=True)
class Version:
    """A version in the registry.

    Attributes:
        model, number: name of the model, number of the version as text.
        tags: MLflow's tags.
        registered_at: time of registration, UTC.
        registered_by: user who registered it; empty where the registry has none.
        entity: MLflow's ModelVersion.
    """

    model: str
    number: str
    tags: Mapping[str, str]
    registered_at: datetime
    registered_by: str
    entity: Any = field(repr=False)

    @property
    def verdict_digest(self) -> str:
        """Digest of the verdict; empty without one."""
        return self.tags.get(schema.VERDICT_DIGEST, "")

    @property
    def source_number(self) -> str | None:
        """Of a version in the production model: number of the candidate that it is a copy of."""
        match = _SOURCE.fullmatch(str(self.entity.source))
        return match[1] if match else None


@dataclass(frozen=True)
class RegistrySnapshot:
    """State of the registry at one moment.

    Attributes:
        name: of the registered model.
        versions: candidates, the newest first.
        challenger: one of the candidates, or None.
        champion, previous: versions of the production model, or None.
        accepted: value of the tag with the accepted criteria; empty without one.
    """

    name: str
    versions: list[Version]
    challenger: Version | None
    champion: Version | None
    previous: Version | None
    accepted: str = ""

    def version(self, number: int) -> Version:
        """The candidate with a number.

        Raises:
            LookupError: there is no such version.
        """
        version = next((version for version in self.versions if version.number == str(number)), None)
        if version is None:
            raise LookupError(number)
        return version

    def is_champion(self, version: Version) -> bool:
        """Whether the champion has the same weights and code."""
        return eligibility.is_champion(version.tags, None if self.champion is None else self.champion.tags)


def snapshot_from_mlflow(name: str, entities: Iterable[Any], models: Iterable[Any]) -> RegistrySnapshot:
    """Convert MLflow's versions and registered models whose names begin with ``name``."""
    versions, production = [version_from_mlflow(entity) for entity in entities], schema.production(name)
    models = list(models)
    candidates, promoted = ([v for v in versions if v.model == model] for model in (name, production))
    aliases = {(model.name, alias): str(number) for model in models for alias, number in model.aliases.items()}

    def version_with_alias(versions: list[Version], model: str, alias: str) -> Version | None:
        return next((v for v in versions if v.number == aliases.get((model, alias))), None)

    return RegistrySnapshot(
        name,
        sorted(candidates, key=lambda candidate: -int(candidate.number)),
        version_with_alias(candidates, name, schema.CHALLENGER),
        version_with_alias(promoted, production, schema.CHAMPION),
        version_with_alias(promoted, production, schema.PREVIOUS),
        next((str(model.tags.get(schema.CRITERIA, "")) for model in models if model.name == production), ""),
    )


def version_from_mlflow(entity: Any) -> Version:
    """Convert MLflow's ModelVersion."""
    return Version(
        model=str(entity.name),
        number=str(entity.version),
        tags=dict(entity.tags),
        registered_at=datetime.fromtimestamp(entity.creation_timestamp / 1000, UTC),
        registered_by=str(entity.user_id or ""),
        entity=entity,
    )


def decision_from_log(entry: dict[str, Any]) -> Decision:
    """Convert an entry of the audit log to text, with the ``number`` of its candidate."""
    texts = {key: value and str(value) for key, value in entry.items()}
    return {**OPTIONAL_FIELDS, **texts, "number": (texts.get("challenger") or "").rpartition("/")[2]}


def latest_by_version(newest_first: list[Decision], name: str) -> dict[str, Decision]:
    """The latest decision about each candidate of a model, by its number; a log may be about several models."""
    about = [
        decision for decision in newest_first if decision.get("challenger") == f"models:/{name}/{decision['number']}"
    ]
    return {decision["number"]: decision for decision in reversed(about)}


def promotions(newest_first: list[Decision], name: str) -> dict[str, Decision]:
    """The latest promotion of, or rollback to, each version of a model's production model, by its number."""
    about = [decision for decision in newest_first if decision.get("model") == schema.production(name)]
    changes = [decision for decision in about if decision.get("to") and decision["action"] != "reject"]
    return {str(decision["to"]): decision for decision in reversed(changes)}
