"""Records of verifications: the tag that holds them, claims that differ, and what a promotion needs of them."""

import json
from dataclasses import asdict, replace

import pytest

from sadcl.registry import artifacts, schema
from sadcl.registry.eligibility import verification_objections
from sadcl.registry.verified import VerifiedRecord, differences, parse_record
from tests.registry.test_criteria import BASE

RECORD = VerifiedRecord(
    verdict="pass", words="All rules hold.", mAP="83.77", weights="1" * 64, test=BASE.test_list, criteria=BASE.digest,
    champion="0" * 64, run="r1", files={"verdict.json": "5" * 64}, time="2026-11-28T10:00:00+00:00",
)  # fmt: skip
CLAIMS = {
    schema.VERDICT: "pass", schema.MAP: "83.77", schema.WEIGHTS: "1" * 64, schema.TEST: BASE.test_list,
    schema.JUDGED_AGAINST: "0" * 64, artifacts.PINS: json.dumps({artifacts.WEIGHTS: "1" * 64}),
}  # fmt: skip
CHAMPION = {schema.WEIGHTS: "0" * 64}


def test_a_record_is_read_as_it_was_written() -> None:
    assert parse_record(RECORD.text()) == RECORD


@pytest.mark.parametrize("field", asdict(RECORD))
def test_a_record_of_another_form_is_none(field: str) -> None:
    value = asdict(RECORD)
    assert parse_record(json.dumps({**value, field: 5})) is None
    del value[field]
    assert parse_record(json.dumps(value)) is None


@pytest.mark.parametrize("text", ["", "null", "[]", "[" * 5000, '{"verdict": "pass"}', RECORD.text() + " " * 30_000])
def test_another_tag_is_no_record(text: str) -> None:
    assert parse_record(text) is None


@pytest.mark.parametrize(
    ("claims", "named"),
    [
        ({}, []),
        ({schema.MAP: "83.80"}, []),  # another machine
        ({schema.MAP: "91.76"}, ["mAP: claimed 91.76, verified 83.77"]),
        ({schema.MAP: "nan"}, ["mAP: claimed nan, verified 83.77"]),
        ({schema.VERDICT: "undecided"}, ["verdict: claimed undecided, verified pass"]),
        ({schema.WEIGHTS: "7" * 64}, [f"weights: claimed {'7' * 12}, verified {'1' * 12}"]),
        ({schema.JUDGED_AGAINST: ""}, [f"compared with the champion: claimed none, verified {'0' * 12}"]),
        ({schema.MAP: "9\n\u202e"}, ["mAP: claimed 9\\n\\u202e, verified 83.77"]),
    ],
)
def test_claims_that_differ_are_named(claims: dict[str, str], named: list[str]) -> None:
    assert [str(difference) for difference in differences({**CLAIMS, **claims}, RECORD)] == named


@pytest.mark.parametrize(
    ("record", "claims", "accepted", "sentence"),
    [
        (RECORD, {}, BASE.digest, None),
        (None, {}, BASE.digest, "This version is not verified yet"),
        (RECORD, {}, None, "Nobody has accepted the rules and the test photos"),
        (RECORD, {artifacts.PINS: json.dumps({artifacts.WEIGHTS: "7" * 64})}, BASE.digest, "other weights"),
        (RECORD, {artifacts.PINS: json.dumps({artifacts.ONNX: "1" * 64})}, BASE.digest, None),
        (RECORD, {artifacts.PINS: "{}"}, BASE.digest, "other weights"),
        (replace(RECORD, criteria="9" * 64), {}, BASE.digest, "acceptance criteria have changed"),
        (replace(RECORD, champion=""), {}, BASE.digest, "champion has changed since this version was verified"),
        (replace(RECORD, verdict="fail", words="mAP is low."), {}, BASE.digest, "is fail. mAP is low"),
        (replace(RECORD, verdict="error", mAP="", words="No file."), {}, BASE.digest, "is error. No file"),
        (RECORD, {schema.MAP: "91.76"}, BASE.digest, "claims an mAP of 91.76, and 83.77 was verified"),
        (RECORD, {schema.MAP: "83.99"}, BASE.digest, None),
    ],
)
def test_a_promotion_needs_a_pass_for_these_weights_criteria_and_champion(
    record: VerifiedRecord | None, claims: dict[str, str], accepted: str | None, sentence: str | None
) -> None:
    tags = {**CLAIMS, **claims, **({} if record is None else {schema.VERIFIED: record.text()})}
    objections = [objection.sentence for objection in verification_objections(tags, CHAMPION, accepted)]
    if sentence is None:
        assert objections == []
    else:
        assert sentence in objections[0]
