"""Photos on S3, behind a proxy that refuses, cuts and lies: predictions of the same photos in a folder."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import quote_plus

import numpy as np
import pytest

from benchmarks.s3_server import KEYS
from sadcl import batch
from sadcl.batch import inventory, job, listing
from sadcl.batch.job import Options
from sadcl.errors import SadclError
from tests.batch.conftest import write_photo
from tests.lying_proxy import LyingProxy
from tests.s3_bucket import client

FAULTS = ["refuse", "cut", "longer", "reset"]

pytestmark = pytest.mark.slow


def put(moto: str, key: str, data: bytes) -> None:
    client(moto).put_object(Bucket="photos", Key=key, Body=data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos, of which some have names that the proxy treats badly."""
    root = tmp_path / "place"
    names = [f"{kind}/{i}.jpg" for kind in ("fine", "a b+c é", *FAULTS) for i in range(4)]
    for seed, name in enumerate([*names, "fine.jpg"]):
        write_photo(root / name, seed)
    return root


def fill(moto: str, folder: Path, prefix: str) -> None:
    for path in folder.rglob("*.jpg"):
        put(moto, f"{prefix}{path.relative_to(folder)}", path.read_bytes())


def test_a_server_that_fails_for_a_moment_costs_no_photo(
    bucket: LyingProxy, moto: str, folder: Path, model: Path, tmp_path: Path
) -> None:
    fill(moto, folder, "year/")
    put(moto, "year/notes.txt", b"no photo")
    put(moto, "elsewhere/0.jpg", b"another folder's")
    summary = job.run("s3://photos/year", tmp_path / "out", model, Options(workers=1))
    assert (summary["photos"], summary["failed"]) == (25, 0)
    job.run(str(folder), tmp_path / "local", model, Options(workers=1))
    predictions, local = batch.read(tmp_path / "out"), batch.read(tmp_path / "local")
    assert predictions.paths == local.paths
    assert (predictions.probabilities == local.probabilities).all()
    before = bucket.reads.copy()
    job.run("s3://photos/year/", tmp_path / "out", model, Options(workers=1))
    assert bucket.reads == before
    # stopped before its summary, it goes on; of an empty place it predicts nothing
    (tmp_path / "out/_summary.json").unlink()
    assert job.run("s3://photos/year", tmp_path / "out", model, Options(workers=1)) == summary
    (tmp_path / "out/_summary.json").unlink()
    for entry in client(moto).list_objects_v2(Bucket="photos", Prefix="year/")["Contents"]:
        client(moto).delete_object(Bucket="photos", Key=entry["Key"])
    with pytest.raises(SadclError, match="There is no photo here"):
        job.run("s3://photos/year", tmp_path / "out", model, Options(workers=1))


def test_what_stays_away_is_a_row_and_what_changes_is_listed_again(
    bucket: LyingProxy, moto: str, model: Path, tmp_path: Path
) -> None:
    data = [write_photo(tmp_path / f"{seed}.jpg", seed).read_bytes() for seed in range(4)]
    for name in ("always.jpg", "changes.jpg", "goes.jpg", "stays.jpg"):
        put(moto, name, data[0])
    bucket.before = {
        "/changes.jpg": lambda: put(moto, "changes.jpg", data[1]),
        "/goes.jpg": lambda: client(moto).delete_object(Bucket="photos", Key="goes.jpg"),
    }
    summary = job.run("s3://photos", tmp_path / "out", model, Options(workers=1))
    predictions = batch.read(tmp_path / "out")
    assert predictions.paths == ["always.jpg", "changes.jpg", "stays.jpg"]
    assert list(predictions.errors) == ["always.jpg"]
    assert "Reduce your request rate" in predictions.errors["always.jpg"]
    assert summary["failed"] == 1
    (tmp_path / "new").mkdir()
    (tmp_path / "1.jpg").rename(tmp_path / "new/1.jpg")
    job.run(str(tmp_path / "new"), tmp_path / "local", model, Options(workers=1))
    np.testing.assert_array_equal(predictions.probabilities[1], batch.read(tmp_path / "local").probabilities[0])


def test_a_photo_whose_answer_stalls_is_a_row_with_the_time_it_took(
    bucket: LyingProxy, moto: str, model: Path, tmp_path: Path
) -> None:
    for seed, name in enumerate(["fine.jpg", "stall.jpg", "zoo.jpg"]):
        put(moto, name, write_photo(tmp_path / f"{seed}.jpg", seed).read_bytes())
    summary = job.run("s3://photos", tmp_path / "out", model, Options(workers=1, seconds=8))
    predictions = batch.read(tmp_path / "out")
    assert predictions.paths == ["fine.jpg", "stall.jpg", "zoo.jpg"]
    assert predictions.errors == {"stall.jpg": "Reading and decoding took longer than 8.0 s"}
    assert summary["failed"] == 1


class _Expired(BaseHTTPRequestHandler):
    """Answers that the credentials have expired."""

    def do_GET(self) -> None:
        body = b"<Error><Code>ExpiredToken</Code><Message>The token has expired</Message></Error>"
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def test_credentials_that_expire_end_the_job(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list.csv").write_text("path\ns3://photos/1.jpg\ns3://photos/2.jpg\n")
    with HTTPServer(("127.0.0.1", 0), _Expired) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SadclError, match=r"ExpiredToken.*The token has expired.*Check .*the credentials"):
            job.run(str(tmp_path / "list.csv"), tmp_path / "out", model, Options(workers=1))
        server.shutdown()
    assert not list((tmp_path / "out").glob("part-*"))


def test_a_list_that_is_not_there_is_named(bucket: LyingProxy) -> None:
    with pytest.raises(SadclError, match=r"The list can't be read: There is no such object \(s3://photos/none.csv\)"):
        next(listing.find("s3://photos/none.csv").rows())


def test_an_inventory_lists_what_the_bucket_lists(bucket: LyingProxy, moto: str, folder: Path) -> None:
    fill(moto, folder, "")
    listed = {f"s3://photos/{name}": (size, etag) for name, size, etag in listing.find("s3://photos").rows()}
    lines = [
        f'"photos","{quote_plus(path.removeprefix("s3://photos/"), safe="/")}","{size}","{etag}"\n'
        for path, (size, etag) in listed.items()
    ]
    put(moto, "inventory/data/1.csv.gz", gzip.compress("".join(lines).encode()))
    about = {
        "destinationBucket": "arn:aws:s3:::photos", "fileFormat": "CSV", "fileSchema": "Bucket, Key, Size, ETag",
        "files": [{"key": "inventory/data/1.csv.gz"}],
    }  # fmt: skip
    put(moto, "inventory/manifest.json", json.dumps(about).encode())
    address = "s3://photos/inventory/manifest.json"
    assert inventory.is_list(address)
    assert {path: (size, etag) for path, size, etag in listing.find(address).rows()} == listed
