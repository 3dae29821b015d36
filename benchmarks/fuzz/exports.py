"""Exports of labelling tools, valid or nearly so: one function each, and one entry in ``FORMATS``."""

import csv
import io
import json
from collections.abc import Callable
from random import Random
from typing import Any
from xml.sax.saxutils import quoteattr

from benchmarks.fuzz.drawing import PLAIN, Export, file, label, labels, listed, times
from benchmarks.fuzz.mutation import NAMES, pick, structure, text

ODD_XML = ("<a>" * 10_000, '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "&nbsp;", "<![CDATA[", '<?xml version="1.1"?>')


def xml(rng: Random, root: str, body: str) -> bytes:
    """An XML file that may have another root, or odd content before its body."""
    whole = f"<{root}>{body}</{root}>"
    odd = (*(start + whole for start in ODD_XML), *(f"<{root}>{o}{body}</{root}>" for o in ODD_XML), f"<x>{whole}</x>")
    return str(pick(rng, (whole,), odd, 0.1)).encode("utf-8", "surrogatepass")


def attribute(name: str, value: Any) -> str:
    return f" {name}={quoteattr(str(value))}"


def cvat(rng: Random) -> Export:
    def image(i: int) -> str:
        names = attribute("name", file(rng)) if rng.random() < 0.97 else ""
        subset = attribute("subset", pick(rng, ("train", "Test", "other"), NAMES)) if rng.random() < 0.3 else ""
        kind = rng.choice(("tag", "box", "mask"))
        inner = [f"<{kind}{attribute('label', name)}/>" for name in labels(rng)]
        return f'<image id="{i}"{names}{subset}>{"".join(inner)}</image>'

    def export() -> bytes:
        names = "".join(f"<label><name>{name}</name></label>" for name in ("cat", "dog", "sofa"))
        meta = pick(rng, ("", f"<meta><task><labels>{names}</labels></task></meta>"), ("<meta><labels><label/>",))
        return xml(rng, "annotations", meta + "".join(image(i) for i in range(rng.randrange(6))))

    files, settings = listed(rng, "cvat", ".xml", export)
    return {**files, **dict.fromkeys((f"images/{name}" for name in PLAIN[:3]), b"")}, settings


def datumaro(rng: Random) -> Export:
    def item(i: int) -> dict[str, Any]:
        name = file(rng)
        image = rng.choice(({"image": {"path": name, "size": [3, 4]}}, {"media": {"path": name}}, {}))
        marks = [{"type": "label", "label_id": pick(rng, (0, 1, 2)), "points": [1.5]} for _ in range(rng.randrange(3))]
        return {"id": str(i), "annotations": marks, **image}

    def export() -> bytes:
        names = [{"name": label(rng), "parent": pick(rng, ("", "", "cat"))} for _ in range(3)]
        categories = {"label": {"labels": names, "attributes": []}}
        value = {"info": {}, "categories": categories, "items": [item(i) for i in range(rng.randrange(6))]}
        return text(rng, structure(rng, value, times(rng)))

    return listed(rng, "datumaro", ".json", export)


def yolo_line(rng: Random) -> str:
    odd = ("", "9 0", "-1", "x", "1.5 1", "9" * 99, "٣", "1e400 1 1 1 1", "nan 1")
    return str(pick(rng, ("0 .5 .5 1 1", "1 .1 .1 nan 1", "1.000e+00 1 1 1 1", "0 1 1 2 2 3 3"), odd, 0.04))


def yolo_labels(rng: Random) -> bytes:
    return "\n".join(yolo_line(rng) for _ in range(rng.randrange(3))).encode()


def yolo_classes(rng: Random) -> Export:
    name = rng.choice(("classes.txt", "obj.names", "labels/classes.txt", "e/_darknet.labels"))
    names = rng.sample(("cat", "dog", "sofa"), 3) if rng.random() < 0.9 else [str(label(rng)) for _ in range(2)]
    files = {name: "\n".join(names).encode("utf-8", "surrogatepass"), "images/0.jpg": b""}
    for i in range(rng.randrange(5)):
        folder = rng.choice(("images/", "images/train/", "e/", "", "val/"))
        files[f"{folder}{i}.jpg"] = b""
        files[f"{folder.replace('images', 'labels')}{i}.txt"] = yolo_labels(rng)
    images = pick(rng, ({}, {"train": "images"}), ({"train": ".."}, {"train": "none"}))
    return files, {"format": "yolo_classes", "annotations": {"train": name}, "images": images}


def darknet(rng: Random) -> Export:
    files = {"obj.names": b"cat\ndog\n" if rng.random() < 0.9 else str(label(rng)).encode("utf-8", "surrogatepass")}
    entries = ["classes = 2", "train = data/train.txt", "names = data/obj.names", "valid = /x/valid.txt"]
    files["obj.data"] = "\n".join(pick(rng, (entry,), ("", "train =", "x", "test = \0")) for entry in entries).encode()
    for split in ("train", "valid"):
        names = [file(rng) for _ in range(rng.randrange(4))]
        start = rng.choice(("", "data/", "/home/x/", "C:\\x\\"))
        files[f"{split}.txt"] = "\n".join(f"{start}{name}" for name in names).encode("utf-8", "surrogatepass")
        files |= {name.replace(".jpg", ".txt"): yolo_labels(rng) for name in PLAIN[:5]}
    return files, {"format": "yolo", "annotations": {"train": "obj.data"}, "images": {}}


def voc_xml(rng: Random) -> Export:
    start = rng.choice(("", "Annotations/", "train/"))
    files: dict[str, bytes] = {}
    for i in range(rng.randrange(5)):
        marks = [f"<object><name>{name}</name><difficult>{i % 2}</difficult></object>" for name in labels(rng)]
        name = pick(rng, ("", f"<filename>{i}.jpg</filename>"), (f"<filename>{file(rng)}</filename>", "<object/>"), 0.2)
        files[f"{start}{pick(rng, ('', 'a/'), chance=0)}{i}.xml"] = xml(rng, "annotation", name + "".join(marks))
        files[f"{rng.choice(('JPEGImages/', start))}{i}.jpg"] = b""
    if rng.random() < 0.5:
        lines = [pick(rng, (str(i), f"{i}  1", f"{i} 0"), ("", "9", "a b c", "\0")) for i in range(4)]
        for name in ("train", "test", "cat_train"):
            files[f"ImageSets/Main/{name}.txt"] = "\n".join(lines).encode()
    folders = pick(rng, (start or ".",), ("..", "none", "0.xml", "/"))
    settings = {"annotations": {"train": folders}, "images": {"train": pick(rng, ("", "JPEGImages"))}}
    return files, {"format": "voc_xml", "difficult": rng.choice(("negative", "ignore", "positive")), **settings}


def labelstudio_min(rng: Random) -> Export:
    control = rng.choice(("choice", "label", "weather"))
    more = rng.random() < 0.3

    def value() -> Any:
        shapes = [{"x": 1.5, "rectanglelabels": labels(rng)} for _ in range(2)]
        return rng.choice((label(rng), {"choices": labels(rng)}, shapes, labels(rng), None))

    def record(i: int) -> dict[str, Any]:
        address = f"{rng.choice(('', '/data/upload/1/0a1b2c3d-', 's3://b/'))}{file(rng)}"
        about = {"id": i, "annotation_id": pick(rng, (i,), (None, "")), "annotator": 1, "lead_time": 2.5}
        return {"image": address, control: value(), **about, **({"camera": pick(rng, ("x", 1))} if more else {})}

    records = [record(i) for i in range(rng.randrange(6))]
    if rng.random() < 0.5:
        files = {"train.json": text(rng, structure(rng, records, times(rng)))}
    else:
        out = io.StringIO()
        writer = csv.DictWriter(out, sorted({key for item in records for key in item}) or ["id", "annotator"])
        writer.writeheader()
        for item in records:
            writer.writerow({k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in item.items()})
        files = {"train.csv": out.getvalue().encode("utf-8", "surrogatepass")}
    settings = {"annotations": {"train": next(iter(files))}, "images": {"train": rng.choice(("", "photos"))}}
    return {**files, **dict.fromkeys(PLAIN[:3], b"")}, {"format": "labelstudio_min", **settings}


def fiftyone(rng: Random) -> Export:
    def samples() -> Any:
        several = {rng.choice(("classifications", "detections")): [{"label": name} for name in labels(rng)]}
        field = pick(rng, ("ground_truth",), ("weather", "predictions"))
        return {
            "samples": [
                {"filepath": f"{rng.choice(('', 'data/', '/home/x/'))}{file(rng)}", "tags": [pick(rng, ("train", "x"))]}
                | {field: rng.choice(({"label": label(rng)}, several, None))}
                for _ in range(rng.randrange(5))
            ]
        }

    def targets() -> Any:
        kinds = (rng.randrange(3), [0, 1], "cat", {"label": label(rng)}, [{"label": 1}], None)
        photos = {str(file(rng)).rpartition(".")[0]: rng.choice(kinds) for _ in range(rng.randrange(5))}
        return {"classes": pick(rng, (["cat", "dog", "sofa"],), (None, ["cat"], labels(rng))), "labels": photos}

    def export() -> bytes:
        return text(rng, structure(rng, rng.choice((samples, targets))(), times(rng)))

    files, settings = listed(rng, "fiftyone", ".json", export)
    return {**files, **dict.fromkeys((f"data/{name}" for name in PLAIN[:3]), b"")}, settings


def json_table(rng: Random) -> Export:
    def export() -> bytes:
        kind = rng.choice(("labels", "label", "annotations", "tags"))
        many = ([{"label": label(rng)} for _ in range(2)], labels(rng)) if kind == "annotations" else (labels(rng),)
        names = [file(rng) for _ in range(rng.randrange(5))]
        values = [rng.choice(many) for _ in names]
        records = [{"image": name, kind: value} for name, value in zip(names, values, strict=True)]
        value = (
            records if rng.random() < 0.5 else dict(zip(map(str, names), rng.choice((records, values)), strict=True))
        )
        return text(rng, structure(rng, value, times(rng)))

    return listed(rng, "json", ".json", export)


def labelme(rng: Random) -> Export:
    start = rng.choice(("", "a/"))
    files: dict[str, bytes] = {}
    for i in range(rng.randrange(5)):
        shapes = [{"label": name, "points": [[1, 2.5]]} for name in labels(rng)]
        value = {"version": "5.0", "shapes": shapes, "imagePath": pick(rng, (f"{i}.jpg", f"..\\\\{i}.jpg"), NAMES, 0.1)}
        value |= {"flags": {"cat": True, "dog": pick(rng, (False, True))}, "imageData": pick(rng, (None, "A" * 5000))}
        files[f"{start}{i}.json"] = text(rng, structure(rng, value, times(rng) // 2))
        files[f"{start}{i}.jpg"] = b""
    return files, {"format": "labelme", "annotations": {"train": start or "."}, "images": {}}


def via(rng: Random) -> Export:
    key = rng.choice(("class", "label", "what"))

    def values() -> dict[str, Any]:
        return pick(rng, ({key: label(rng)}, {key: {"cat": True, "dog": False}}, {key: ""}), ({}, {"x": "a", "y": "b"}))

    def photo() -> dict[str, Any]:
        regions = [{"shape_attributes": {"name": "rect", "x": 1}, "region_attributes": values()} for _ in range(2)]
        return {"filename": file(rng), "size": 12, "regions": regions, "file_attributes": pick(rng, ({}, values()))}

    photos = [photo() for _ in range(rng.randrange(5))]
    by_name = {f"{item['filename']}{item['size']}": item for item in photos}
    if rng.random() < 0.5:
        value = rng.choice((by_name, {"_via_settings": {}, "_via_img_metadata": by_name}))
        files = {"a.json": text(rng, structure(rng, value, times(rng)))}
    else:
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["filename", "file_size", "file_attributes", "region_id", "region_attributes"])
        for item in photos:
            for region in item["regions"]:
                cells = (item["file_attributes"], region["region_attributes"])
                writer.writerow([item["filename"], 12, json.dumps(cells[0]), 0, json.dumps(cells[1])])
        files = {"a.csv": out.getvalue().encode("utf-8", "surrogatepass")}
    return files, {"format": "via", "annotations": {"train": next(iter(files))}, "images": {}}


FORMATS: dict[str, Callable[[Random], Export]] = {
    "cvat": cvat, "datumaro": datumaro, "fiftyone": fiftyone, "json": json_table, "labelme": labelme,
    "labelstudio_min": labelstudio_min, "via": via, "voc_xml": voc_xml, "yolo_classes": yolo_classes,
}  # fmt: skip
