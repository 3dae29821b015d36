"""JSON of somebody else: what would exhaust the machine is a sentence."""

from pathlib import Path

import pytest

from sadcl import bounded_json
from sadcl.errors import SadclError


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b" " * (bounded_json.LARGEST + 1), "more than 20 MB"),
        (b"[" + b"[]," * bounded_json.MOST_VALUES + b"[]]", "more than 1,000,000 values"),
        (b"[" * 100_000, "not JSON"),
        (b"7" * 5_000, "not JSON"),
        (b"\xff", "not JSON"),
        (None, "missing"),
    ],
)
def test_what_would_exhaust_the_machine_is_refused(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SadclError, match=words):
        bounded_json.read(path)


def test_a_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="can't be read"):
        bounded_json.read(tmp_path)


def test_figures_of_thousands_of_classes_are_read(tmp_path: Path) -> None:
    rows = ",".join(f'{{"class": "class {i}", "AP": 50.0, "positives": 3}}' for i in range(5_000))
    (tmp_path / "metrics.json").write_text(f"[{rows}]")
    assert len(bounded_json.read(tmp_path / "metrics.json")) == 5_000
