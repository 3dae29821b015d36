"""Promotion rules that the command, the server's guard and the review page share."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from sadcl.registry import artifacts, decision, schema
from sadcl.registry.eligibility import objections

OLD, NEW = "0" * 64, "1" * 64
"""Weights of the champion and of the candidate."""
CHAMPION = {schema.WEIGHTS: OLD}
PASSED = {
    schema.WEIGHTS: NEW, schema.VERDICT: "pass", schema.WORDS: "All rules hold.", schema.VERDICT_DIGEST: "d1",
    schema.JUDGED_AGAINST: OLD,
}  # fmt: skip
FIRST = {**PASSED, schema.JUDGED_AGAINST: ""}
FAILED = {**PASSED, schema.VERDICT: "fail", schema.WORDS: "mAP is too low."}
REJECTION = {"user": "rob", "reason": "it tags kites as cats."}

BEING_JUDGED = "A new verdict on this version is being registered"
CHANGED = "The verdict has changed since you looked at it"
REJECTED = "This version was rejected by rob: it tags kites as cats"
IS_CHAMPION = "This model is the champion already"
OUTDATED = "The champion has changed since the gate judged this version"
CONTRADICTORY = "The tag sadcl.weights is not the digest of the weights that were registered"
FAIL = "The gate's verdict is fail. mAP is too low"
OLD_CODE = "An older sadcl registered this version, with code of its own inside"
UNKNOWN = "The gate has not judged this version"
INCOMPLETE = "The verdict on this version is incomplete"


def without(tags: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in tags.items() if name not in names}


@pytest.mark.parametrize(
    ("action", "candidate", "champion", "rejection", "seen", "sentences"),
    [
        ("promote", PASSED, CHAMPION, {}, "d1", []),
        ("promote", FIRST, None, {}, "d1", []),
        ("promote", FAILED, CHAMPION, {}, "d1", [FAIL]),
        ("promote", {schema.WEIGHTS: NEW}, None, {}, None, [UNKNOWN, OUTDATED]),
        ("promote", without(PASSED, schema.VERDICT_DIGEST), CHAMPION, {}, None, [INCOMPLETE]),
        ("promote", without(PASSED, schema.VERDICT_DIGEST), CHAMPION, {}, "", [INCOMPLETE]),
        ("promote", {**PASSED, schema.VERDICT_DIGEST: ""}, CHAMPION, {}, "", [BEING_JUDGED]),
        ("promote", {**PASSED, schema.VERDICT_DIGEST: ""}, CHAMPION, {}, "d1", [BEING_JUDGED]),
        ("promote", PASSED, CHAMPION, {}, "d0", [CHANGED]),
        ("promote", PASSED, CHAMPION, {}, "", [CHANGED]),
        ("promote", PASSED, CHAMPION, {}, None, [CHANGED]),
        ("promote", PASSED, CHAMPION, REJECTION, "d1", [REJECTED]),
        ("promote", PASSED, {schema.WEIGHTS: NEW}, {}, "d1", [IS_CHAMPION, OUTDATED]),
        ("promote", PASSED, {schema.WEIGHTS: "2" * 64}, {}, "d1", [OUTDATED]),
        ("promote", PASSED, None, {}, "d1", [OUTDATED]),
        ("promote", FIRST, CHAMPION, {}, "d1", [OUTDATED]),
        ("promote", FIRST, {}, {}, "d1", [OUTDATED]),
        ("promote", without(FIRST, schema.JUDGED_AGAINST), None, {}, "d1", [OUTDATED]),
        ("promote", FAILED, None, REJECTION, "d0", [CHANGED, REJECTED, FAIL, OUTDATED]),
        ("promote", {**PASSED, artifacts.PINS: json.dumps({artifacts.WEIGHTS: NEW})}, CHAMPION, {}, "d1", [OLD_CODE]),
        (
            "promote",
            {**PASSED, artifacts.PINS: json.dumps({artifacts.ONNX: NEW, artifacts.WEIGHTS: OLD})},
            CHAMPION,
            {},
            "d1",
            [OLD_CODE],
        ),
        (
            "promote",
            {**PASSED, artifacts.PINS: json.dumps({artifacts.WEIGHTS: OLD})},
            CHAMPION,
            {},
            "d1",
            [CONTRADICTORY, OLD_CODE],
        ),
        (
            "promote",
            {**without(PASSED, schema.WEIGHTS), artifacts.PINS: json.dumps({artifacts.WEIGHTS: OLD})},
            CHAMPION,
            {},
            "d1",
            [CONTRADICTORY, OLD_CODE],
        ),
        ("promote", {**PASSED, artifacts.PINS: "[1]"}, CHAMPION, {}, "d1", []),
        ("reject", FAILED, None, {}, "d1", []),
        ("reject", {schema.WEIGHTS: NEW}, None, {}, None, []),
        ("reject", {schema.WEIGHTS: NEW}, None, {}, "", []),
        ("reject", PASSED, CHAMPION, {}, None, [CHANGED]),
        ("reject", PASSED, CHAMPION, {}, "d0", [CHANGED]),
        ("reject", {**PASSED, schema.VERDICT_DIGEST: ""}, CHAMPION, {}, "", [BEING_JUDGED]),
        ("reject", PASSED, CHAMPION, REJECTION, "d1", [REJECTED]),
        ("reject", PASSED, {schema.WEIGHTS: NEW}, {}, "d1", [IS_CHAMPION]),
        ("rollback", FAILED, CHAMPION, {}, None, []),
        ("rollback", PASSED, CHAMPION, REJECTION, "d1", [REJECTED]),
    ],
)
def test_objections(
    action: str,
    candidate: dict[str, str],
    champion: dict[str, str] | None,
    rejection: dict[str, Any],
    seen: str | None,
    sentences: list[str],
) -> None:
    assert [objection.sentence for objection in objections(candidate, champion, rejection, seen, action)] == sentences


@pytest.mark.parametrize("text", ["", " \t\n", "\u200b\u200d", "\u202e", "\u3164\u2800", "\x00"])
def test_a_reason_that_nobody_sees_is_none(text: str) -> None:
    assert not decision.is_reason(text)
    assert decision.is_reason(f"{text}better")
