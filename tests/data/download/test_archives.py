"""Unpacking untrusted archives: every wanted file is written, and nothing outside the folder."""

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sadcl import files
from sadcl.data.download import archives
from sadcl.errors import SadclError

Entries = dict[str, bytes]
Edit = Callable[[tarfile.TarInfo], None]


def zipped(path: Path, entries: Entries, mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, mode << 16
            file.writestr(info, data)
    return path


def tarred(path: Path, entries: Entries, edit: Edit = lambda info: None) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as file:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            edit(info)
            file.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return path


def archived(path: Path, entries: Entries) -> Path:
    return zipped(path, entries) if path.suffix == ".zip" else tarred(path, entries)


def unpacked(archive: Path, **options: object) -> archives.Unpacked:
    """Unpack into a folder that appears complete or not at all, as ``fetch`` does."""
    with files.atomic_directory(archive.parent / "out" / "set") as staging:
        return archives.unpack(archive, staging, **options)  # type: ignore[arg-type]


def tree(folder: Path) -> Entries:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(archive: Path, sentence: str, **options: object) -> None:
    before = tree(archive.parent)
    with pytest.raises(SadclError, match=sentence):
        unpacked(archive, **options)
    assert tree(archive.parent) == before
    assert not any((archive.parent / "out").iterdir())


@pytest.fixture(params=["a.zip", "a.tar", "a.tar.gz"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def test_unpacking_writes_every_file(path: Path) -> None:
    entries = {"set/a/1.jpg": b"one", "set/b.txt": b"", "./set/ü 2.jpg": os.urandom(3_000_000)}
    summary = unpacked(archived(path, entries))
    assert tree(path.parent / "out/set") == {name.removeprefix("./"): data for name, data in entries.items()}
    assert (summary.files, summary.bytes, summary.clashes) == (3, 3_000_003, [])


def test_keep_drop_and_into_select_and_rename_files(path: Path) -> None:
    archived(path, {"VG_100K/1.jpg": b"1", "VG_100K/notes.txt": b"2", "3.jpg": b"3"})
    unpacked(path, keep=("*.jpg",), drop="VG_100K", into="images")
    assert tree(path.parent / "out/set") == {"images/1.jpg": b"1", "images/3.jpg": b"3"}


@pytest.mark.parametrize("name", ["/tmp/x", "../x", "a/../../x", "a\\..\\..\\x", "C:/x", "C:\\x", "a/.."])
def test_a_path_that_leaves_the_folder_is_refused(path: Path, name: str) -> None:
    refused(archived(path, {"good": b"1", name: b"2"}), "leaves its folder")


def test_an_unsafe_path_is_refused_even_where_keep_leaves_it_out(path: Path) -> None:
    refused(archived(path, {"good": b"1", "../x": b"2"}), "leaves its folder", keep=("good",))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "good"])
def test_a_link_in_a_tar_is_refused(tmp_path: Path, kind: bytes, target: str) -> None:
    def link(info: tarfile.TarInfo) -> None:
        if info.name == "link":
            info.type, info.linkname, info.size = kind, target, 0

    refused(tarred(tmp_path / "a.tar", {"good": b"1", "link": b"", "link/x": b"2"}, link), "holds a link")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_device_or_special_file_in_a_tar_is_refused(tmp_path: Path, kind: bytes) -> None:
    def special(info: tarfile.TarInfo) -> None:
        info.type, info.size = kind, 0

    refused(tarred(tmp_path / "a.tar", {"x": b""}, special), "device or special file")


@pytest.mark.parametrize(("mode", "sentence"), [(0o120777, "a link"), (0o020666, "device"), (0o010666, "device")])
def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path, mode: int, sentence: str) -> None:
    refused(zipped(tmp_path / "a.zip", {"x": b"/etc/passwd"}, mode), sentence)


