"""Fetching over a poor line from a poor server: the set is there whole and as it should be, or not at all."""

import hashlib
import json
import os
import resource
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from test_archives import tree, zipped

from sadcl import graph, params, upkeep
from sadcl.data import catalogue
from sadcl.data.catalogue import DataSet, Original
from sadcl.data.download import Patience
from sadcl.data.fetch import fetch
from sadcl.errors import SadclError

QUICK = Patience(stall=0.5, attempts=4, pause=0.0)
BODY = os.urandom(300_000)
INSIDE = {"train/1.jpg": BODY, "notes.txt": b"not needed"}
UNPACKED = {"train/1.jpg": BODY}


@dataclass
class Files:
    """What a server has, how it behaves at each request in turn (then well), and what it was asked.

    ``cut`` ends the answer in the middle, ``stall`` falls silent there, ``corrupt`` changes a byte, ``long`` and
    ``short`` say that the file is longer or shorter than it is, ``deaf`` knows no ranges, ``elsewhere`` sends another
    range than was asked for, ``changed`` has another file from now on, a number is a status. ``lengths`` are what it
    says of files before it is asked for them, where that is not the truth.
    """

    files: dict[str, bytes]
    manners: list[Any] = field(default_factory=list)
    etag: bool = True
    lengths: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    has: Files

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        name = self.path.lstrip("/")
        length = self.has.lengths.get(name, len(self.has.files.get(name, b"")))
        self.send_response(200 if name in self.has.files else 404)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def do_GET(self) -> None:
        manner = self.has.manners.pop(0) if self.has.manners else ""
        wanted = self.headers.get("Range", "")
        self.has.asked.append((self.path, wanted))
        self.close_connection = True
        name = self.path.lstrip("/")
        if isinstance(manner, int) or name not in self.has.files:
            self.send_response(manner or 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if manner == "changed":
            self.has.files[name] = bytes(reversed(self.has.files[name]))
        data = self.has.files[name]
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if manner == "deaf" or self.headers.get("If-Range", etag) != etag:
            start = 0
        ranged = wanted and (start or manner == "elsewhere")
        if ranged and start >= len(data):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start -= start // 2 if manner == "elsewhere" else 0
        body = data[start:]
        said = len(body) + {"long": 1000, "short": -1000}.get(manner, 0)
        self.send_response(206 if ranged else 200)
        self.send_header("Content-Length", str(said))
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if self.has.etag:
            self.send_header("ETag", etag)
        self.end_headers()
        if manner == "corrupt":
            body = body[:1000] + bytes([body[1000] ^ 1]) + body[1001:]
        self.wfile.write(body[: len(body) // 2 if manner in ("cut", "stall") else said])
        if manner == "stall":
            self.wfile.flush()
            self.has.closing.wait(30)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Files]:
    archive = zipped(tmp_path / "photos.zip", INSIDE).read_bytes()
    has = Files({"photos.zip": archive, "list.txt": b"train/1.jpg\n"})
    handler = type("Bound", (Handler,), {"has": has})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        has.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield has
        has.closing.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    graph.set_up(root)
    (root / "dvc.yaml").write_text("stages: {}\n")
    return root


def toy(server: Files, *, known: bool = True, **other: Any) -> DataSet:
    data = server.files["photos.zip"]
    facts = {"size": len(data), "checksum": f"sha256:{hashlib.sha256(data).hexdigest()}", "known_from": "its makers"}
    return DataSet(
        "toy",
        (Original("photos.zip", f"{server.url}/photos.zip", keep=("*.jpg",), **{**(facts if known else {}), **other}),),
    )


def present(project: Path) -> list[str]:
    raw = project / "data/raw"
    return sorted(path.name for path in raw.glob("*")) if raw.exists() else []


def test_a_set_is_fetched_unpacked_recorded_and_tracked(server: Files, project: Path) -> None:
    said = fetch(toy(server), project, patience=QUICK)
    assert "tracked" in said
    assert tree(project / "data/raw/toy") == UNPACKED
    assert present(project) == ["toy", "toy.dvc", "toy.sources.json"]
    record = json.loads((project / "data/raw/toy.sources.json").read_text())
    (entry,) = record["files"]
    assert entry["from"] == f"{server.url}/photos.zip"
    assert entry["sha256"] == hashlib.sha256(server.files["photos.zip"]).hexdigest()
    assert "its makers" in entry["checked_by"]
    assert not (project / ".sadcl/downloads/toy").exists()  # the archives have done their work


def test_it_comes_from_a_folder_too_which_keeps_its_files(server: Files, project: Path, tmp_path: Path) -> None:
    fetch(toy(server), project, mirror=str(tmp_path), patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED
    assert (tmp_path / "photos.zip").exists()
    assert server.asked == []
    (entry,) = json.loads((project / "data/raw/toy.sources.json").read_text())["files"]
    assert entry["from"] == str(tmp_path / "photos.zip")  # and not the official address


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("manner", ["cut", "stall"])
def test_a_cut_or_silent_connection_is_gone_on_from(server: Files, project: Path, manner: str, known: bool) -> None:
    server.manners = [manner, manner]
    fetch(toy(server, known=known), project, patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED
    starts = [int(wanted.removeprefix("bytes=").rstrip("-") or 0) for _, wanted in server.asked]
    size = len(server.files["photos.zip"])
    assert starts == [0, size // 2, size // 2 + (size - size // 2) // 2]


def test_a_later_run_goes_on_where_the_first_gave_up(server: Files, project: Path) -> None:
    server.manners = ["cut", 503, 503, 503]
    with pytest.raises(SadclError, match=r"could not be fetched in 4 attempts.*answered 503.*Run this again"):
        fetch(toy(server), project, patience=QUICK)
    assert present(project) == []
    fetch(toy(server), project, patience=QUICK)
    assert server.asked[-1][1] == f"bytes={len(server.files['photos.zip']) // 2}-"
    assert tree(project / "data/raw/toy") == UNPACKED


def test_what_was_given_up_is_found_by_clean(server: Files, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.manners = ["cut", 503, 503, 503]
    with pytest.raises(SadclError):
        fetch(toy(server), project, patience=QUICK)
    monkeypatch.chdir(project)
    assert Path(".sadcl/downloads/toy") in dict(upkeep.removable())


def test_a_server_without_ranges_starts_again(server: Files, project: Path) -> None:
    server.manners = ["cut", "deaf"]
    fetch(toy(server), project, patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED


def test_a_file_that_changes_on_the_way_is_not_mixed(server: Files, project: Path) -> None:
    other = zipped(project / "other.zip", {"2.jpg": b"new" * 1000}).read_bytes()
    (project / "other.zip").unlink()
    data_set = toy(server, known=False)
    server.files["photos.zip"] = bytes(reversed(other))  # "changed" turns it round at the second request
    server.manners = ["cut", "changed"]
    fetch(data_set, project, patience=QUICK)
    assert tree(project / "data/raw/toy") == {"2.jpg": b"new" * 1000}


def test_without_checksum_and_validator_a_part_is_worth_nothing(server: Files, project: Path) -> None:
    server.etag = False
    server.manners = ["cut"]
    fetch(toy(server, known=False), project, patience=QUICK)
    assert [wanted for _, wanted in server.asked] == ["", ""]
    assert tree(project / "data/raw/toy") == UNPACKED


def test_the_wrong_range_is_not_taken(server: Files, project: Path) -> None:
    server.manners = ["cut", "elsewhere"]
    fetch(toy(server), project, patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED
    assert len(server.asked) == 3


@pytest.mark.parametrize("manner", ["long", "short"])
def test_a_length_that_is_not_the_known_one_is_refused(server: Files, project: Path, manner: str) -> None:
    server.manners = [manner]
    with pytest.raises(SadclError, match=r"The server says that the file has .* bytes, but it should have"):
        fetch(toy(server), project, patience=QUICK)
    assert (len(server.asked), present(project)) == (1, [])


def test_a_length_that_lies_about_an_unknown_file_is_refused(server: Files, project: Path) -> None:
    server.manners = ["long"] * 9
    with pytest.raises(SadclError, match="could not be fetched in 4 attempts"):
        fetch(toy(server, known=False), project, patience=QUICK)
    server.manners = ["short"]
    with pytest.raises(SadclError, match="archive is damaged"):
        fetch(toy(server, known=False), project, patience=QUICK)
    assert present(project) == []
    fetch(toy(server, known=False), project, patience=QUICK)  # the damaged one does not stand in the way
    assert tree(project / "data/raw/toy") == UNPACKED


def test_a_corrupted_file_is_removed_and_said_so(server: Files, project: Path) -> None:
    server.manners = ["corrupt"]
    with pytest.raises(SadclError, match=r"is not the file it should be: sha256:.*it was removed.*its makers"):
        fetch(toy(server), project, patience=QUICK)
    assert present(project) == []
    assert [p.name for p in (project / ".sadcl/downloads/toy").iterdir()] == ["lock"]
    fetch(toy(server), project, patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED


def test_an_md5_is_compared_too(server: Files, project: Path) -> None:
    right = hashlib.md5(server.files["photos.zip"]).hexdigest()
    with pytest.raises(SadclError, match="is not the file it should be: md5:"):
        fetch(toy(server, checksum=f"md5:{'0' * 32}"), project, patience=QUICK)
    fetch(toy(server, checksum=f"md5:{right}"), project, patience=QUICK)


def test_what_was_recorded_at_the_first_fetch_is_asked_for_later(server: Files, project: Path) -> None:
    data_set = toy(server, known=False)
    fetch(data_set, project, patience=QUICK)
    for path in ("toy", "toy.dvc"):
        (project / "data/raw" / path).rename(project / path)  # a clone has the record alone
    kept = (project / "data/raw/toy.sources.json").read_text()
    server.files["photos.zip"] = server.files["photos.zip"][::-1]
    with pytest.raises(SadclError, match=r"is not the file it should be.*the record of the first fetch"):
        fetch(data_set, project, patience=QUICK)
    assert present(project)[-1] == "toy.sources.json"
    server.files["photos.zip"] = server.files["photos.zip"][::-1]
    fetch(data_set, project, patience=QUICK)
    assert (project / "data/raw/toy.sources.json").read_text() == kept


def test_the_disk_is_looked_at_before_anything_is_asked_for(server: Files, project: Path) -> None:
    with pytest.raises(SadclError, match=r"too little room for toy.*2000000000\.0 GB are needed"):
        fetch(toy(server, size=10**18), project, patience=QUICK)
    assert server.asked == []


def test_a_size_that_only_the_server_knows_counts_too(server: Files, project: Path) -> None:
    server.lengths["photos.zip"] = 10**18
    with pytest.raises(
        SadclError, match=r"too little room for toy, its archives and what is in them: 2000000000\.0 GB"
    ):
        fetch(toy(server, known=False), project, patience=QUICK)
    assert server.asked == []


def test_where_dvc_copies_its_copy_counts_too(server: Files, project: Path) -> None:
    (project / ".dvc/config.local").write_text("[cache]\n    type = copy\n")
    with pytest.raises(SadclError, match=r"what is in them and DVC's copy of it: 3000000000\.0 GB are needed"):
        fetch(toy(server, size=10**18), project, patience=QUICK)


def test_a_disk_that_fills_on_the_way_is_said_and_the_next_run_goes_on(server: Files, project: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(SadclError, match=r"The file is larger than .*; what came stays.*Free some space"):
            fetch(toy(server), project, patience=QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert present(project) == []
    fetch(toy(server), project, patience=QUICK)
    assert server.asked[-1][1] == "bytes=100000-"
    assert tree(project / "data/raw/toy") == UNPACKED


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_not_asked_for_again(server: Files, project: Path, status: int) -> None:
    server.manners = [status]
    with pytest.raises(SadclError, match=f"The server answered {status}"):
        fetch(toy(server), project, patience=QUICK)
    assert len(server.asked) == 1


def test_nobody_there(server: Files, project: Path) -> None:
    with pytest.raises(SadclError, match=r"could not be fetched in 4 attempts; at last, the server can't be reached"):
        fetch(toy(server), project, mirror="http://user:secret@127.0.0.1:9", patience=QUICK)


def test_a_hostile_archive_leaves_nothing(server: Files, project: Path) -> None:
    server.files["photos.zip"] = zipped(project / "x.zip", {"1.jpg": b"1", "../../evil": b"2"}).read_bytes()
    with pytest.raises(SadclError, match="leaves its folder"):
        fetch(toy(server), project, patience=QUICK)
    assert present(project) == []
    assert not (project / "data/evil").exists()


def test_what_is_there_already_is_left_alone(server: Files, project: Path) -> None:
    (project / "data/raw/toy").mkdir(parents=True)
    (project / "data/raw/toy/mine.jpg").write_bytes(b"mine")
    with pytest.raises(SadclError, match="something of this name already"):
        fetch(toy(server), project, patience=QUICK)
    assert server.asked == []
    assert tree(project / "data/raw/toy") == {"mine.jpg": b"mine"}


def test_a_set_that_was_fetched_is_only_tracked_again(server: Files, project: Path) -> None:
    fetch(toy(server), project, patience=QUICK)
    (project / "data/raw/toy.dvc").unlink()
    asked = len(server.asked)
    fetch(toy(server), project, patience=QUICK)
    assert len(server.asked) == asked
    assert (project / "data/raw/toy.dvc").exists()


def test_plain_files_lie_beside_and_files_without_an_address_come_from_folders_only(
    server: Files, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "list.txt").write_bytes(server.files["list.txt"])
    more = (Original("list.txt", f"{server.url}/list.txt"), Original("index.json"))
    data_set = DataSet("toy", (*toy(server).originals, *more), "The index comes by hand")
    assert fetch(data_set, project, patience=QUICK).endswith("The index comes by hand.")
    assert tree(project / "data/raw/toy") == UNPACKED | {"list.txt": b"train/1.jpg\n"}
    (tmp_path / "index.json").write_bytes(b"{}")
    again = DataSet("again", data_set.originals)
    fetch(again, project, mirror=str(tmp_path), patience=QUICK)
    assert tree(project / "data/raw/again") == UNPACKED | {"list.txt": b"train/1.jpg\n", "index.json": b"{}"}


def closed(server: Files) -> DataSet:
    """A set with an archive that has no address of its own."""
    return DataSet("toy", (*toy(server).originals, Original("test.zip", keep=("*.jpg",))), "The test photos come later")


def test_an_archive_that_comes_later_is_taken_in(server: Files, project: Path, tmp_path: Path) -> None:
    assert fetch(closed(server), project, patience=QUICK).endswith("The test photos come later.")
    (project / "data/raw/toy/own.jpg").write_bytes(b"put there by hand")
    asked, later = len(server.asked), tmp_path / "later"
    later.mkdir()
    zipped(later / "test.zip", {"test/2.jpg": b"2", "train/1.jpg": BODY})
    assert "come later" not in fetch(closed(server), project, mirror=str(later), patience=QUICK)
    whole = UNPACKED | {"test/2.jpg": b"2", "own.jpg": b"put there by hand"}
    assert tree(project / "data/raw/toy") == whole
    record = json.loads((project / "data/raw/toy.sources.json").read_text())
    assert [entry["file"] for entry in record["files"]] == ["photos.zip", "test.zip"]
    assert graph.changed_sources(project) == []
    assert "come later" not in fetch(closed(server), project, patience=QUICK)
    assert (len(server.asked), tree(project / "data/raw/toy")) == (asked, whole)


def test_one_that_contradicts_what_is_there_changes_nothing(server: Files, project: Path, tmp_path: Path) -> None:
    fetch(closed(server), project, patience=QUICK)
    before = {path.name: path.read_bytes() for path in (project / "data/raw").glob("toy.*")}
    (tmp_path / "later").mkdir()
    zipped(tmp_path / "later/test.zip", {"test/2.jpg": b"2", "train/1.jpg": b"another"})
    with pytest.raises(SadclError, match=r"Two different files have the name '1\.jpg'"):
        fetch(closed(server), project, mirror=str(tmp_path / "later"), patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED
    assert {path.name: path.read_bytes() for path in (project / "data/raw").glob("toy.*")} == before


def test_a_mirror_may_have_what_has_no_address(server: Files, project: Path, tmp_path: Path) -> None:
    said = fetch(closed(server), project, mirror=server.url, patience=QUICK)
    assert ("/test.zip", "") in server.asked  # answered 404
    assert said.endswith("The test photos come later.")
    assert tree(project / "data/raw/toy") == UNPACKED
    server.files["test.zip"] = zipped(tmp_path / "test.zip", {"test/2.jpg": b"2"}).read_bytes()
    fetch(closed(server), project, mirror=server.url.replace("//", "//user:secret@"), patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED | {"test/2.jpg": b"2"}
    record = json.loads((project / "data/raw/toy.sources.json").read_text())
    assert record["files"][1]["from"] == f"{server.url}/test.zip"


@pytest.mark.parametrize("page", [b"<!DOCTYPE html>\n<html>not found</html>", b"\xef\xbb\xbf\n <html></html>"])
@pytest.mark.parametrize("file", ["list.txt", "index.json"])
def test_a_page_in_place_of_a_list_is_refused(server: Files, project: Path, file: str, page: bytes) -> None:
    right = {"list.txt": b"train/1.jpg\n", "index.json": b'{"a": 1}'}[file]
    data_set = DataSet("toy", (*toy(server).originals, Original(file, f"{server.url}/{file}")))
    server.files[file] = page
    with pytest.raises(SadclError, match=rf"{file} is a web page.*it was removed"):
        fetch(data_set, project, patience=QUICK)
    assert present(project) == []
    server.files[file] = right
    fetch(data_set, project, patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED | {file: right}


def test_a_new_project_gets_the_sets_settings(server: Files, tmp_path: Path) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    graph.start(root)
    before = sorted(root.rglob("*"))
    data_set = replace(toy(server), recipe="nuswide-r101-448")
    server.manners = [404]
    with pytest.raises(SadclError, match="answered 404"):
        fetch(data_set, root, patience=QUICK)
    assert sorted(path for path in root.rglob("*") if "toy" not in str(path) and path.suffix == ".yaml") == [
        path for path in before if path.suffix == ".yaml"
    ]
    assert "params.yaml is the recipe nuswide-r101-448." in fetch(data_set, root, patience=QUICK)
    assert (root / "params.yaml").read_bytes() == params.recipe("nuswide-r101-448").read_bytes()
    assert (root / "data/raw/toy.dvc").exists()


def test_a_graph_that_dvc_can_not_read_is_said_before_anything_is_fetched(server: Files, tmp_path: Path) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    graph.start(root)
    (root / "params.yaml").write_text("seed: 1\n")
    with pytest.raises(SadclError, match=r"Could not find 'ingest"):
        fetch(toy(server), root, patience=QUICK)
    assert server.asked == []


def test_each_set_names_a_recipe_that_reads_it() -> None:
    for data_set in catalogue.DATA_SETS:
        assert params.load(path=params.recipe(data_set.recipe)).ingest.source == data_set.name


def test_no_size_or_checksum_stands_in_the_catalogue_without_its_source() -> None:
    for data_set in catalogue.DATA_SETS:
        for original in data_set.originals:
            assert bool(original.size or original.checksum) == bool(original.known_from), original.file
            assert original.url.endswith(original.file) or not original.url


def test_a_set_that_nobody_knows() -> None:
    with pytest.raises(SadclError, match=r"No archives are known for 'coco'.*coco2014, coco2017, voc2007"):
        catalogue.find("coco")
