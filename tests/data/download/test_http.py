"""Downloading over a poor line from a poor server: the file is whole and as it should be, or not there at all."""

import hashlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from sadcl.data.download.fetch import fetch
from sadcl.errors import SadclError
from sadcl.project import cleanup
from tests.data.download.flaky_server import QUICK, UNPACKED, Files, empty_project, present, serving, toy
from tests.data.download.test_archives import tree, zipped


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Files]:
    with serving(tmp_path) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return empty_project(tmp_path / "project")


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
    assert Path(".sadcl/downloads/toy") in dict(cleanup.removable())


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
