"""Versions as pages show them, and what the registry holds at one moment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sadcl.registry import schema

_CANDIDATE = re.compile(r"models:/[^/@]+/(\d+)")


@dataclass(frozen=True)
class Version:
    """A version in the registry.

    Attributes:
        model, number: its name; a number as text.
        tags: as MLflow holds them.
        registered: when, in UTC.
        by: who registered it; empty where the registry did not note it.
        entity: MLflow's own.
    """

    model: str
    number: str
    tags: Mapping[str, str]
    registered: datetime
    by: str
    entity: Any = field(repr=False)

    @property
    def judgement(self) -> str:
        """Digest of its verdict; empty where nobody judged it."""
        return self.tags.get(schema.VERDICT_DIGEST, "")

    @property
    def candidate(self) -> str | None:
        """Of a version in production: the number of the registered version that it is a copy of."""
        found = _CANDIDATE.fullmatch(str(self.entity.source))
        return found[1] if found else None


@dataclass(frozen=True)
class RegistrySnapshot:
    """What the registry holds at one moment.

    Attributes:
        name: of the registered model.
        versions: the newest first.
        challenger: one of them, or None.
        champion, previous: versions in production, or None.
    """

    name: str
    versions: list[Version]
    challenger: Version | None
    champion: Version | None
    previous: Version | None

    def version(self, number: int) -> Version:
        """A registered version by its number.

        Raises:
            LookupError: there is none.
        """
        found = [version for version in self.versions if version.number == str(number)]
        if not found:
            raise LookupError(number)
        return found[0]

    def is_champion(self, version: Version) -> bool:
        """These weights are in production."""
        ours, theirs = version.tags.get(schema.WEIGHTS), self.champion and self.champion.tags.get(schema.WEIGHTS)
        return bool(ours) and ours == theirs


def version(entity: Any) -> Version:
    """Of MLflow's own."""
    return Version(
        model=str(entity.name),
        number=str(entity.version),
        tags=dict(entity.tags),
        registered=datetime.fromtimestamp(entity.creation_timestamp / 1000, UTC),
        by=str(entity.user_id or ""),
        entity=entity,
    )
