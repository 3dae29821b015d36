"""Exports of each format, valid or nearly so: one function each, and one line in ``FORMATS``."""

import csv
import datetime
import io
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.fuzz import exports
from benchmarks.fuzz.drawing import PLAIN, SPLITS, Export, file, label, labels, listed, times
from benchmarks.fuzz.long_tables import long_table
from benchmarks.fuzz.mutation import LABELS, NAMES, pick, structure, text

ROOTS = (
    ({"id": 1, "name": "cat", "supercategory": "none"}, {"id": 3, "name": "dog", "supercategory": "cat"}),
    ({"id": 1, "name": "cat"}, {"id": 3, "name": "cat "}),
    ({"id": 1, "name": "cat", "supercategory": "dog"}, {"id": 3, "name": "dog", "supercategory": "cat"}),
)
"""Categories with a root, with one name twice, and with a loop."""


def coco(rng: Random) -> Export:
    def instances(start: int) -> bytes:
        ids = [pick(rng, (i,), chance=0.03) for i in range(start, start + rng.randrange(5))]
        name = pick(rng, ("file_name",), ("coco_url",), 0.1)
        known = {"neg_category_ids": [rng.choice((1, 3))]} if rng.random() < 0.2 else {}
        names = pick(rng, (({"id": 3, "name": "cat"}, {"id": 1, "name": "dog"}),), ROOTS, 0.2)
        value = {
            "images": [{"id": i, name: file(rng), "width": 4, "height": 3, **known} for i in ids],
            "annotations": [
                {
                    "id": n,
                    "image_id": rng.choice(ids),
                    "category_id": rng.choice((1, 3)),
                    "bbox": [0, 0, 1, float("nan")],
                }
                for n in range(rng.randrange(6) if ids else 0)
            ],
            "categories": [dict(item) for item in names],
        }
        return text(rng, structure(rng, value, times(rng)))

    names = rng.choice((("train",), ("train", "test"), SPLITS))
    step = rng.choice((0, 100, 100))
    files = {f"{name}.json": instances(step * i) for i, name in enumerate(names)}
    return files, {"annotations": {n: f"{n}.json" for n in names}, "images": {n: n for n in names}}


def sheet(rng: Random, wide: bool) -> tuple[list[str], list[list[Any]], dict[str, Any]]:
    """Draw columns and rows of a table, with labels in one column, or a column for each class."""
    columns = ["file", *(["cat", "dog"] if wide else ["labels"]), *(["split"] if rng.random() < 0.4 else [])]
    columns += [
        pick(rng, ("camera", "iso"), (*LABELS, "sha256", "file", "width"), 0.1) for _ in range(rng.randrange(2))
    ]
    rows = []
    for _ in range(rng.randrange(7)):
        row: dict[str, Any] = {
            "file": file(rng),
            "labels": labels(rng),
            "split": pick(rng, ("", *SPLITS), ("dev", None)),
        }
        row |= {name: pick(rng, ("0", "1", "", "true")) for name in ("cat", "dog")}
        rows.append([row.get(name, pick(rng, ("x", "1", "2.5", ""))) for name in columns])
    return columns, rows, {"slices": ["camera", "iso"]} if wide and rng.random() < 0.8 else {}


def csv_file(rng: Random) -> Export:
    settings: dict[str, Any] = {}
    wide = rng.random() < 0.5

    def rows() -> bytes:
        columns, rows, more = sheet(rng, wide)
        settings.update(more)
        out = io.StringIO()
        writer = csv.writer(
            out, lineterminator=rng.choice(("\n", "\r\n", "\r")), delimiter=pick(rng, (",",), (";", "\t"))
        )
        writer.writerow(columns)
        cells = [
            [";".join(c) if isinstance(c, list) and all(type(x) is str for x in c) else c for c in row] for row in rows
        ]
        writer.writerows(
            rng.choice((row, row, row, row[:-1], [*row, "x"])) if rng.random() < 0.05 else row for row in cells
        )
        return out.getvalue().encode("utf-8", "surrogatepass")

    files, ingest = listed(rng, "csv", ".csv", rows)
    return files, {**ingest, **settings}


