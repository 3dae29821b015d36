"""Labels that were spoilt on purpose are found; what can't be judged is left alone."""

from pathlib import Path

import numpy as np
import pytest

from sadcl.data import table
from sadcl.evaluation import label_errors
from sadcl.evaluation.scores import Scores
from tests.paths import GOLDEN_FOLDER

GOLDEN = GOLDEN_FOLDER / "scenes_scores.npz"
CLASSES = tuple(str(digit) for digit in range(10))


def scenes(seed: int | None = None) -> tuple[Scores, np.ndarray]:
    """Scores of a trained model for the test scenes, 3 % of whose label entries are flipped; and which."""
    with np.load(GOLDEN) as stored:
        logits = stored["logits"].astype(np.float32)
        targets = np.unpackbits(stored["targets"], axis=1, count=10).astype(bool)
    flipped = np.zeros(targets.size, dtype=bool)
    if seed is not None:
        flipped[np.random.default_rng(seed).permutation(targets.size)[: int(0.03 * targets.size)]] = True
    flipped = flipped.reshape(targets.shape)
    ids = [f"scene {i}" for i in range(len(targets))]
    given = targets ^ flipped
    return Scores(ids, [""] * len(ids), CLASSES, given, np.zeros_like(given), logits={"sadcl": logits}), flipped


@pytest.mark.parametrize("seed", range(5))
def test_planted_errors_are_at_least_70_of_the_first_hundred(seed: int) -> None:
    scene_scores, flipped = scenes(seed)
    suspects = list(
        label_errors.suspects(scene_scores.probabilities("sadcl"), scene_scores.targets, scene_scores.ignored)
    )
    assert sum(flipped[one.row, one.column] for one in suspects[:100]) >= 70
    planted = sum(flipped[one.row, one.column] for one in suspects)
    assert planted > flipped.sum() / 2, "most of them stand somewhere in the list"
    assert {one.given for one in suspects[:100]} == {True, False}, "missing and wrong ones both"


def test_the_list_says_what_is_given_and_what_the_model_says() -> None:
    scene_scores, _ = scenes(0)
    files = {image: (f"{image}.jpg", "test") for image in scene_scores.ids}
    rows = label_errors.list_suspects([scene_scores], "sadcl", files)
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        i, j = scene_scores.ids.index(row["image"]), CLASSES.index(row["class"])
        present = bool(scene_scores.targets[i, j])
        assert (row["given"], row["verdict"]) == (
            ("present", "probably wrong") if present else ("absent", "probably missing")
        )
        assert row["score"] == pytest.approx(scene_scores.probabilities("sadcl")[i, j])
    sure = [row["score"] if row["given"] == "present" else 1 - row["score"] for row in rows]
    assert sure == sorted(sure)
    del files[rows[0]["image"]]
    assert rows[0]["image"] not in {row["image"] for row in label_errors.list_suspects([scene_scores], "sadcl", files)}


def test_entries_that_are_neither_present_nor_absent_are_never_suspected() -> None:
    scene_scores, flipped = scenes(1)
    suspects = list(label_errors.suspects(scene_scores.probabilities("sadcl"), scene_scores.targets, flipped))
    assert suspects
    assert not any(flipped[one.row, one.column] for one in suspects)


@pytest.mark.parametrize("photos", [0, 1, 2])
def test_few_photos_or_a_class_with_one_kind_of_label_are_no_crash(photos: int) -> None:
    targets = np.array([[True, False, True], [True, False, False]])[:photos]
    probable = np.array([[0.1, 0.9, 0.2], [0.2, 0.8, 0.7]])[:photos]
    suspects = list(label_errors.suspects(probable, targets, np.zeros_like(targets)))
    assert all(one.column == 2 for one in suspects), "two labels of one kind teach nothing"


def test_the_stage_writes_a_list_that_names_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    from sadcl.evaluation import scores
    from sadcl.report import html
    from sadcl.stages import label_errors as stage

    monkeypatch.chdir(tmp_path)
    scene_scores, _ = scenes(0)
    rows = [
        {"image_id": image, "file": f"photos/{image}, \"a\".jpg", "split": "test", "labels": [], "ignored": [],
         "width": 96, "height": 96, "bytes": 1, "sha256": "", "brightness": 1.0, "sharpness": 1.0, "phash": 1,
         "problem": None}
        for image in scene_scores.ids
    ]  # fmt: skip
    frame = pd.DataFrame({name: table.column([row[name] for row in rows]) for name in rows[0]})
    table.write_table("data/table/annotations.parquet", table.Table(frame, CLASSES, "data/raw/scenes", {}))
    scores.write_scores("reports/scores.parquet", scene_scores.part(np.arange(600)))
    scores.write_scores("reports/select_scores.parquet", scene_scores.part(np.arange(600, 1000)))
    message = stage.main()
    listed = html.rows(Path("reports/label_errors.csv"))
    missing = sum(row["verdict"] == "probably missing" for row in listed)
    assert f"{missing} labels are probably missing and {len(listed) - missing} probably wrong" in message
    assert {int(row["image"].split()[1]) >= 600 for row in listed} == {True, False}, "both splits are looked at"
    assert listed[0]["file"] == f'photos/{listed[0]["image"]}, "a".jpg'
    assert tuple(listed[0]) == ("rank", "image", "file", "split", "class", "given", "score", "verdict")
