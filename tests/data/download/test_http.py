"""Downloads over an unreliable connection from a faulty server: the file is complete and correct, or absent."""

import hashlib
import resource
from pathlib import Path

import pytest

from sadcl import pipeline
from sadcl.data.download.fetch import fetch
from sadcl.errors import SadclError
from sadcl.project import cleanup
from tests.data.download.flaky_server import QUICK, UNPACKED, Files, present, toy
from tests.data.download.test_archives import tree, zipped


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("manner", ["cut", "stall"])
def test_a_cut_or_stalled_download_resumes(server: Files, project: Path, manner: str, known: bool) -> None:
    server.manners = [manner, manner]
    fetch(toy(server, known=known), project, patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED
    starts = [int(requested.removeprefix("bytes=").rstrip("-") or 0) for _, requested in server.requests]
    size = len(server.files["photos.zip"])
    assert starts == [0, size // 2, size // 2 + (size - size // 2) // 2]


def test_a_second_run_resumes(server: Files, project: Path) -> None:
    server.manners = ["cut", 503, 503, 503]
    with pytest.raises(SadclError, match=r"could not be downloaded in 4 attempts.*answered 503.*Run this again"):
        fetch(toy(server), project, patience=QUICK)
    assert present(project) == []
    fetch(toy(server), project, patience=QUICK)
    assert server.requests[-1][1] == f"bytes={len(server.files['photos.zip']) // 2}-"
    assert tree(project / "data/raw/toy") == UNPACKED


def test_clean_lists_an_abandoned_download(server: Files, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.manners = ["cut", 503, 503, 503]
    with pytest.raises(SadclError):
        fetch(toy(server), project, patience=QUICK)
    monkeypatch.chdir(project)
    assert Path(".sadcl/downloads/toy") in dict(cleanup.removable())


def test_a_server_without_ranges_sends_the_whole_file_again(server: Files, project: Path) -> None:
    server.manners = ["cut", "deaf"]
    fetch(toy(server), project, patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED


def test_a_file_that_changes_during_the_download_starts_over(server: Files, project: Path) -> None:
    new = zipped(project / "other.zip", {"2.jpg": b"new" * 1000}).read_bytes()
    (project / "other.zip").unlink()
    data_set = toy(server, known=False)
    server.files["photos.zip"] = bytes(reversed(new))  # "changed" turns it round at the second request
    server.manners = ["cut", "changed"]
    fetch(data_set, project, patience=QUICK)
    assert tree(project / "data/raw/toy") == {"2.jpg": b"new" * 1000}


def test_without_checksum_and_validator_a_partial_download_is_discarded(server: Files, project: Path) -> None:
    server.etag = False
    server.manners = ["cut"]
    fetch(toy(server, known=False), project, patience=QUICK)
    assert [requested for _, requested in server.requests] == ["", ""]
    assert tree(project / "data/raw/toy") == UNPACKED


def test_a_wrong_range_is_refused(server: Files, project: Path) -> None:
    server.manners = ["cut", "elsewhere"]
    fetch(toy(server), project, patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED
    assert len(server.requests) == 3


@pytest.mark.parametrize("manner", ["long", "short"])
def test_a_wrong_announced_size_is_refused(server: Files, project: Path, manner: str) -> None:
    server.manners = [manner]
    with pytest.raises(SadclError, match=r"The server announces .* bytes, but the file should have"):
        fetch(toy(server), project, patience=QUICK)
    assert (len(server.requests), present(project)) == (1, [])


def test_a_wrong_announced_size_of_an_unknown_file_is_refused(server: Files, project: Path) -> None:
    server.manners = ["long"] * 9
    with pytest.raises(SadclError, match="could not be downloaded in 4 attempts"):
        fetch(toy(server, known=False), project, patience=QUICK)
    server.manners = ["short"]
    with pytest.raises(SadclError, match="archive is damaged"):
        fetch(toy(server, known=False), project, patience=QUICK)
    assert present(project) == []
    fetch(toy(server, known=False), project, patience=QUICK)  # the damaged one does not stand in the way
    assert tree(project / "data/raw/toy") == UNPACKED


def test_a_corrupted_file_is_removed(server: Files, project: Path) -> None:
    server.manners = ["corrupt"]
    with pytest.raises(SadclError, match=r"has the wrong checksum: sha256:.*it was removed.*its makers"):
        fetch(toy(server), project, patience=QUICK)
    assert present(project) == []
    assert [p.name for p in (project / ".sadcl/downloads/toy").iterdir()] == ["lock"]
    fetch(toy(server), project, patience=QUICK)
    assert tree(project / "data/raw/toy") == UNPACKED


def test_an_md5_is_compared_too(server: Files, project: Path) -> None:
    right = hashlib.md5(server.files["photos.zip"]).hexdigest()
    with pytest.raises(SadclError, match="has the wrong checksum: md5:"):
        fetch(toy(server, checksum=f"md5:{'0' * 32}"), project, patience=QUICK)
    fetch(toy(server, checksum=f"md5:{right}"), project, patience=QUICK)


def test_free_space_is_checked_before_the_first_request(server: Files, project: Path) -> None:
    with pytest.raises(SadclError, match=r"too little room for the archives of toy.*2000000000\.0 GB are needed"):
        fetch(toy(server, size=10**18), project, patience=QUICK)
    assert server.requests == []


def test_free_space_counts_a_size_that_only_the_server_knows(server: Files, project: Path) -> None:
    server.lengths["photos.zip"] = 10**18
    with pytest.raises(
        SadclError, match=r"too little room for the archives of toy and their content: 2000000000\.0 GB"
    ):
        fetch(toy(server, known=False), project, patience=QUICK)
    assert server.requests == []


def test_free_space_counts_dvcs_copy(server: Files, project: Path) -> None:
    (project / ".dvc/config.local").write_text("[cache]\n    type = copy\n")
    with pytest.raises(SadclError, match=r"their content and DVC's copy of it: 3000000000\.0 GB are needed"):
        fetch(toy(server, size=10**18), project, patience=QUICK)


def test_a_full_disk_is_reported_and_the_next_run_resumes(server: Files, project: Path) -> None:
    pipeline.stages(project)  # DVC's own database exists by then
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(SadclError, match=r"The file is larger than .*; the next attempt resumes.*Free some space"):
            fetch(toy(server), project, patience=QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert present(project) == []
    fetch(toy(server), project, patience=QUICK)
    assert server.requests[-1][1] == "bytes=100000-"
    assert tree(project / "data/raw/toy") == UNPACKED


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refused_request_is_not_repeated(server: Files, project: Path, status: int) -> None:
    server.manners = [status]
    with pytest.raises(SadclError, match=f"The server answered {status}"):
        fetch(toy(server), project, patience=QUICK)
    assert len(server.requests) == 1


def test_an_unreachable_server(server: Files, project: Path) -> None:
    with pytest.raises(
        SadclError,
        match=r"could not be downloaded in 4 attempts; the last one failed because the server is unreachable",
    ):
        fetch(toy(server), project, mirror="http://user:secret@127.0.0.1:9", patience=QUICK)