def parquet(rng: Random) -> Export:
    settings: dict[str, Any] = {}
    wide = rng.random() < 0.5
    odd = (
        pa.array([datetime.datetime(9999, 12, 31)], pa.timestamp("us")), pa.array([2**62], pa.timestamp("us")),
        pa.array([-(2**62)], pa.date64()), pa.array([1], pa.duration("ns")), pa.array([Decimal("1.5")]),
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), pa.array([{"a": [1]}]), pa.array([b"\xff\0"]),
        pa.array(["a"]).dictionary_encode(), pa.array([1], pa.dictionary(pa.int8(), pa.int64())), pa.nulls(1),
        pa.array([float("nan")], pa.float16()), pa.array([True]), pa.array([[["cat"]]]), pa.array([[1, None]]),
        pa.array([2**64 - 1], pa.uint64()), pa.array([1], pa.time32("s")), pa.array(["z" * 99], pa.large_string()),
    )  # fmt: skip

    def column(values: list[Any]) -> pa.Array:
        if rng.random() < 0.08:
            array = rng.choice(odd)
            return pa.concat_arrays([array] * len(values)) if values else array[:0]
        try:
            return pa.array(values)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return pa.array([ascii(value) for value in values])

    def rows() -> bytes:
        columns, rows, more = sheet(rng, wide)
        settings.update(more)
        out = io.BytesIO()
        rows = [[None if cell == {} else cell for cell in row] for row in rows]  # Parquet has no empty struct
        arrays = [column([row[i] for row in rows]) for i in range(len(columns))]
        names = [name.encode("utf-8", "replace").decode() for name in columns]
        pq.write_table(
            pa.Table.from_arrays(arrays, names), out, compression=rng.choice(("none", "snappy", "zstd", "gzip")),
            data_page_version=rng.choice(("1.0", "2.0")), use_dictionary=rng.random() < 0.5,
        )  # fmt: skip
        return out.getvalue()

    files, ingest = listed(rng, "parquet", ".parquet", rows)
    return files, {**ingest, **settings}


