"""Batch jobs with real workers: what is written, what a second run does, and what does not change a byte."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

import sadcl
from sadcl import batch, files
from sadcl.batch import job
from sadcl.batch.engines import start
from sadcl.batch.job import Options
from sadcl.batch.spec import Spec, prediction_versions, require_equal
from sadcl.cli import app
from sadcl.data import manifest
from sadcl.errors import SadclError
from sadcl.model import device
from sadcl.weights import export, loader
from tests.batch.conftest import BAD, CLASSES, GOOD, ONE, contents, write_model, write_photo

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def finished(model: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished job; tests change nothing in it."""
    out = tmp_path_factory.mktemp("finished") / "out"
    words = ["predict", str(photos), "--out", str(out), "--model", str(model), "--csv", "--workers", "1"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 1  # finished, with photos that have no prediction
    assert "48 photos, 2 without prediction" in result.stdout
    assert "1: The file is empty" in result.stdout
    return out


def test_predictions_are_the_taggers_sorted_by_path(finished: Path, model: Path, photos: Path) -> None:
    predictions, tagger = batch.read(finished), sadcl.load(model)
    assert predictions.classes == tuple(CLASSES)
    assert predictions.paths == sorted([*GOOD, *BAD])
    rows = [predictions.paths.index(name) for name in GOOD]
    np.testing.assert_allclose(
        predictions.probabilities[rows], tagger.scores([photos / name for name in GOOD]), atol=1e-5
    )
    labels = [[name for name, _ in photo] for photo in tagger.predict([photos / name for name in GOOD])]
    assert [predictions.table["labels"][row].as_py() for row in rows] == labels
    assert len(np.unique(predictions.probabilities[rows].round(4), axis=0)) == len(GOOD)


def test_a_bad_photo_is_a_row_with_its_reason(finished: Path) -> None:
    predictions = batch.read(finished)
    assert list(predictions.errors) == BAD
    assert "damaged" in predictions.errors["a/broken.jpg"]
    assert np.isnan(predictions.probabilities[[predictions.paths.index(name) for name in BAD]]).all()


def test_summary_counts_photos_labels_and_reasons(finished: Path) -> None:
    summary, predictions = json.loads((finished / "_summary.json").read_text()), batch.read(finished)
    assert (summary["photos"], summary["failed"], len(summary["reasons"])) == (48, 2, 2)
    labels = [label for row in predictions.table["labels"].to_pylist() for label in row or ()]
    assert summary["labels"] == {name: labels.count(name) for name in CLASSES}
    assert all(files.digest(finished / part["file"]) == part["sha256"] for part in summary["parts"])


def test_any_reader_of_parquet_reads_the_folder(finished: Path) -> None:
    assert pq.read_table(finished).num_rows == 48


def test_csv_has_a_line_for_each_label(finished: Path) -> None:
    predictions = batch.read(finished)
    with open(finished / "_predictions.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    labels = dict(zip(predictions.paths, predictions.table["labels"].to_pylist(), strict=True))
    assert [(line["path"], line["label"]) for line in lines] == [
        (path, label) for path in predictions.paths for label in labels[path] or [""]
    ]
    assert {line["path"]: line["error"] for line in lines if line["error"]} == predictions.errors
    line = next(line for line in lines if line["label"])
    value = predictions.probabilities[predictions.paths.index(line["path"]), CLASSES.index(line["label"])]
    assert float(line["probability"]) == pytest.approx(value, rel=1e-5)


def test_a_second_run_starts_no_worker(finished: Path, model: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    # a worker with this limit would call every photo late
    job.run(str(photos), tmp_path / "out", model, Options(workers=1, seconds=0))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")} == before
    assert contents(tmp_path / "out") == contents(finished)


def test_an_onnx_file_gives_the_predictions_of_its_weights(
    finished: Path, model: Path, photos: Path, tmp_path: Path
) -> None:
    onnx, out = tmp_path / "weights.onnx", tmp_path / "out"
    export.export_onnx(loader.load_tagger(model), onnx)
    job.run(str(photos), out, onnx, ONE)
    of_onnx, of_weights = batch.read(out), batch.read(finished)
    assert of_onnx.paths == of_weights.paths
    np.testing.assert_allclose(of_onnx.probabilities, of_weights.probabilities, atol=1e-4)
    assert of_onnx.errors.keys() == of_weights.errors.keys()


def test_a_later_run_predicts_what_is_new_and_forgets_what_has_gone(model: Path, photos: Path, tmp_path: Path) -> None:
    place, out = tmp_path / "place", tmp_path / "out"
    shutil.copytree(photos, place)
    # the same times and sizes, other pixels: were these photos read again, their predictions would change
    known = {path: (path.stat(), path.read_bytes()) for path in (place / "many").iterdir()}
    job.run(str(place), out, model, ONE)
    before = batch.read(out)
    for path, (status, data) in known.items():
        path.write_bytes(b"\0" * len(data))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    write_photo(place / "new.jpg", 100)
    write_photo(place / "a.jpg", 101)
    (place / "a/2.png").unlink()
    write_photo(place / "empty.png", 102)
    job.run(str(place), out, model, ONE)
    after = batch.read(out)
    assert set(after.paths) == {*before.paths, "new.jpg"} - {"a/2.png"}
    assert list(after.errors) == ["a/broken.jpg"]
    old, new = (dict(zip(predictions.paths, predictions.probabilities, strict=True)) for predictions in (before, after))
    assert all((old[name] == new[name]).all() for name in GOOD if name not in ("a.jpg", "a/2.png"))
    assert not np.allclose(old["a.jpg"], new["a.jpg"], atol=1e-3)
    # nothing tells the folder from that of a job that began now, with other workers
    for path, (status, data) in known.items():
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    job.run(str(place), tmp_path / "fresh", model, Options(workers=2))
    assert contents(out) == contents(tmp_path / "fresh")


def test_another_model_replaces_the_predictions(finished: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    other = write_model(tmp_path / "weights.safetensors", seed=1)
    job.run(str(photos), out, other, Options(workers=1, threshold=0.9))
    after, before = batch.read(out), batch.read(finished)
    assert not np.allclose(after.probabilities[0], before.probabilities[0], atol=1e-3)
    expected = [[name for name, _ in photo] for photo in sadcl.load(other).predict([photos / "a.jpg"], 0.9)]
    assert [after.table["labels"][after.paths.index("a.jpg")].as_py()] == expected
    assert len(list(out.glob("part-*"))) == len(list(finished.glob("part-*")))
    assert not (out / "_predictions.csv").exists()


def test_a_place_that_is_empty_for_once_clears_nothing(
    finished: Path, model: Path, photos: Path, tmp_path: Path
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    shutil.copytree(finished, out)
    photos.rename(elsewhere)
    photos.mkdir()
    try:
        with pytest.raises(SadclError, match="There is no photo here"):
            job.run(str(photos), out, model, ONE)
    finally:
        photos.rmdir()
        elsewhere.rename(photos)
    assert contents(out) == contents(finished)


def test_a_photo_that_changes_after_it_was_listed_is_listed_again(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place, write = tmp_path / "place", manifest.write
    shutil.copytree(photos, place)

    def write_and_change(*arguments: Any) -> None:
        write(*arguments)
        if (place / "a/2.png").exists():
            (place / "a/2.png").unlink()
            write_photo(place / "a.jpg", 101)

    monkeypatch.setattr(manifest, "write", write_and_change)
    job.run(str(place), tmp_path / "out", model, ONE)
    assert "2 photos changed meanwhile" in capsys.readouterr().out
    job.run(str(place), tmp_path / "fresh", model, ONE)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")
    assert batch.read(tmp_path / "out").errors.keys() == {*BAD}


def test_a_list_of_photos_that_are_all_away_clears_nothing(model: Path, photos: Path, tmp_path: Path) -> None:
    disk, place, out = tmp_path / "disk", tmp_path / "list.csv", tmp_path / "out"
    shutil.copytree(photos, disk)
    place.write_text("path\n" + "".join(f"disk/{name}\n" for name in GOOD[:3]), encoding="utf-8")
    job.run(str(place), out, model, ONE)
    before = contents(out)
    disk.rename(tmp_path / "away")
    with pytest.raises(SadclError, match="None of the listed photos is there"):
        job.run(str(place), out, model, ONE)
    assert contents(out) == before


def test_a_worker_with_another_library_or_model_is_refused(model: Path, tmp_path: Path) -> None:
    versions = prediction_versions(model)
    assert {"timm", "torch", "pillow-heif"} < versions.keys()
    spec = Spec("predict", str(tmp_path), [str(model)], [files.digest(model)], 1, 60.0, versions)
    require_equal(spec, versions)
    with pytest.raises(SadclError, match=r"timm is 0\.1 here and"):
        require_equal(spec, {**versions, "timm": "0.1"})
    other = write_model(tmp_path / "weights.safetensors", seed=1)
    with pytest.raises(SadclError, match="The model is not the one of the job"):
        require_equal(replace(spec, models=[str(other)]), versions)


def test_two_jobs_never_share_a_folder(model: Path, photos: Path, tmp_path: Path) -> None:
    with (
        files.lock(tmp_path / job.LOCK, "writing"),
        pytest.raises(SadclError, match=rf"pid {os.getpid()}.*already writing predictions to this folder"),
    ):
        job.run(str(photos), tmp_path, model, ONE)


def test_a_folder_keeps_the_predictions_of_its_place(finished: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    before = contents(finished)
    with pytest.raises(SadclError, match="predictions of another place"):
        job.run(str(tmp_path / "other"), finished, model, ONE)
    assert contents(finished) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "There is no such folder (nowhere)"),
        (["photo.jpg"], "This is one file (photo.jpg)"),
        (["list.csv"], "The list can't be read: No such file"),
        (["s3://"], "names no bucket"),
        (["a", "b"], "--out takes one place"),
        (["a", "--json"], "--out takes no --json"),
        (["folder", "--model", "none.safetensors"], "The weights file is missing"),
        (["folder", "--engine", "ray"], "RAY_AUTH_MODE"),
    ],
)
def test_what_cannot_work_is_a_sentence(
    words: list[str], sentence: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "ray" in words:
        pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    write_photo(tmp_path / "photo.jpg", 0)
    write_photo(tmp_path / "folder/photo.jpg", 0)
    words = ["predict", "--model", str(model), "--out", "out", *words]
    with pytest.raises(SadclError) as error:
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert sentence in str(error.value)
    assert not (tmp_path / "out/_summary.json").exists()


@pytest.mark.parametrize("option", [["--csv"], ["--photo-seconds", "60"]])
def test_options_of_batches_need_out(option: list[str]) -> None:
    with pytest.raises(SadclError, match=f"{option[0]} needs --out"):
        CliRunner().invoke(app, ["predict", "photo.jpg", *option], catch_exceptions=False)


def test_only_leftovers_of_a_killed_run_are_removed(finished: Path, model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    for name in ("._summary.json.a1.part", f".part-{'0' * 64}.parquet.a1.part", ".mine.part"):
        (out / name).touch()
    (out / ".folder.part").mkdir()
    job.run(str(photos), out, model, ONE)
    assert {path.name for path in out.glob(".*.part")} == {".mine.part", ".folder.part"}


def test_a_chosen_gpu_is_the_only_one() -> None:
    visible = ["4", "7"]
    assert start.gpu_environments(visible, 1, None) == [{"CUDA_VISIBLE_DEVICES": "7", "SADCL_DEVICE": "cuda"}]
    several = [row["CUDA_VISIBLE_DEVICES"] for row in start.gpu_environments(visible, None, 3)]
    assert several == ["4", "7", "4"]


@pytest.mark.parametrize(("requested", "has_driver", "asked"), [
    ("", True, True), ("", False, False), ("cpu", True, False), ("cuda:1", False, True),
])  # fmt: skip
def test_a_machine_without_a_gpu_starts_a_job_without_asking_torch(
    requested: str, has_driver: bool, asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SADCL_DEVICE", requested)
    monkeypatch.setattr(start, "DRIVERS", (str(tmp_path if has_driver else tmp_path / "none"),))
    questions: list[str] = []
    monkeypatch.setattr(device, "pick", lambda: questions.append("") or torch.device("cpu"))
    assert start.environments(2) == [{}, {}]
    assert bool(questions) == asked


def test_an_unfinished_job_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="The file is missing"):
        batch.read(tmp_path)
