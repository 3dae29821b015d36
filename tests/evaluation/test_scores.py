"""The scores file: what goes in comes out, the same bytes each time, and damage is named."""

from dataclasses import fields, replace

import numpy as np
import pytest

from sadcl import SadclError
from sadcl.evaluation import scores
from sadcl.evaluation.metrics import evaluate


def example(images=7, classes=("cat", "dog", "Straße"), seed=0):
    rng = np.random.default_rng(seed)
    shape = (images, len(classes))
    return scores.Scores(
        ids=[f"photo {i}" for i in range(images)],
        sha256=[f"{i:064x}" for i in range(images)],
        classes=tuple(classes),
        targets=rng.random(shape) < 0.4,
        ignored=rng.random(shape) < 0.1,
        slices={"camera": [None if i == 2 else "left" for i in range(images)], "lux": [i / 3 for i in range(images)]},
        logits={name: rng.normal(size=shape).astype(np.float32) for name in ("sadcl", "sarl")},
        digests={"weights": "ab" * 32, "test_list": "cd" * 32},
        training_overlap={"sadcl": 0},
    )


def assert_same(one, other):
    for field in fields(scores.Scores):
        np.testing.assert_equal(getattr(one, field.name), getattr(other, field.name))


def test_what_is_written_is_read(tmp_path):
    written = example()
    scores.write_scores(tmp_path / "deep/scores.parquet", written)
    found = scores.read_scores(tmp_path / "deep/scores.parquet")
    assert_same(written, found)
    assert found.logits["sadcl"].dtype == np.float32
    assert found.targets.dtype == bool


def test_the_same_scores_are_the_same_bytes(tmp_path):
    scores.write_scores(tmp_path / "a", example())
    scores.write_scores(tmp_path / "b", example())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("reason", [None, "The weights are gone"])
def test_no_scores_are_a_file_too(tmp_path, reason):
    scores.write_scores(tmp_path / "none", scores.empty_scores(reason, ("cat", "dog")))
    found = scores.read_scores(tmp_path / "none")
    assert len(found) == 0
    assert found.refused == reason
    assert found.logits["champion"].shape == (0, 2)
    scores.write_scores(tmp_path / "none", scores.empty_scores())
    assert scores.read_scores(tmp_path / "none").classes == ()


def test_probabilities_keep_the_order_of_very_sure_logits():
    # float32 sigmoids of these are all exactly 1 or 0
    logits = np.array([[30.0], [25.0], [20.0], [0.0], [-120.0]], dtype=np.float32)
    column = replace(example(5, ("cat",)), logits={"sadcl": logits}).probabilities("sadcl")[:, 0]
    assert (np.diff(column) < 0).all()
    assert column[3] == 0.5
    assert ((column >= 0) & (column <= 1)).all()


def test_figures_are_those_of_the_probabilities():
    some = example(50)
    by_hand = evaluate(1 / (1 + np.exp(-some.logits["sarl"].astype(float))), some.targets, some.ignored, 0.4)
    assert some.figures("sarl", 0.4)["mAP"] == pytest.approx(by_hand["mAP"])
    assert some.figures("sarl", 0.4)["OF1"] == pytest.approx(by_hand["OF1"])


def test_the_labels_digest_follows_labels_and_not_the_order_of_images():
    some, order = example(), [3, 1, 0, 2, 6, 5, 4]
    shuffled = replace(
        some,
        ids=[some.ids[i] for i in order],
        targets=some.targets[order],
        ignored=some.ignored[order],
    )
    assert shuffled.labels_digest() == some.labels_digest()
    assert replace(some, targets=some.targets ^ np.eye(7, 3, dtype=bool)).labels_digest() != some.labels_digest()
    assert replace(some, ignored=~some.ignored).labels_digest() != some.labels_digest()
    assert replace(some, classes=("dog", "cat", "Straße")).labels_digest() != some.labels_digest()


@pytest.mark.parametrize(
    "wrong",
    [
        {"ids": ["only one"]},
        {"sha256": []},
        {"classes": ("cat",)},
        {"logits": {"sadcl": np.zeros((7, 2), np.float32)}},
        {"slices": {"camera": ["left"]}},
    ],
)
def test_arrays_that_do_not_fit_are_refused(wrong):
    with pytest.raises(SadclError, match="must"):
        replace(example(), **wrong)


def test_an_unknown_model_is_named_with_the_known_ones():
    with pytest.raises(SadclError) as caught:
        example().figures("sadlc", 0.5)
    assert "sadlc" in str(caught.value)
    assert "sadcl, sarl" in str(caught.value)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(SadclError, match="scores are missing") as caught:
        scores.read_scores(tmp_path / "none")
    assert "dvc repro" in str(caught.value)


@pytest.mark.parametrize("keep", [0, 10, 500, -1])
def test_a_truncated_file_is_damaged_not_shorter(tmp_path, keep):
    scores.write_scores(tmp_path / "s", example())
    (tmp_path / "s").write_bytes((tmp_path / "s").read_bytes()[:keep])
    with pytest.raises(SadclError, match="damaged"):
        scores.read_scores(tmp_path / "s")


def test_another_parquet_file_is_no_scores(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "foreign")
    with pytest.raises(SadclError, match="damaged"):
        scores.read_scores(tmp_path / "foreign")
