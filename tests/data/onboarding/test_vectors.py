"""Vectors of flags or scores in a column of labels, which are no names."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sadcl.data.onboarding.detect import detect_source
from sadcl.errors import SadclError
from tests.data.onboarding.folders import numbered, put

VECTORS = ([0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0])


def vectors(root: Path, form: str, rows: Sequence[Sequence[float]]) -> Path:
    numbered(root, len(rows))
    if form == "Parquet":
        table = pa.table({"file": [f"{i}.jpg" for i in range(len(rows))], "labels": list(map(list, rows))})
        pq.write_table(table, root / "labels.parquet")
        return root
    lines = {
        "JSON lines": [json.dumps({"file_name": f"{i}.jpg", "labels": row}) for i, row in enumerate(rows)],
        "CSV": ["file,labels", *(f'{i}.jpg,"{row}"' for i, row in enumerate(rows))],
        "numpy": ["file,labels", *(f"{i}.jpg,[{' '.join(map(str, row))}]" for i, row in enumerate(rows))],
        "array": ["file,labels", *(f'{i}.jpg,"array({list(map(bool, row))})"' for i, row in enumerate(rows))],
        "no header": [",".join(map(str, (f"{i}.jpg", *row))) for i, row in enumerate(rows)],
    }[form]
    return put(root, {"labels.jsonl" if form == "JSON lines" else "labels.csv": "\n".join(lines)})


def test_arrays_of_truth_values_are_no_names(tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="vectors of 3 numbers without names of classes"):
        detect_source(vectors(tmp_path, "array", VECTORS))


@pytest.mark.parametrize("form", ["JSON lines", "CSV", "numpy", "no header", "Parquet"])
def test_vectors_are_no_names(tmp_path: Path, form: str) -> None:
    with pytest.raises(SadclError, match="vectors of 3 numbers without names of classes"):
        detect_source(vectors(tmp_path / "flags", form, VECTORS))
    with pytest.raises(SadclError, match="vectors of 2 numbers without names of classes"):
        detect_source(vectors(tmp_path / "scores", form, ([0.9, 0.1], [0.2, 0.8])))
    ids = detect_source(vectors(tmp_path / "ids", form, ([0, 1], [1, 2], [2], [0])))
    assert ids.source.classes == ("0", "1", "2")
