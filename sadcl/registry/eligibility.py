"""Promotion rules: objections to a decision on a registered version, from the tags of the registry.

The command, the server's guard and the review page all ask here, so they agree and give the same sentences.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sadcl.registry import artifacts, model_code, schema, verified

Tags = Mapping[str, str]

BEING_JUDGED, VERDICT_CHANGED, REJECTED = "being judged", "verdict changed", "rejected"
IS_CHAMPION, NOT_PASSED, OUTDATED, CONTRADICTORY = "is champion", "not passed", "outdated", "contradictory"
NOT_VERIFIED, CRITERIA_OPEN, FOREIGN_CODE = "not verified", "criteria open", "foreign code"
FALSE_CLAIM = "false claim"

WAIT = "Wait until the verifier has scored it, or run `sadcl verify VERSION` on the server's host"
REGISTER_AGAIN = "Ask the person who registered it to run `dvc repro` and `sadcl register`, which judge it again"


@dataclass(frozen=True)
class Objection:
    """A reason against a decision.

    Attributes:
        rule: the rule that objects, one of this module's constants.
        sentence: the reason as a sentence, without a full stop.
        fix: what to do next, without a full stop; empty where nothing helps.
    """

    rule: str
    sentence: str
    fix: str = ""


def objections(
    candidate: Tags,
    champion: Tags | None,
    rejection: Mapping[str, Any],
    verdict_digest: str | None,
    action: str = schema.PROMOTE,
) -> list[Objection]:
    """Every objection to a decision, the most urgent first.

    Args:
        candidate: tags of the registered version.
        champion: tags of the champion; None where there is none.
        rejection: the rejection that stands on the candidate, as ``decision.rejection`` gives it; empty without one.
        verdict_digest: digest of the verdict that the decision stands on; None where the version had none.
        action: ``promote``, ``reject`` or ``rollback``. A rollback returns to a version that production has approved
            before, so today's verdict does not count; a version may be rejected whatever its verdict is.
    """
    rules = [_rejected(rejection)]
    if action != schema.ROLLBACK:
        rules = [_unstable(candidate, verdict_digest), *rules, _champion_itself(candidate, champion)]
    if action == schema.PROMOTE:
        rules += [
            _contradictory(candidate),
            _foreign_code(candidate),
            _not_passed(candidate),
            _outdated(candidate, champion),
        ]
    return [objection for rule in rules for objection in rule]


def verification_objections(candidate: Tags, champion: Tags | None, accepted: str | None) -> list[Objection]:
    """Every objection to a promotion from the record of the verifier, the most urgent first.

    Args:
        candidate: tags of the registered version.
        champion: tags of the champion; None where there is none.
        accepted: digest of the accepted criteria; None where nobody has accepted any.
    """
    return list(_verification(verified.read_record(candidate), candidate, champion, accepted))


def _verification(
    record: verified.VerifiedRecord | None, candidate: Tags, champion: Tags | None, accepted: str | None
) -> Iterator[Objection]:
    if accepted is None:
        yield Objection(
            CRITERIA_OPEN, "Nobody has accepted the rules and the test photos by which models are judged",
            "A reviewer accepts them by `sadcl criteria --accept` or on the review page",
        )  # fmt: skip
    if record is None:
        yield Objection(NOT_VERIFIED, "This version is not verified yet", WAIT)
        return
    if record.weights != artifacts.served_digest(candidate):
        yield Objection(NOT_VERIFIED, "The verification is about other weights than this version's", WAIT)
    if accepted is not None and record.criteria != accepted:
        yield Objection(NOT_VERIFIED, "The acceptance criteria have changed since this version was verified", WAIT)
    if record.champion != champion_weights(champion):
        yield Objection(NOT_VERIFIED, "The champion has changed since this version was verified", WAIT)
    if not record.passed:
        sentence = f"The verified verdict is {record.verdict}. {record.words}".rstrip(".")
        yield Objection(NOT_PASSED, sentence, "Only a version that passed the gate can be promoted")
    if record.verdict != verified.ERROR and verified.has_false_map(candidate, record):
        sentence = f"Its author claims an mAP of {candidate.get(schema.MAP)}, and {record.mAP} was verified"
        yield Objection(FALSE_CLAIM, sentence, "Ask the person who registered it how that came about")


def _unstable(candidate: Tags, verdict_digest: str | None) -> Iterator[Objection]:
    """The verdict is being written, or is another one than the reviewer read."""
    digest = candidate.get(schema.VERDICT_DIGEST)
    if digest == "":  # `sadcl register` empties the digest first and writes it last
        yield Objection(BEING_JUDGED, "A new verdict on this version is being registered", "Try again in a moment")
    elif (verdict_digest or None) != digest:  # forms send an empty text where a version has no verdict
        yield Objection(
            VERDICT_CHANGED, "The verdict has changed since you looked at it", "Read the new verdict, then decide"
        )


def _rejected(rejection: Mapping[str, Any]) -> Iterator[Objection]:
    if rejection:
        sentence = f"This version was rejected by {rejection['user']}: {rejection['reason']}".rstrip(".")
        yield Objection(
            REJECTED, sentence, "A new verdict, by `dvc repro` and `sadcl register`, makes it challenge again"
        )


def _champion_itself(candidate: Tags, champion: Tags | None) -> Iterator[Objection]:
    if is_champion(candidate, champion):
        yield Objection(IS_CHAMPION, "This model is the champion already")


def _contradictory(candidate: Tags) -> Iterator[Objection]:
    """The weights that the version names are not the file that was pinned with it."""
    # without pins every download of the version is refused
    pinned = artifacts.read_pins(candidate) is not None
    if pinned and artifacts.served_digest(candidate) != candidate.get(schema.WEIGHTS):
        yield Objection(
            CONTRADICTORY, f"The tag {schema.WEIGHTS} is not the digest of the weights that were registered",
            "Ask the person who registered it to register the model again, as a new version",
        )  # fmt: skip


def _foreign_code(candidate: Tags) -> Iterator[Objection]:
    """The version has code or settings of its own, which MLflow would run."""
    for sentence in model_code.objections(candidate):
        yield Objection(FOREIGN_CODE, sentence, model_code.REGISTER_AGAIN)


def _not_passed(candidate: Tags) -> Iterator[Objection]:
    verdict = candidate.get(schema.VERDICT)
    if verdict != "pass":
        sentence = f"The gate's verdict is {verdict}. {candidate.get(schema.WORDS, '')}".rstrip(" .")
        sentence = sentence if verdict else "The gate has not judged this version"
        yield Objection(NOT_PASSED, sentence, "Only a version that passed the gate can be promoted")
    elif schema.VERDICT_DIGEST not in candidate:  # without a digest nobody can say which verdict was read
        yield Objection(NOT_PASSED, "The verdict on this version is incomplete", REGISTER_AGAIN)


def _outdated(candidate: Tags, champion: Tags | None) -> Iterator[Objection]:
    """The gate compared the version with another champion than today's, or nobody knows with which."""
    record = verified.read_record(candidate)
    if record is not None and record.champion == champion_weights(champion):
        return  # the verifier has compared it with today's
    if candidate.get(schema.JUDGED_AGAINST) != champion_weights(champion):
        yield Objection(OUTDATED, "The champion has changed since the gate judged this version", REGISTER_AGAIN)


def is_champion(candidate: Tags, champion: Tags | None) -> bool:
    """Whether the champion is a copy of a version: the same weights and the same code.

    The same weights with other code are another model, which replaces one that can't be loaded any more.
    """
    weights = candidate.get(schema.WEIGHTS)
    return (
        bool(weights)
        and champion is not None
        and champion.get(schema.WEIGHTS) == weights
        and model_code.same(champion, candidate)
    )


def champion_weights(champion: Tags | None) -> str:
    """The champion's weights, as ``JUDGED_AGAINST`` holds them; a champion without this tag equals nothing."""
    return "" if champion is None else champion.get(schema.WEIGHTS, "?")
