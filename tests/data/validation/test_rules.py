"""Rules of validation: statuses and sentences of each fault."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sadcl.data import table as tables
from sadcl.data.images.inspect import inspect
from sadcl.data.splits import leaks
from sadcl.data.table import Table
from sadcl.data.validation import baseline, validator
from tests.data.validation.pets import DRIFT_RULES, SETTINGS, SPLITS, good, judge, statuses


def test_good_data_passes_and_rules_without_a_baseline_are_not_applicable(tmp_path: Path) -> None:
    result = judge(good(), tmp_path / "docs")
    assert result["passed"] is True
    assert validator.sentences(result) == []
    assert statuses(result, "not applicable") == {"classes as accepted", *DRIFT_RULES}
    assert result["images"] == {"train": 6, "select": 3, "test": 3}
    assert result["table"]["train"] == {"images": 6, "ids": "digest of train"}


def test_each_fault_fails_its_own_rule_alone(tmp_path: Path) -> None:
    table = good(
        image_id={1: "i0"},
        file={2: "photos/3.jpg"},
        problem={4: "The file is empty."},
        width={4: 0},
        height={4: 0, 5: 63},
        sha256={4: "", 6: "a", 11: "a"},
        labels={3: [1], 7: [1, 3], 9: [], 10: [0, 1]},
        ignored={8: [-1]},
    )
    result = judge(table, tmp_path / "docs")
    assert not result["passed"]
    failed = [rule for rule in result["rules"] if rule["status"] == "failed"]
    assert {rule["rule"]: rule["first"] for rule in failed} == {
        "ids unique": ["i0 (photos/0.jpg)", "i0 (photos/1.jpg)"],
        "files unique": ["i2 (photos/3.jpg)", "i3 (photos/3.jpg)"],
        "files readable": ["i4 (photos/4.jpg: The file is empty)"],
        "sides": ["i5 (photos/5.jpg: 63 px)"],
        "no photo in two splits": ["i6 (photos/6.jpg; also i11 in test)", "i11 (photos/11.jpg; also i6 in select)"],
        "labels known": ["i7 (photos/7.jpg: class number 3)", "i8 (photos/8.jpg: class number -1)"],
        "labelled in test": ["i9 (photos/9.jpg)"],
        "enough positives in train": ["cat (1)"],
    }
    assert [rule["sentence"] for rule in failed] == validator.sentences(result)
    assert all(", ".join(rule["first"]) in rule["sentence"] for rule in failed)
    assert all(f"{len(rule['first'])} break" in rule["sentence"] for rule in failed)


def test_a_test_split_without_photos_fails(tmp_path: Path) -> None:
    result = judge(good(split=dict.fromkeys(range(9, 12), "select")), tmp_path / "docs")
    assert statuses(result, "failed") == {"photos in train and test"}
    assert "test has none" in validator.sentences(result)[0]


def test_unreadable_files_are_no_duplicates_of_each_other(tmp_path: Path) -> None:
    result = judge(good(sha256={0: "", 11: "", 7: None}), tmp_path / "docs")
    assert result["passed"]


def test_a_sentence_names_the_first_five_and_counts_the_rest(tmp_path: Path) -> None:
    result = judge(good(height=dict.fromkeys(range(12), 9)), tmp_path / "docs")
    (sentence,) = validator.sentences(result)
    assert re.findall(r"i\d+(?= \()", sentence) == ["i0", "i1", "i2", "i3", "i4"]
    assert "12 break" in sentence
    assert "and 7 more" in sentence


def test_a_split_without_photos_makes_its_rules_not_applicable(tmp_path: Path) -> None:
    result = judge(good(split=dict.fromkeys(range(6, 9), "train")), tmp_path / "docs")
    assert result["passed"]
    assert {"labelled in select", "enough positives in select"} <= statuses(result, "not applicable")


@pytest.mark.parametrize(("bound", "passes"), [(0.5, True), (0.49, False)])
def test_photos_without_labels_are_bounded_in_each_split(bound: float, passes: bool, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"max_unlabelled": bound, "min_positives": {"train": 1}})
    assert judge(good(labels={0: [], 1: [], 2: []}), tmp_path / "docs", settings)["passed"] is passes


def test_a_share_exactly_at_its_bound_passes(tmp_path: Path) -> None:
    # 1 - 0.7 is not 0.3 in floating point
    table = good(split=dict.fromkeys((6, 7, 8, 9), "train"), labels={row: [] for row in range(7)})
    settings = SETTINGS.model_copy(update={"max_unlabelled": 0.7, "min_positives": {}})
    assert "labelled in train" in statuses(judge(table, tmp_path / "docs", settings), "passed")


def train(result: dict[str, Any]) -> dict[str, str]:
    """Sentences of the rules on classes in train that failed."""
    rules = ("enough positives in train", "negatives in train")
    return {rule["rule"]: rule["sentence"] for rule in result["rules"] if rule["rule"] in rules and rule["rows"]}


NO_BOUNDS = SETTINGS.model_copy(update={"min_positives": {"train": 0}, "max_unlabelled": 1.0})


def test_a_class_without_a_positive_in_train_always_fails(tmp_path: Path) -> None:
    result = judge(good(labels={2: [], 5: [0]}), tmp_path / "docs", NO_BOUNDS)
    assert not result["passed"]
    (sentence,) = train(result).values()
    assert "Each class has at least 1 photo in train, but 1 breaks this rule: bird (0). Add photos" in sentence
    assert "min_positives" not in sentence


def test_a_class_without_a_negative_in_train_always_fails(tmp_path: Path) -> None:
    every = {row: sorted({0, row % 3}) for row in range(6)}
    result = judge(good(labels=every), tmp_path / "docs", NO_BOUNDS)
    assert not result["passed"]
    (sentence,) = train(result).values()
    assert "Each class is absent from at least 1 photo in train, but 1 breaks this rule: cat (0)" in sentence
    assert "among the 6 photos of train" in sentence


def test_ignored_labels_are_neither_positive_nor_negative(tmp_path: Path) -> None:
    # cat is present in two photos of train and ignored in the others; dog is ignored in all
    labels, ignored = {0: [0], 1: [2], 2: [2], 3: [0], 4: [], 5: [2]}, {1: [0, 1], 2: [0, 1], 4: [0, 1, 2], 5: [0, 1]}
    result = judge(good(labels=labels, ignored={0: [1], 3: [1], **ignored}), tmp_path / "docs", NO_BOUNDS)
    failed = train(result)
    assert "breaks this rule: dog (0)" in failed["enough positives in train"]
    assert "2 break this rule: cat (0), dog (0)" in failed["negatives in train"]


def test_labels_of_no_photo_in_train_are_nothing_to_learn(tmp_path: Path) -> None:
    result = judge(good(labels={row: [] for row in range(12)}), tmp_path / "docs", NO_BOUNDS)
    failed = train(result)["enough positives in train"]
    assert "3 break this rule: cat (0), dog (0), bird (0)" in failed
    assert "No photo in train has a label, so there is nothing to learn" in failed


def test_a_single_class_is_enough_if_some_photos_lack_it(tmp_path: Path) -> None:
    single = dataclasses.replace(good(labels={row: [0] if row % 2 else [] for row in range(12)}), classes=("cat",))
    assert judge(single, tmp_path / "docs", NO_BOUNDS)["passed"]


def test_no_class_at_all_fails(tmp_path: Path) -> None:
    none = dataclasses.replace(good(labels={row: [] for row in range(12)}), classes=())
    result = judge(none, tmp_path / "docs", NO_BOUNDS)
    assert not result["passed"]
    assert any("There is a class to learn, but there is none" in sentence for sentence in validator.sentences(result))


@pytest.mark.parametrize("split", ["select", "test"])
def test_a_class_that_cannot_be_measured_is_a_warning_unless_a_bound_is_set(split: str, tmp_path: Path) -> None:
    rows = {"select": 8, "test": 11}
    table = good(labels={rows[split]: [0]})
    warned = judge(table, tmp_path / "warned", NO_BOUNDS)
    assert warned["passed"]
    assert statuses(warned, "warning") == {f"enough positives in {split}"}
    assert "breaks this rule: bird (0)" in validator.sentences(warned, "warning")[0]
    assert "1 with a warning" in validator.summary(warned)
    bounded = NO_BOUNDS.model_copy(update={"min_positives": {split: 1}})
    assert statuses(judge(table, tmp_path / "failed", bounded), "failed") == {f"enough positives in {split}"}
    assert "warning</td>" in (tmp_path / "warned/index.html").read_text()


def test_photos_without_labels_are_counted_by_what_they_mean(tmp_path: Path) -> None:
    result = judge(good(labels={0: [], 1: [], 11: []}, ignored={1: [0, 1, 2]}), tmp_path / "docs", NO_BOUNDS)
    assert result["unlabelled"]["train"] == {"negative": 1, "unknown": 1}
    assert "3 of 12 photos have no label (2 as negatives, 1 as unknown)" in validator.summary(result)
    assert "no label" not in validator.summary(judge(good(), tmp_path / "all"))


@pytest.mark.parametrize("rows", [[0], []])
def test_one_photo_or_none_fails_without_a_crash(rows: list[int], tmp_path: Path) -> None:
    table = good()
    few = Table(table.frame.iloc[rows], table.classes, table.source, table.protocol)
    for n, accepted in enumerate((None, baseline.compute_baseline(good()), baseline.compute_baseline(few))):
        assert "photos in train and test" in statuses(judge(few, tmp_path / str(n), accepted=accepted), "failed")
    assert "photos in train and test" not in statuses(
        judge(table, tmp_path / "more", accepted=baseline.compute_baseline(few)), "failed"
    )


def test_look_alikes_across_the_border_of_test_are_named_with_their_transform(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    drawn = [Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((400, 300)) for _ in SPLITS]
    for n, image in enumerate(drawn):
        image.save(tmp_path / f"{n}.jpg", quality=95)
    drawn[1].resize((160, 120)).save(tmp_path / "10.jpg", quality=60)
    drawn[7].transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "11.jpg", quality=60)
    Image.new("RGB", (90, 70), "white").save(tmp_path / "0.jpg")
    Image.new("RGB", (80, 64), "white").save(tmp_path / "9.jpg")
    (tmp_path / "2.jpg").write_bytes(b"broken")
    facts = [inspect(tmp_path / f"{n}.jpg") for n in range(len(SPLITS))]
    columns = [name for name in vars(facts[0]) if name in tables.SCHEMA]
    table = good(**{name: {n: getattr(fact, name) for n, fact in enumerate(facts)} for name in columns})
    pairs = leaks.look_alikes([f"i{n}" for n in range(len(SPLITS))], SPLITS, facts, 1)
    table = dataclasses.replace(table, look_alikes=pairs)
    result = judge(table, tmp_path / "docs")
    entries = {rule["rule"]: rule for rule in result["rules"]}
    seen, leaked = entries["no near-duplicate in test"], entries["no near-duplicate in train or select"]
    # flat and broken photos are like no other
    assert seen["first"] == ["i1 (photos/1.jpg; nearly i10 in test)", "i7 (photos/7.jpg; i11 in test, mirrored)"]
    assert leaked["first"] == ["i10 (photos/10.jpg; nearly i1 in train)", "i11 (photos/11.jpg; i7 in select, mirrored)"]
    assert "2 break this rule" in leaked["sentence"]
    assert "validate.max_near_duplicates" in leaked["sentence"]
    settings = SETTINGS.model_copy(update={"max_near_duplicates": 0.23})  # two of nine, but two of three in test
    again = judge(table, tmp_path / "docs", settings)
    assert "no near-duplicate in test" in statuses(again, "passed")
    assert statuses(again, "failed") >= {"no near-duplicate in train or select"}
    settings = SETTINGS.model_copy(update={"max_near_duplicates": 0.67})
    (allowed,) = [r for r in judge(table, tmp_path / "docs", settings)["rules"] if r["rule"] == leaked["rule"]]
    assert allowed["status"] == "passed"
    assert "; 2 do: i10 (photos/10.jpg; nearly i1 in train), i11" in allowed["sentence"]


def test_equal_content_is_no_look_alike(tmp_path: Path) -> None:
    pairs = (tables.LookAlike("i11", "i0", "", 1.0),)
    result = judge(dataclasses.replace(good(sha256={0: "a", 11: "a"}), look_alikes=pairs), tmp_path / "docs")
    assert statuses(result, "failed") == {"no photo in two splits"}


def test_a_photo_whose_id_is_its_file_is_named_once(tmp_path: Path) -> None:
    result = judge(good(image_id={2: "photos/2.jpg"}, problem={2: "The image is damaged"}), tmp_path / "docs")
    rule = next(rule for rule in result["rules"] if rule["rule"] == "files readable")
    assert rule["first"] == ["photos/2.jpg (The image is damaged)"]
