"""Places: what a folder and a list contain, sorted by path."""

import csv
import gzip
import json
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sadcl.batch import listing
from sadcl.batch.reading import Photos
from sadcl.data.manifest import Manifest, write
from sadcl.errors import SadclError
from tests.batch.conftest import write_photo


def paths(place: Path) -> list[str]:
    return [path for path, _, _ in listing.find(str(place)).rows()]


def test_photos_of_a_folder_come_in_the_order_of_their_paths(photos: Path) -> None:
    expected = sorted(
        str(path.relative_to(photos)) for path in photos.rglob("*")
        if path.suffix.lower() in (".jpg", ".png", ".webp") and not path.name.startswith(".")
    )  # fmt: skip
    assert paths(photos) == expected
    assert expected.index("a.jpg") < expected.index("a/1.jpg")  # not the order in which folders are walked


def test_many_and_deep_folders_are_listed(tmp_path: Path) -> None:
    names = [f"{i % 30}/{i % 7}/{i}.jpg" for i in range(500)] + ["d/" * 300 + "deep.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert paths(tmp_path) == sorted(names)


def test_links_are_followed_unless_they_lead_upwards(tmp_path: Path) -> None:
    write_photo(tmp_path / "elsewhere/1.jpg", 0)
    write_photo(tmp_path / "place/2.jpg", 1)
    (tmp_path / "place/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "place/up").symlink_to(tmp_path / "place")
    (tmp_path / "place/nowhere.jpg").symlink_to(tmp_path / "none.jpg")
    assert paths(tmp_path / "place") == ["2.jpg", "linked/1.jpg", "nowhere.jpg"]


def test_each_folder_is_listed_once_whatever_links_lead_to_it(tmp_path: Path) -> None:
    for seed, name in enumerate(["place/z/1.jpg", "one/2.jpg", "two/3.jpg", "place/.hidden/4.jpg"]):
        write_photo(tmp_path / name, seed)
    (tmp_path / "place/itself").symlink_to("itself")
    (tmp_path / "place/a").symlink_to(tmp_path / "place/z")
    (tmp_path / "place/b").symlink_to(tmp_path / "one")
    (tmp_path / "place/c").symlink_to(tmp_path / "one")
    (tmp_path / "place/h").symlink_to(tmp_path / "place/.hidden")
    (tmp_path / "one/two").symlink_to(tmp_path / "two")
    (tmp_path / "two/one").symlink_to(tmp_path / "one")
    assert paths(tmp_path / "place") == ["b/2.jpg", "b/two/3.jpg", "h/4.jpg", "z/1.jpg"]


@pytest.mark.parametrize("name", ["a\udcff.jpg", "a\udcff/1.jpg"])
def test_a_name_that_is_no_text_is_named(name: str, tmp_path: Path) -> None:
    write_photo(tmp_path / "photo.jpg", 0)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(SadclError, match=r"(file|folder) name a\\xff(.jpg)? is not UTF-8"):
        paths(tmp_path)
    if "/" in name:
        with pytest.raises(SadclError, match=r"folder name .*a\\xff is not UTF-8"):
            paths((tmp_path / name).parent)


def test_a_named_pipe_is_no_photo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.jpg")
    with pytest.raises(SadclError, match="no regular file"):
        Photos(str(tmp_path)).read("1.jpg", 0, None)


def test_paths_of_a_list_in_the_topmost_folder_are_below_it() -> None:
    assert listing.find("/none.csv").root == "/"


def test_a_list_of_pandas_has_missing_sizes(tmp_path: Path) -> None:
    columns = {"path": ["s3://a/1.jpg", "s3://a/2.jpg"], "size": [float("nan"), 12.0], "etag": ["x", float("nan")]}
    pd.DataFrame(columns).to_csv(tmp_path / "1.csv", index=False, na_rep="NaN")
    pq.write_table(pa.table({**columns, "etag": ["x", None]}), tmp_path / "2.parquet")
    for name in ("1.csv", "2.parquet"):
        rows = list(listing.find(str(tmp_path / name)).rows())
        assert rows == [("s3://a/1.jpg", None, "x"), ("s3://a/2.jpg", 12, None)]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A folder of three photos for lists."""
    for seed, name in enumerate(["b.jpg", "a/1.jpg", "c.jpg"]):
        write_photo(tmp_path / name, seed)
    return tmp_path


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz"])
def test_a_list_names_photos_next_to_it(kind: str, listed: Path) -> None:
    names = ["c.jpg", "a/1.jpg", str(listed / "b.jpg"), "c.jpg", "gone.jpg"]
    file = listed / f"list.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"Path": names, "other": [[1]] * len(names)}), file)
    else:
        text = "\n".join(["\ufeffpath,note", *(f'{name},"a, b"' for name in names), ""])
        file.write_bytes(gzip.compress(text.encode()) if kind == "csv.gz" else text.encode())
    rows = list(listing.find(str(file)).rows())
    assert [path for path, _, _ in rows] == sorted(set(names))
    status = (listed / "c.jpg").stat()
    assert ("c.jpg", status.st_size, str(status.st_mtime_ns)) in rows
    assert ("gone.jpg", None, None) in rows


def test_an_inventory_of_s3_keeps_sizes_and_etags(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "1.csv.gz", "wt", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(
            [["photos", "b+1%2B.jpg", "7", "x"], ["photos", "a.jpg", "", ""]]
        )
    about = {
        "destinationBucket": "arn:aws:s3:::lists", "fileFormat": "CSV", "fileSchema": "Bucket, Key, Size, ETag",
        "files": [{"key": "deep/1.csv.gz"}],
    }  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps(about))
    rows = list(listing.find(str(tmp_path / "manifest.json")).rows())
    assert rows == [("s3://photos/a.jpg", None, None), ("s3://photos/b 1+.jpg", 7, "x")]


VERSIONS = [
    # bucket, key, size, is latest, is delete marker
    ("photos", "a.jpg", 9, True, False),
    ("photos", "a.jpg", 7, False, False),
    ("photos", "deleted.jpg", None, True, True),
    ("photos", "deleted.jpg", 5, False, False),
    ("photos", "folder/", 0, True, False),
    ("photos", "notes.txt", 5, True, False),
    ("photos", "b/.hidden.jpg", 5, True, False),
    ("photos", "b/@eaDir/c.jpg", 5, True, False),
    ("photos", "b/c.JPG", 3, True, False),
]


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
def test_an_inventory_of_all_versions_lists_the_latest_photos(kind: str, tmp_path: Path) -> None:
    about = {
        "destinationBucket": "arn:aws:s3:::lists", "fileFormat": kind, "files": [{"key": "deep/1"}],
        "fileSchema": "Bucket, Key, Size, IsLatest, IsDeleteMarker",
    }  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps(about))
    if kind == "CSV":
        with (tmp_path / "1").open("w", newline="") as file:
            csv.writer(file).writerows(
                (bucket, key, size, str(latest).lower(), str(deleted).lower())
                for bucket, key, size, latest, deleted in VERSIONS
            )
    else:
        names = ("bucket", "key", "size", "is_latest", "is_delete_marker")
        pq.write_table(pa.table(dict(zip(names, map(list, zip(*VERSIONS, strict=True)), strict=True))), tmp_path / "1")
    rows = list(listing.find(str(tmp_path / "manifest.json")).rows())
    assert rows == [("s3://photos/a.jpg", 9, None), ("s3://photos/b/c.JPG", 3, None)]


def test_a_list_keeps_names_that_a_folder_would_not_list(tmp_path: Path) -> None:
    names = [".hidden.jpg", "@eaDir/1.jpg", "photo", "s3://photos/key-without-suffix"]
    (tmp_path / "list.csv").write_text("\n".join(["path", *names]))
    assert paths(tmp_path / "list.csv") == names


def test_a_list_with_buckets_may_have_empty_cells(tmp_path: Path) -> None:
    rows = {"bucket": ["photos", "photos", "photos", None], "key": ["1.jpg", None, "", "2.jpg"]}
    pq.write_table(pa.table(rows), tmp_path / "1.parquet")
    (tmp_path / "2.csv").write_text("bucket,key\nphotos,1.jpg\nphotos,\n,2.jpg\n")
    for name in ("1.parquet", "2.csv"):
        assert paths(tmp_path / name) == ["2.jpg", "s3://photos/1.jpg"]


def test_a_list_with_two_columns_of_one_name_is_a_sentence(tmp_path: Path) -> None:
    column = pa.array(["1.jpg"])
    pq.write_table(pa.Table.from_arrays([column, column], ["path", "path"]), tmp_path / "1.parquet")
    pq.write_table(pa.Table.from_arrays([column, column], ["path", "Path"]), tmp_path / "2.parquet")
    (tmp_path / "3.csv").write_text("path,Path\n1.jpg,2.jpg\n")
    for name in ("1.parquet", "2.parquet", "3.csv"):
        with pytest.raises(SadclError, match=rf"can't be read: it has several columns `path` .*{name}"):
            paths(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"photo,label\n1.jpg,cat\n", "no column `path` or `key`, only photo, label"),
        ("a.csv", b"path\n\xff.jpg\n", "can't be read: 'utf-8'"),
        ("a.csv", b"path,x\n1.jpg\n", "lines differ in length"),
        ("a.csv", b"path,size\n1.jpg,many\n", "can't be read: invalid literal"),
        ("a.csv.gz", b"\x1f\x8bnothing", "can't be read"),
        ("a.csv.gz", gzip.compress(b"path\n1.jpg\n", mtime=0)[:10] + b"\xff" * 20, "can't be read: Error -3"),
        ("a.parquet", b"PAR1", "can't be read"),
        ("manifest.json", b"{}", "can't be read: 'destinationBucket'"),
        ("manifest.json", b"[1]", "can't be read"),
        (
            "manifest.json",
            b'{"destinationBucket": "a", "files": [], "fileFormat": "ORC", "fileSchema": ""}',
            "inventory in ORC",
        ),
    ],
)
def test_a_list_that_is_none_is_a_sentence(name: str, content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SadclError) as error:
        paths(tmp_path / name)
    assert sentence in str(error.value)
    assert name in str(error.value)


def test_a_manifest_gives_any_rows_back(tmp_path: Path) -> None:
    rows = [(f"{i:06d}.jpg", i, None if i % 3 else str(i)) for i in range(150_000)]
    write(tmp_path / "manifest", "place", rows)
    manifest = Manifest(tmp_path / "manifest")
    assert (len(manifest), manifest.place) == (150_000, "place")
    for first, count in ((0, 1), (65_530, 10), (131_071, 1), (149_990, 10), (60_000, 80_000)):
        columns = manifest.rows(first, count).to_pydict().values()
        assert list(zip(*columns, strict=True)) == rows[first : first + count]
    manifest.close()


def test_a_damaged_manifest_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "manifest").write_bytes(b"no parquet")
    with pytest.raises(SadclError, match="The manifest can't be read"):
        Manifest(tmp_path / "manifest")