def test_file_modes_of_the_archive_are_ignored(tmp_path: Path) -> None:
    unpacked(tarred(tmp_path / "a.tar", {"x": b"1"}, lambda info: setattr(info, "mode", 0o4777)))
    assert (tmp_path / "out/set/x").stat().st_mode & 0o7111 == 0


def test_names_that_differ_only_by_case_are_reported(path: Path) -> None:
    summary = unpacked(archived(path, {"a/Cat.jpg": b"1", "a/cat.JPG": b"2", "A/other.jpg": b"3"}))
    assert summary.clashes == [("a/Cat.jpg", "a/cat.JPG")]
    assert summary.files == 3


def test_a_second_file_of_one_name_is_refused_unless_identical(tmp_path: Path) -> None:
    first, same = tarred(tmp_path / "1.tar", {"x": b"abc"}), tarred(tmp_path / "2.tar", {"x": b"abc"})
    for content in (b"abd", b"ab", b"abcd"):
        different = tarred(tmp_path / "3.tar", {"x": content})
        with files.atomic_directory(tmp_path / "set") as staging:
            archives.unpack(first, staging)
            archives.unpack(same, staging)
            with pytest.raises(SadclError, match="Two different files have the name 'x'"):
                archives.unpack(different, staging)


def test_a_file_in_the_place_of_a_folder_is_refused(path: Path) -> None:
    refused(archived(path, {"a": b"1", "a/b": b"2"}), "can't be unpacked")
    refused(archived(path, {"a/b": b"1", "a": b"2"}), "can't be unpacked")


@pytest.mark.parametrize("name", ["n" * 256, "/".join(["n" * 100] * 11), "a\nb", "a\x7f\x1b[2J"])
def test_invalid_and_overlong_names_are_refused(path: Path, name: str) -> None:
    refused(archived(path, {name: b"1"}), "too long|invalid name")


def test_a_decompression_bomb_is_refused_at_the_bound(tmp_path: Path) -> None:
    for archive in (tmp_path / "a.zip", tmp_path / "a.tar.gz"):
        archived(archive, {"zeros": bytes(50_000_000)})
        assert archive.stat().st_size < 100_000
        refused(archive, "far more than it should", bound=1_000_000)


def test_many_empty_files_count_towards_the_bound(path: Path) -> None:
    refused(archived(path, {f"{i}": b"" for i in range(300)}), "far more than it should", bound=1_000_000)


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"zeros": bytes(5_000_000)})
    data = archive.read_bytes()
    size = (5_000_000).to_bytes(4, "little")
    assert data.count(size) == 2
    archive.write_bytes(data.replace(size, (100).to_bytes(4, "little")))
    refused(archive, "damaged")


def test_a_header_that_claims_gigabytes_fills_no_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 3 << 30
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(20 << 20)))
    refused(archive, "claims 3,221,225,472 bytes")


def test_a_truncated_archive_is_refused(path: Path) -> None:
    archived(path, {f"{i}.bin": os.urandom(20_000) for i in range(5)})
    whole = path.read_bytes()
    for length in (0, 100, 20_992, 21_504, len(whole) // 2, len(whole) - 12_000 if path.suffix == ".tar" else -5):
        path.write_bytes(whole[:length])
        refused(path, "damaged")


def test_a_broken_header_in_the_middle_is_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", {"1": b"x" * 512, "2": b"y" * 512, "3": b"z"})
    data = bytearray(archive.read_bytes())
    data[1024 + 150] ^= 1  # in the checksum of the second header
    archive.write_bytes(data)
    refused(archive, "a header is broken")


def test_a_flipped_bit_in_a_zip_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"x": os.urandom(10_000)})
    data = bytearray(archive.read_bytes())
    data[5_000] ^= 1
    archive.write_bytes(data)
    refused(archive, "damaged")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"x": b"1"})
    data = bytearray(archive.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    refused(archive, "encrypted")


def test_a_file_that_is_no_archive_is_refused(path: Path) -> None:
    path.write_bytes(b"<html>404</html>" * 100)
    refused(path, "damaged|can't be unpacked")