def jsonl(rng: Random) -> Export:
    def line() -> bytes:
        kind = rng.randrange(4)
        fields: dict[str, Any] = (
            {"labels": labels(rng)}, {"label": label(rng)}, {"labels": [rng.randrange(3) for _ in range(2)]},
            {"objects": {"bbox": [], "categories": [rng.randrange(3)]}},
        )[kind]  # fmt: skip
        return text(rng, structure(rng, {"file_name": file(rng), **fields, "camera": "x", "iso": 100}, times(rng) // 2))

    files, settings = listed(rng, "jsonl", ".jsonl", lambda: b"\n".join(line() for _ in range(rng.randrange(6))))
    feature = {"feature": {"names": ["cat", "dog", "sofa"], "_type": "ClassLabel"}}
    if rng.random() < 0.4:
        about = structure(rng, {"features": {"labels": feature, "label": feature}}, times(rng))
        files["dataset_info.json"] = text(rng, about)
    elif rng.random() < 0.5:
        about = structure(
            rng, [{"name": "labels", "sequence": {"class_label": {"names": {"0": "cat", "1": "dog"}}}}], times(rng)
        )
        files["README.md"] = b"---\ndataset_info:\n  features: " + text(rng, about) + b"\n---\n# Photos\n"
    return files, settings


def folder(rng: Random) -> Export:
    odd = (*(name for name in NAMES if "/" not in name), "\udcff", "..data", ".hidden")
    images = pick(
        rng, ({"train": "."}, {"train": "", "test": "test"}, {"train": "train", "test": "test"}), ({"test": "."},)
    )

    def place(i: int) -> str:
        start = [rng.choice(tuple(images.values()))] if "." not in images.values() else []
        parts = [pick(rng, ("cat", "dog", "cat;dog"), odd, 0.1) for _ in range(pick(rng, (0, 1, 1, 1, 2, 3), (200,)))]
        return "/".join(
            [*(part for part in start if part), *parts, f"{i}.{pick(rng, ('jpg', 'PNG'), ('txt', 'jpg '), 0.1)}"]
        )

    return {place(i): b"" for i in range(rng.randrange(7))}, {"format": "folder", "annotations": {}, "images": images}


def yolo(rng: Random) -> Export:
    return exports.darknet(rng) if rng.random() < 0.3 else _ultralytics(rng)


def _ultralytics(rng: Random) -> Export:
    value: dict[str, Any] = {
        "path": rng.choice((".", "../datasets/x", "/abs")),
        "train": "images/train",
        "val": "images/val",
    }
    value |= {"names": rng.choice((["cat", "dog"], {0: "cat", 1: "dog"})), "nc": 2}
    files = {"data.yaml": text(rng, structure(rng, value, times(rng)))}
    if rng.random() < 0.1:
        files["data.yaml"] += rng.choice(
            (b"\nx: &a [*a, *a]", b"\nx: !!python/object:os.system {}", b"\n? [a]\n: b", b"\n- a")
        )
    for split in ("train", "val"):
        files[f"images/{split}/about.txt"] = b""
        for i in range(rng.randrange(4)):
            name = f"{split}{i}" if rng.random() < 0.9 else rng.choice(NAMES).replace("/", "_")
            files[f"images/{split}/{name}.jpg"] = b""
            lines = [
                pick(rng, ("0 .5 .5 1 1", "1 .1 .1 nan 1"), ("", "2 0", "-1", "x", "1.0 1", "9" * 99, "٣"))
                for _ in range(2)
            ]
            files[f"labels/{split}/{name}.txt"] = "\n".join(map(str, lines)).encode()
    if rng.random() < 0.1:
        files["images/train.txt"] = "\n".join(map(str, (file(rng) for _ in range(3)))).encode("utf-8", "surrogatepass")
    return files, {"format": "yolo", "annotations": {"train": "data.yaml"}, "images": {}}


def labelstudio(rng: Random) -> Export:
    def result() -> dict[str, Any]:
        kind = rng.choice(("choices", "rectanglelabels", "labels", "text"))
        return {"type": kind, "value": {kind: labels(rng), "x": 1.0}, "from_name": "a", "to_name": "image"}

    def address() -> Any:
        start = rng.choice(
            ("", "/data/upload/1/0a1b2c3d-", "/data/local-files/?d=b/", "https://h/x/", "s3://b/", "http://[::1/")
        )
        return f"{start}{file(rng)}"

    def tasks() -> bytes:
        value = [
            {
                "id": i,
                "data": {rng.choice(("image", "image", "photo")): address()},
                "annotations": [
                    {"result": [result() for _ in range(2)], "was_cancelled": rng.random() < 0.1}
                    for _ in range(rng.randrange(3))
                ],
            }
            for i in range(rng.randrange(5))
        ]
        return text(rng, structure(rng, value, times(rng)))

    files, settings = listed(rng, "labelstudio", ".json", tasks, rng.choice(("", ".", "photos")))
    return {**files, **dict.fromkeys(PLAIN[:3], b"")}, settings


def voc(rng: Random) -> Export:
    files: dict[str, bytes] = {}
    names = {"train": "trainval", "test": "test"}
    for number, name in enumerate(names.values()):
        ids = [pick(rng, (f"{number}{i:05d}",), NAMES, 0.05) for i in range(rng.randrange(4))]
        lines = [pick(rng, (str(i),), (f"{i} 1", "", "\t")) for i in ids]
        files[f"V/ImageSets/Main/{name}.txt"] = "\n".join(map(str, lines)).encode("utf-8", "surrogatepass")
        for image in ids:
            objects = [
                f"<object><name>{label(rng)}</name><difficult>{pick(rng, (0, 1))}</difficult></object>"
                for _ in range(rng.randrange(3))
            ]
            odd = (
                "<a>" * 10_000,
                '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
                "&nbsp;",
                "<![CDATA[",
                '<?xml version="1.1"?>',
            )
            body = f"<annotation>{''.join(objects)}</annotation>"
            body = pick(rng, (body,), (*(o + body for o in odd), body.replace("name", "Name"), f"<x>{body}</x>"), 0.1)
            files[f"V/Annotations/{image}.xml"] = body.encode("utf-8", "surrogatepass")
    lists = {split: f"V/ImageSets/Main/{name}.txt" for split, name in names.items()}
    return files, {
        "format": "voc",
        "annotations": lists,
        "images": {},
        "difficult": rng.choice(("negative", "ignore", "positive")),
    }


def nuswide(rng: Random) -> Export:
    images = [f"b\\{i}.jpg" for i in range(4)]
    photos = {f"Flickr/b/{i}.jpg": b"" for i in range(4) if rng.random() < 0.8}
    if rng.random() < 0.8:  # the official form is 164 files
        out = io.StringIO()
        rows = [
            [file(rng), pick(rng, ("['sky']", "[]", "['clouds', 'sky']"), LABELS), pick(rng, ("train", "val"))]
            for _ in range(4)
        ]
        csv.writer(out).writerows(
            [
                ["filepath", "label", "split_name"],
                *rows,
                *([name.replace("\\", "/"), "['sky']", "train"] for name in images),
            ]
        )
        settings = {"annotations": {"train": "nus.csv"}, "images": {"train": "Flickr"}}
        return {**photos, "nus.csv": out.getvalue().encode("utf-8", "surrogatepass")}, {"format": "nuswide", **settings}
    from sadcl.data.sources.nuswide import CLASSES  # type: ignore[import-not-found,unused-ignore]

    files = dict(photos)
    for part, names in (("Train", images[:2]), ("Test", images[2:])):
        lines = [pick(rng, (name,), NAMES, 0.03) for name in names]
        files[f"ImageList/{part}Imagelist.txt"] = "\n".join(map(str, lines)).encode("utf-8", "surrogatepass")
        for concept in CLASSES:
            flags = (
                [pick(rng, ("0", "1"), ("2", "", "x", "0 1"), 0.003) for _ in names]
                if rng.random() < 0.5
                else ["0", "1"]
            )
            files[f"Groundtruth/TrainTestLabels/Labels_{concept}_{part}.txt"] = "\n".join(flags).encode()
    lists = {"train": "ImageList/TrainImagelist.txt", "test": "ImageList/TestImagelist.txt"}
    more = {"random_test": rng.choice((1, 2, 9))} if rng.random() < 0.2 else {}
    return files, {"format": "nuswide", "annotations": lists, "images": {"train": "Flickr"}, **more}


def vg500(rng: Random) -> Export:
    names = {split: [file(rng) for _ in range(rng.randrange(4))] for split in ("train", "test")}
    index = {str(name): [rng.randrange(500) for _ in range(2)] for images in names.values() for name in images}
    files = {f"{s}.txt": "\n".join(map(str, images)).encode("utf-8", "surrogatepass") for s, images in names.items()}
    files["index.json"] = text(rng, structure(rng, index, times(rng)))
    lists = {split: f"{split}.txt" for split in names}
    return files, {"format": "vg500", "annotations": lists, "images": {"train": "images"}, "index": "index.json"}


FORMATS: dict[str, Callable[[Random], Export]] = {
    "coco": coco, "csv": csv_file, "folder": folder, "jsonl": jsonl, "labelstudio": labelstudio, "nuswide": nuswide,
    "parquet": parquet, "rows": long_table, "vg500": vg500, "voc": voc, "yolo": yolo, **exports.FORMATS,
}  # fmt: skip
