"""Record of a verification: what the verifier computed for exactly these weights, criteria and champion."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from sadcl import files
from sadcl.progress import printable
from sadcl.registry import schema

LARGEST = 20_000
"""Characters of a record that is read."""
ERROR = "error"
"""Verdict of a version that can't be scored."""
TOLERANCE = 0.5
"""Percent by which the same weights may score differently elsewhere: another processor, another library."""
SHOWN_TOLERANCE = 0.05
"""Percent from which a difference is shown."""
VERDICT, METRICS, SCORES, CHAMPION_SCORES = "verdict.json", "metrics.json", "scores.parquet", "champion_scores.parquet"
"""Files of the verifier's run."""


@dataclass(frozen=True)
class VerifiedRecord:
    """Result of a verification, as the tag ``sadcl.verified`` of a registered version holds it.

    Attributes:
        verdict: ``pass``, ``fail`` or ``undecided`` of the gate; ``refused`` where the champion can't be scored,
            ``error`` where the version can't.
        words: the verdict, or the error, as a sentence.
        mAP: in percent, two decimals; empty without scores.
        weights: SHA-256 of the file that was scored.
        test: digest of the list of test photos.
        criteria: digest of the acceptance criteria.
        champion: SHA-256 of the champion's weights; empty without a champion.
        run: id of the MLflow run with the verified files; empty where they are not kept.
        files: SHA-256 of the verified files by name.
        time: of the verification, ISO 8601.
    """

    verdict: str
    words: str
    mAP: str  # noqa: N815 - the field's own spelling
    weights: str
    test: str
    criteria: str
    champion: str
    run: str
    files: dict[str, str]
    time: str

    @property
    def passed(self) -> bool:
        return self.verdict == "pass"

    def text(self) -> str:
        """JSON of the record; equal records have equal text."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class Difference:
    """A claim of a version's author that differs from the verified value.

    Attributes:
        name: what the claim is about.
        claimed: as the tags of the version say.
        verified: as the verifier computed it.
    """

    name: str
    claimed: str
    verified: str

    def __str__(self) -> str:
        return f"{self.name}: claimed {printable(self.claimed[:200])}, verified {self.verified}"


def has_false_map(tags: Mapping[str, str], record: VerifiedRecord) -> bool:
    """Whether the mAP that a version claims is further from the verified one than machines differ."""
    try:
        return not abs(float(tags.get(schema.MAP, "")) - float(record.mAP)) <= TOLERANCE
    except ValueError:  # no number: nothing was claimed
        return False


def differences(tags: Mapping[str, str], record: VerifiedRecord) -> list[Difference]:
    """Claims among the tags of a version that differ from what was verified; empty for an honest version."""
    return list(_differences(tags, record))


def _differences(tags: Mapping[str, str], record: VerifiedRecord) -> Iterator[Difference]:
    expected = {
        schema.VERDICT: ("verdict", record.verdict),
        schema.MAP: ("mAP", record.mAP),
        schema.WEIGHTS: ("weights", record.weights),
        schema.TEST: ("test photos", record.test),
        schema.JUDGED_AGAINST: ("compared with the champion", record.champion),
    }
    if record.champion == record.weights:  # the champion itself: it was compared with the one before it
        del expected[schema.JUDGED_AGAINST]
    for tag, (name, value) in expected.items():
        claimed = tags.get(tag)
        if claimed != value and not (tag == schema.MAP and _nearly_equal(claimed, value)):
            yield Difference(name, _short(claimed), _short(value))


def _nearly_equal(claimed: str | None, value: str) -> bool:
    try:
        return abs(float(claimed or "") - float(value)) <= SHOWN_TOLERANCE
    except ValueError:
        return False


def _short(value: str | None) -> str:
    """A value as people compare it: of a digest, the first 12 digits."""
    if not value:
        return "none"
    return value[:12] if files.is_digest(value) else value


def read_record(tags: Mapping[str, str]) -> VerifiedRecord | None:
    """Record among the tags of a version; None where there is none that the verifier wrote."""
    return parse_record(tags.get(schema.VERIFIED, ""))


def parse_record(text: str) -> VerifiedRecord | None:
    """Parse the value of the tag; None where it has another form."""
    if len(text) > LARGEST:
        return None
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.keys() != {field.name for field in fields(VerifiedRecord)}:
        return None
    digests = value["files"]
    if not isinstance(digests, dict) or not all(isinstance(digest, str) for digest in digests.values()):
        return None
    if not all(isinstance(part, str) for name, part in value.items() if name != "files"):
        return None
    return VerifiedRecord(**value)
