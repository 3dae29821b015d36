"""Photos on S3 as training data, behind a proxy that refuses, cuts and lies: the same photos in a folder."""

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from sadcl import files, params, pipeline, s3
from sadcl.cli import app
from sadcl.data.ingest import ingest
from sadcl.data.onboarding.add import add
from sadcl.data.onboarding.relist import relist
from sadcl.data.onboarding.remove import plan
from sadcl.data.shards import writer
from sadcl.data.table import Table
from sadcl.errors import SadclError
from sadcl.project import doctor
from sadcl.report.data_photos import PhotoAlbum
from sadcl.review.cache import Cache
from sadcl.review.thumbnails import Thumbnails
from tests.lying_proxy import LyingProxy
from tests.s3_bucket import client

OWN = "data/raw/own"
NAMES = [f"{folder}/{i}.jpg" for folder in ("fine", "a b+c é", "refuse", "cut", "longer", "reset") for i in range(4)]

pytestmark = pytest.mark.slow


def photo(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "JPEG")
    return path


honest = cache(client)


def put(moto: str, path: Path, key: str) -> None:
    honest(moto).put_object(Bucket="photos", Key=f"year/{key}", Body=path.read_bytes())


def delete(moto: str, key: str) -> None:
    honest(moto).delete_object(Bucket="photos", Key=f"year/{key}")


@pytest.fixture
def local(tmp_path: Path, moto: str, bucket: LyingProxy) -> Path:
    """A source whose photos are files; the bucket has the same photos, and one without labels."""
    source = tmp_path / "local" / OWN
    for seed, name in enumerate(NAMES):
        put(moto, photo(source / name, seed), name)
    put(moto, photo(tmp_path / "other.jpg", 99), "other.jpg")
    rows = [f"{name},{('cat;dog', 'cat', '')[i % 3]}\n" for i, name in enumerate(NAMES)]
    (source / "labels.csv").write_text("file,labels\n" + "".join(rows))
    return source


