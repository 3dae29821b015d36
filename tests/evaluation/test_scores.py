"""The scores file: what goes in comes out, the same bytes each time, and damage is named."""

import json
from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sadcl import SadclError, bounded_parquet
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
    read_back = scores.read_scores(tmp_path / "deep/scores.parquet")
    assert_same(written, read_back)
    assert read_back.logits["sadcl"].dtype == np.float32
    assert read_back.targets.dtype == bool


def test_the_same_scores_are_the_same_bytes(tmp_path):
    scores.write_scores(tmp_path / "a", example())
    scores.write_scores(tmp_path / "b", example())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_part_of_read_scores_is_written_as_the_same_scores_from_lists_are(tmp_path):
    whole, rows = example(), np.array([6, 2, 3])
    scores.write_scores(tmp_path / "whole", whole)
    scores.write_scores(tmp_path / "part", scores.read_scores(tmp_path / "whole").part(rows))
    from_lists = replace(whole.part(rows), ids=[f"photo {i}" for i in rows], sha256=[f"{i:064x}" for i in rows])
    scores.write_scores(tmp_path / "lists", from_lists)
    assert (tmp_path / "part").read_bytes() == (tmp_path / "lists").read_bytes()
    # the type in files, which other versions read and compare byte by byte, is not that in memory
    schema = pq.read_schema(tmp_path / "part")
    assert [schema.field(name).type for name in ("id", "sha256")] == [pa.string()] * 2


@pytest.mark.parametrize("reason", [None, "The weights are gone"])
def test_no_scores_are_a_file_too(tmp_path, reason):
    scores.write_scores(tmp_path / "none", scores.empty_scores(reason, ("cat", "dog")))
    read_back = scores.read_scores(tmp_path / "none")
    assert len(read_back) == 0
    assert read_back.refused == reason
    assert read_back.logits["champion"].shape == (0, 2)
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


def changed(path, column=None, about=None):
    """The scores file of the example with another column, and other metadata."""
    scores.write_scores(path, example())
    table = pq.read_table(path)
    if column is not None:
        name, values = column
        table = table.drop_columns([name]) if name in table.column_names else table
        table = table.append_column(name, values)
    known = json.loads(table.schema.metadata[b"sadcl"])
    table = table.replace_schema_metadata({"sadcl": json.dumps({**known, **(about or {})})})
    pq.write_table(table, path, compression="zstd")
    return path


ONE_LONG_ROW = pa.array([np.zeros(bounded_parquet.SMALL // bounded_parquet.VALUE_BYTES + 1, np.float32), *[[]] * 6])

NOT_UTF8 = pa.StringArray.from_buffers(7, pa.py_buffer(np.arange(8, dtype=np.int32)), pa.py_buffer(b"\xff" * 7))


@pytest.mark.parametrize(
    ("column", "about", "words"),
    [
        (("logits_sadcl", ONE_LONG_ROW), None, r"it would take 0\.1 GB, and 0\.1 GB is allowed"),
        (None, {"classes": ["x"] * 10_000_000}, "more than 5,000,000 values"),
        (None, {"classes": ["cat", 1, "dog"]}, "names are not texts"),
        (None, {"classes": ["cat", "\ud800", "dog"]}, "surrogates not allowed"),
        (None, {"digests": [1]}, "a mapping of texts to str is missing"),
        (None, {"decisions": {"sadcl": dict.fromkeys(("slope", "bias", "thresholds"), [1e999] * 3)}}, "not finite"),
        (("id", pa.array([[["x"]]] * 7)), None, "column 'id' is of type list"),
        (("id", pa.array([*"abcdef", None])), None, "the values are not texts"),
        (("sha256", pa.array(range(7))), None, "the values are not texts"),
        (("sha256", NOT_UTF8), None, "Invalid UTF8"),
        (("slice_x", pa.array([[1]] * 7)), None, "column 'slice_x' is of type list"),
        (("targets", pa.array([[3]] * 7, pa.list_(pa.int32()))), None, "a label has no class"),
        (("targets", pa.array([[-1]] * 7, pa.list_(pa.int32()))), None, "a label has no class"),
        (("targets", pa.array([None] * 7, pa.list_(pa.int32()))), None, "a label has no class"),
        (("targets", pa.array([[None]] * 7, pa.list_(pa.int32()))), None, "labels are not numbers of classes"),
        (("targets", pa.array([["0"]] * 7)), None, "column 'targets' is of type list<element: string>"),
    ],
)
def test_scores_that_would_exhaust_the_machine_or_make_no_sense_are_refused(column, about, words, tmp_path):
    path = changed(tmp_path / "scores.parquet", column, about)
    with pytest.raises(SadclError, match=f"The scores are damaged: .*{words}"):
        scores.read_scores(path)


def test_labels_of_more_classes_than_the_file_can_have_are_refused(tmp_path):
    path, few = tmp_path / "scores.parquet", example(images=3_000)
    nothing = np.zeros_like(few.targets)
    scores.write_scores(path, replace(few, logits={}, targets=nothing, ignored=nothing))
    table = pq.read_table(path)
    about = {**json.loads(table.schema.metadata[b"sadcl"]), "classes": [str(i) for i in range(100_000)]}
    pq.write_table(table.replace_schema_metadata({"sadcl": json.dumps(about)}), path)
    with pytest.raises(SadclError, match="3,000 images and 100,000 classes"):
        scores.read_scores(path)


def test_too_many_columns_are_refused(tmp_path):
    table = pa.table({f"slice_{i}": pa.nulls(1) for i in range(bounded_parquet.MOST_COLUMNS + 1)})
    pq.write_table(table, tmp_path / "scores.parquet")
    with pytest.raises(SadclError, match="it has 1,001 columns"):
        scores.read_scores(tmp_path / "scores.parquet")


def test_coco_with_several_models_and_equal_logits_is_read(tmp_path):
    one = example(images=40_137, classes=[f"class {i}" for i in range(80)])
    logits = one.logits | {"sadcl@blur": np.zeros_like(one.logits["sadcl"]), "champion": one.logits["sarl"]}
    scores.write_scores(tmp_path / "scores.parquet", replace(one, logits=logits))
    assert_same(scores.read_scores(tmp_path / "scores.parquet"), replace(one, logits=logits))
