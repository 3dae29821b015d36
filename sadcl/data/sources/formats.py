"""Formats of the user's own photos, and how their annotation files are recognised.

A format is one module with ``read_source``, and one entry here. Formats of published data sets (``voc``, ``nuswide``,
``vg500``) have fixed file names; nothing has to recognise them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sadcl import params
from sadcl.data.sources import (
    Source,
    coco,
    csv_table,
    cvat,
    datumaro,
    fiftyone,
    folder,
    json_table,
    jsonl,
    labelme,
    labelstudio,
    labelstudio_min,
    long_table,
    parquet_table,
    via,
    voc_xml,
    yolo,
    yolo_classes,
    yolo_set,
)


@dataclass(frozen=True)
class Format:
    """An annotation format.

    Attributes:
        name: value of ``ingest.format``.
        title: name for users, such as `CVAT for images (XML)`.
        read_source: reads a source by the settings ``ingest``.
        suffixes: of annotation files, in lower case.
        recognises: whether a file with such a suffix is an annotation file of this format. It reads a bounded part of
            the file, and answers False for a damaged one.
        one_for_all: one file describes all splits (YOLO's ``data.yaml``), instead of one file per split or export;
            several such files may be listed as ``train``.
        per_photo: one file describes one photo; ``ingest.annotations`` names the folder of such files, ``.`` for the
            source's own, and photos may lie next to the files.
        defaults: settings of ``ingest`` that suit the user's own photos better than the usual ones.
    """

    name: str
    title: str
    read_source: Callable[[Path, params.Ingest], Source]
    suffixes: tuple[str, ...] = ()
    recognises: Callable[[Path], bool] = lambda path: False
    one_for_all: bool = False
    per_photo: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)


FORMATS: tuple[Format, ...] = (
    Format("yolo", "YOLO", yolo.read_source, (".yaml", ".yml", ".data"), yolo_set.recognises, one_for_all=True),
    Format(
        "yolo_classes",
        "YOLO label files with a list of classes",
        yolo_classes.read_source,
        (".txt", ".names", ".labels"),
        yolo_classes.recognises,
    ),
    Format(
        "labelstudio_min",
        "Label Studio (JSON-MIN, CSV)",
        labelstudio_min.read_source,
        (".json", ".csv", ".tsv"),
        labelstudio_min.recognises,
    ),
    Format("via", "VGG Image Annotator (JSON, CSV)", via.read_source, (".json", ".csv"), via.recognises),
    Format("rows", "CSV, one row per label", long_table.read_source, (".csv", ".tsv"), long_table.recognises),
    Format("csv", "CSV, one row per photo", csv_table.read_source, (".csv", ".tsv"), lambda path: True),
    Format("parquet", "Parquet, one row per photo", parquet_table.read_source, (".parquet",), lambda path: True),
    Format("jsonl", "JSON lines", jsonl.read_source, (".jsonl", ".ndjson"), jsonl.recognises),
    Format("coco", "COCO instances", coco.read_source, (".json",), coco.recognises),
    Format("datumaro", "Datumaro (JSON)", datumaro.read_source, (".json",), datumaro.recognises),
    Format("cvat", "CVAT for images (XML)", cvat.read_source, (".xml",), cvat.recognises),
    Format(
        "voc_xml",
        "Pascal VOC (XML)",
        voc_xml.read_source,
        (".xml",),
        voc_xml.recognises,
        per_photo=True,
        defaults={"difficult": "ignore"},
    ),
    Format("fiftyone", "FiftyOne (JSON)", fiftyone.read_source, (".json",), fiftyone.recognises),
    Format("labelme", "LabelMe (JSON)", labelme.read_source, (".json",), labelme.recognises, per_photo=True),
    Format("labelstudio", "Label Studio (JSON)", labelstudio.read_source, (".json",), labelstudio.recognises),
    Format("json", "JSON, one record per photo", jsonl.read_source, (".json",), json_table.recognises),
    Format("folder", "folders named after labels", folder.read_source),
)
"""Formats in the order in which they are tried."""
