"""Interrupted batch jobs: what is there is kept, the rest is predicted first, and the bytes are those of a new job."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from sadcl.batch import chunks, job, parts
from sadcl.data import manifest
from sadcl.errors import SadclError
from tests.batch.conftest import GOOD, ONE, contents, write_model, write_photo


def interrupt(out: Path) -> None:
    """Leave what a job has that was stopped after its first part."""
    _, *others = sorted(out.glob("part-*"), key=lambda path: parts.read(path).first)
    assert others, "a job with a single part"
    for path in (*others, out / "_summary.json"):
        path.unlink()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "PHOTOS", 8)


@pytest.mark.usefixtures("small_chunks")
def test_an_interrupted_job_ends_like_one_that_begins_now(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, out = tmp_path / "place", tmp_path / "out"
    shutil.copytree(photos, place)
    job.run(str(place), out, model, ONE)
    interrupt(out)
    write_photo(place / "new.jpg", 100)
    write_photo(place / "a.jpg", 101)
    (place / "a/2.png").unlink()
    capsys.readouterr()
    job.run(str(place), out, model, ONE)
    assert "resuming" in capsys.readouterr().out
    job.run(str(place), tmp_path / "fresh", model, ONE)
    assert "resuming" not in capsys.readouterr().out
    assert contents(out) == contents(tmp_path / "fresh")


@pytest.mark.usefixtures("small_chunks")
def test_an_interrupted_job_predicts_before_it_lists(model: Path, photos: Path, tmp_path: Path) -> None:
    place, out = tmp_path / "list.csv", tmp_path / "out"
    place.write_text("path\n" + "".join(f"{photos}/{name}\n" for name in GOOD), encoding="utf-8")
    job.run(str(place), out, model, ONE)
    before = {path.name: path.read_bytes() for path in out.glob("part-*")}
    interrupt(out)
    place.unlink()
    with pytest.raises(SadclError, match="list can't be read"):
        job.run(str(place), out, model, ONE)
    assert {path.name: path.read_bytes() for path in out.glob("part-*")} == before


@pytest.mark.usefixtures("small_chunks")
def test_a_photo_that_is_away_while_an_interrupted_job_resumes_is_tried_again(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, out = tmp_path / "place", tmp_path / "out"
    shutil.copytree(photos, place)
    job.run(str(place), out, model, ONE)
    complete = contents(out)
    interrupt(out)
    (place / "many").rename(tmp_path / "many")
    listing_again = manifest.write

    def back(*arguments: Any) -> None:
        (tmp_path / "many").rename(place / "many")
        listing_again(*arguments)

    monkeypatch.setattr(manifest, "write", back)
    job.run(str(place), out, model, ONE)
    assert contents(out) == complete


@pytest.mark.usefixtures("small_chunks")
def test_another_model_begins_with_a_new_list_and_resumes_its_own_parts(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / "out", write_model(tmp_path / "weights.safetensors", seed=1)
    job.run(str(photos), out, model, ONE)
    summary = (out / "_summary.json").read_bytes()
    job.run(str(photos), out, other, ONE)
    assert "resuming" not in capsys.readouterr().out
    complete = contents(out)
    # the summary of the first model stays until all parts of the other one are there
    interrupt(out)
    (out / "_summary.json").write_bytes(summary)
    job.run(str(photos), out, other, ONE)
    assert "resuming" in capsys.readouterr().out
    assert contents(out) == complete


@pytest.mark.usefixtures("small_chunks")
def test_an_interrupted_job_computes_nothing_where_the_place_is_empty(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    place, out = tmp_path / "place", tmp_path / "out"
    shutil.copytree(photos, place)
    job.run(str(place), out, model, ONE)
    interrupt(out)
    before = contents(out)
    shutil.rmtree(place)
    place.mkdir()
    with pytest.raises(SadclError, match="There is no photo here"):
        job.run(str(place), out, model, ONE)
    assert contents(out) == before
