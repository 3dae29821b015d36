"""VG500: two lists of photos and an index of class numbers."""

import json
from pathlib import Path
from typing import Any

import pytest

from sadcl import params
from sadcl.data import sources
from sadcl.errors import SadclError


def read(
    root: Path, classes: Any, train: str = "1.jpg\n2.jpg\n", test: str = "3.jpg", **changes: Any
) -> sources.Source:
    (root / "train.txt").write_text(train, encoding="utf-8")
    (root / "test.txt").write_text(test)
    (root / "index.json").write_text(classes if isinstance(classes, str) else json.dumps(classes))
    defaults = {
        "source": "vg",
        "format": "vg500",
        "annotations": {"train": "train.txt", "test": "test.txt"},
        "index": "index.json",
        "images": {"train": "images"},
    }
    return sources.read_source(root, params.Ingest.model_validate({**defaults, **changes}))


GOOD: dict[str, Any] = {"1.jpg": [499, 17, 17], "2.jpg": [], "3.jpg": [0], "4.jpg": ["never looked at"]}


def test_lists_and_index(tmp_path: Path) -> None:
    source = read(tmp_path, GOOD)
    assert source.classes == tuple(f"{i:03d}" for i in range(500))
    assert source.images == [
        sources.Image("1.jpg", "images/1.jpg", "train", (17, 499)),
        sources.Image("2.jpg", "images/2.jpg", "train", ()),
        sources.Image("3.jpg", "images/3.jpg", "test", (0,)),
    ]


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no JSON": ("{", {}, "not JSON"),
    "nested 10,000 deep": ("[" * 10_000, {}, "not JSON"),
    "a number of 10,000 digits": ('{"1.jpg": [' + "9" * 10_000 + "]}", {}, "not JSON"),
    "a list": ([], {}, "not an object"),
    "a photo without classes": ({"1.jpg": [1]}, {}, "lacks the photo '2.jpg'.*line 2"),
    "class 500": ({**GOOD, "1.jpg": [500]}, {}, "class 500, not a number from 0 to 499"),
    "a class below all": ({**GOOD, "1.jpg": [-1]}, {}, "class -1"),
    "a class as a word": ({**GOOD, "1.jpg": ["1"]}, {}, "class '1'"),
    "a class that is true": ({**GOOD, "1.jpg": [True]}, {}, "class True"),
    "no number": ('{"1.jpg": [NaN]}', {}, "class nan"),
    "half a class": ({**GOOD, "1.jpg": [1.5]}, {}, r"class 1\.5"),
    "nothing": ({**GOOD, "1.jpg": None}, {}, "class None"),
    "a list in a list": ({**GOOD, "1.jpg": [[1]]}, {}, r"class \[1\]"),
    "a photo twice": (GOOD, {"train": "1.jpg\n1.jpg\n"}, "same id '1.jpg', both in train"),
    "lists that meet": (GOOD, {"test": "3.jpg\n1.jpg"}, "in train and in test"),
    "leaves": ({"../../x.jpg": [1]}, {"train": "../../x.jpg"}, "leaves the data root"),
    "no index": (GOOD, {"index": None}, "the index"),
    "no test": (GOOD, {"annotations": {"train": "train.txt"}}, "one for test"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_lists_and_indexes_are_refused(tmp_path: Path, name: str) -> None:
    classes, changes, words = BAD[name]
    with pytest.raises(SadclError, match=words) as caught:
        read(tmp_path, classes, **changes)
    assert len(str(caught.value)) < 600