@pytest.fixture
def project(local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, the working directory, that has these photos as a manifest."""
    root = tmp_path / "project"
    root.mkdir()
    shutil.copy(local / "labels.csv", tmp_path / "labels.csv")
    monkeypatch.chdir(root)
    add(tmp_path / "labels.csv", "own", photos="s3://photos/year")
    return root


def table(root: Path) -> Table:
    settings = {"source": "own", "format": "csv", "annotations": {"train": "labels.csv"}, "images": {"train": "."}}
    return ingest(root, OWN, params.Ingest.model_validate(settings), 1, root / ".cache", workers=2)


def shards(root: Path, rows: Table, folder: str = "shards") -> dict[str, str]:
    writer.write_shards(rows, root, root / folder, params.Prepare(short_side=32), workers=2)
    return {str(path.relative_to(root / folder)): files.digest(path) for path in (root / folder).rglob("*.*")}


def problems(root: Path) -> dict[str, str]:
    frame = table(root).frame
    return dict(frame[frame["problem"].notna()][["file", "problem"]].itertuples(index=False))


def test_shards_are_those_of_the_same_photos_in_a_folder(
    project: Path, local: Path, bucket: LyingProxy, tmp_path: Path
) -> None:
    assert sorted(path.name for path in (project / OWN).iterdir()) == ["labels.csv", "photos.parquet"]
    rows, expected = table(project), table(local.parents[2])
    pd.testing.assert_frame_equal(rows.frame, expected.frame)
    assert shards(project, rows) == shards(local.parents[2], expected)
    before = bucket.reads.copy()
    assert table(project).frame.equals(rows.frame)
    assert bucket.reads == before  # an unchanged object is not read again
    album, name = PhotoAlbum(project, rows), NAMES[0]
    assert album.picture("1", name, "").address == PhotoAlbum(local.parents[2], expected).picture("1", name, "").address
    pictures = Thumbnails(project, Cache(tmp_path / "cache"))
    assert pictures.source_photo(f"{OWN}/{name}", files.digest(local / name)).startswith(b"\xff\xd8")
    with pytest.raises(SadclError, match="not in this project"):
        pictures.source_photo(f"{OWN}/{name}", "0" * 64)


def test_a_new_list_finds_what_has_changed_and_no_other_photo_is_read(
    project: Path, moto: str, bucket: LyingProxy, tmp_path: Path
) -> None:
    table(project)
    assert relist("own") == "s3://photos/year has 25 photos: nothing has changed"
    record = (project / f"{OWN}.dvc").read_bytes()
    put(moto, photo(tmp_path / "another.jpg", 1000), "fine/1.jpg")
    put(moto, tmp_path / "another.jpg", "fine/new.jpg")
    delete(moto, "fine/2.jpg")
    bucket.reads.clear()
    result = CliRunner().invoke(app, ["data", "relist", "own"])
    assert "s3://photos/year has 25 photos: 1 new, 1 changed, 1 gone (fine/2.jpg)" in result.output
    assert (project / f"{OWN}.dvc").read_bytes() != record
    assert not pipeline.is_modified(project / f"{OWN}.dvc")
    rows = table(project).frame.set_index("file")
    assert rows.loc["fine/1.jpg", "sha256"] == files.digest(tmp_path / "another.jpg")
    assert rows["problem"].dropna().to_dict() == {"fine/2.jpg": "The file is missing"}
    assert list(bucket.reads) == ["/photos/year/fine/1.jpg"]
    assert plan("own").notes[0] == "The photos on s3://photos/year stay"


def test_photos_that_change_or_go_after_they_were_listed_are_named(
    project: Path, moto: str, bucket: LyingProxy, tmp_path: Path
) -> None:
    another = photo(tmp_path / "another.jpg", 1000)
    bucket.before = {
        "/fine/1.jpg": lambda: put(moto, another, "fine/1.jpg"),
        "/fine/2.jpg": lambda: delete(moto, "fine/2.jpg"),
    }
    advice = "`sadcl data relist own` lists it again"
    photo_problems = problems(project)
    assert photo_problems == {
        "fine/1.jpg": f"The photo changed after it was listed; {advice}",
        "fine/2.jpg": f"The photo has gone since it was listed; {advice}",
    }
    put(moto, another, "fine/3.jpg")  # between ingest and prepare
    with pytest.raises(SadclError, match=r"changed after it was listed; .*relist own.*s3://photos/year/fine/3.jpg"):
        shards(project, table(project))
    assert not (project / "shards").exists() or not list((project / "shards").iterdir())
    relist("own")
    assert problems(project) == {"fine/2.jpg": "The file is missing"}


def test_a_server_that_stays_away_ends_with_a_sentence_and_loses_nothing(
    project: Path, moto: str, bucket: LyingProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(project)
    put(moto, tmp_path / "other.jpg", "always.jpg")
    relist("own")
    with (project / OWN / "labels.csv").open("a") as file:
        file.write("always.jpg,cat\n")
    with pytest.raises(s3.RefusedError, match=r"S3 has not answered .*s3://photos/year/always.jpg"):
        table(project)
    listed = (project / OWN / "photos.parquet").read_bytes()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3.reset()
    for attempt in (lambda: relist("own"), lambda: add(tmp_path / "labels.csv", "new", photos="s3://photos/year")):
        with pytest.raises(s3.RefusedError, match="Unable to locate credentials"):
            attempt()
    assert (project / OWN / "photos.parquet").read_bytes() == listed
    assert not (project / "data/raw/new").exists()


def test_the_doctor_reports_whether_the_bucket_answers(project: Path, moto: str) -> None:
    assert "The source's 25 photos are on s3://photos/year." in doctor.notes()
    for key in [*NAMES, "other.jpg"]:
        delete(moto, key)
    honest(moto).delete_bucket(Bucket="photos")
    assert [line for line in doctor.diagnose() if "S3 has not answered" in line and "s3://photos/year" in line]


def test_nothing_is_added_where_there_are_no_photos_or_one_is_missing(
    local: Path, moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    with pytest.raises(SadclError, match="There are no photos"):
        add(local / "labels.csv", "own", photos="s3://photos/nowhere")
    delete(moto, NAMES[3])
    with pytest.raises(SadclError, match=f"1 of 24 photos is missing; the first is '{NAMES[3]}'"):
        add(local / "labels.csv", "own", photos="s3://photos/year/")
    assert not list(Path().iterdir())
