"""The comparison's pages say what the cells hold, and what is missing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.comparison import ABLATE, COMPARE, write
from sadcl import files
from sadcl.errors import SadclError


def put(cells: Path, row: str, seed: int, score: float, kind: str = "frozen") -> None:
    """A cell whose test mAP is ``score``, a little more or less on each resample of the photos."""
    noise = np.random.default_rng(1).standard_normal(1000) * 0.5
    cell = {
        "kind": kind, "row": row, "seed": seed, "select": [score - 1, score], "device": "cpu (1 threads)",
        "precision": "32-true", "code": "abc", "test": {"mAP": score, "CF1": 40.0, "OF1": 45.0},
        "resampled": (score + noise).tolist(),
    }  # fmt: skip
    files.write_json(cells / kind / f"{row}-{seed}.json", cell)


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    for seed, score in enumerate((50.0, 51.0, 52.0), 1):
        put(tmp_path, "pooling", seed, score)
        put(tmp_path, "sarl", seed, score + 1.5)
        put(tmp_path, "both", seed, score + 1.5 + (-0.6, 0.6, 0.3)[seed - 1])
    return tmp_path


def page(name: str, folder: Path) -> str:
    return (folder / f"{name}.md").read_text(encoding="utf-8")


def test_means_deviations_and_paired_differences_stand_in_the_page(cells: Path, tmp_path: Path) -> None:
    words = write(COMPARE, cells, tmp_path / "out")
    found = page("compare", tmp_path / "out")
    assert "9 cells" in words
    assert "| global average pooling | 3 | 51.00 ± 1.00 | 51.00 ± 1.00 | 40.00 ± 0.00 | 45.00 ± 0.00 |" in found
    assert (
        "| SARL (Query2Label), against global average pooling | 3 | **+1.50** | +1.50 to +1.50 | 0.000 | 0.00 |"
        in found
    )
    assert "| CSRA | 0 | not run yet |" in found
    assert "Trained on: cpu (1 threads), 32-true." in found


def test_a_difference_that_may_be_none_is_not_bold(cells: Path, tmp_path: Path) -> None:
    write(COMPARE, cells, tmp_path / "out")
    assert "| SADCL, against SARL (Query2Label) | 3 | +0.10 | -" in page("compare", tmp_path / "out")


def test_the_ablation_holds_each_part_against_the_control_without_contrast(cells: Path, tmp_path: Path) -> None:
    put(cells, "zero", 1, 51.0)
    write(ABLATE, cells, tmp_path / "out")
    found = page("ablate", tmp_path / "out")
    assert "| stage 2, both (SADCL), against stage 2, both weights zero | 1 | -0.10 | one seed | - |" in found
    assert "CSRA" not in found


def test_each_kind_of_backbone_has_its_own_tables_and_picture(cells: Path, tmp_path: Path) -> None:
    put(cells, "pooling", 1, 60.0, kind="tuned")
    write(COMPARE, cells, tmp_path / "out")
    assert page("compare", tmp_path / "out").index("as ImageNet made it") < page("compare", tmp_path / "out").index(
        "Backbone fine-tuned"
    )
    for kind in ("frozen", "tuned"):
        with Image.open(tmp_path / f"out/compare-{kind}.png") as picture:
            assert picture.width > 900


def test_cells_of_different_code_are_said(cells: Path, tmp_path: Path) -> None:
    other = files.read_json(cells / "frozen/pooling-1.json") | {"code": "def"}
    files.write_json(cells / "frozen/pooling-1.json", other)
    write(COMPARE, cells, tmp_path / "out")
    assert "2 versions of the code (abc, def)" in page("compare", tmp_path / "out")


def test_costs_stand_beside_where_they_were_measured(cells: Path, tmp_path: Path) -> None:
    one = {"parameters": 1_950_800, "multiply_adds": 131_000_000, "training": 88.2, "inference": 300.4}
    files.write_json(cells / "cost-frozen.json", {"device": "cpu (2 threads)", "rows": {"sarl": one, "zero": one}})
    write(COMPARE, cells, tmp_path / "out")
    assert "| SARL (Query2Label) | 1.95 M | 131 M | 88 | 300 |" in page("compare", tmp_path / "out")


def test_the_same_cells_give_the_same_bytes(cells: Path, tmp_path: Path) -> None:
    for out in ("a", "b"):
        write(ABLATE, cells, tmp_path / out)
    for name in ("ablate.md", "ablate-frozen.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_no_cells_or_a_damaged_one_is_a_sentence(cells: Path, tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="There are no cells"):
        write(COMPARE, tmp_path / "empty", tmp_path / "out")
    files.write_json(cells / "frozen/csra-1.json", {"row": "csra"})
    with pytest.raises(SadclError, match="no cell of the comparison"):
        write(COMPARE, cells, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_costs_are_a_sentence_and_leave_no_page(cells: Path, tmp_path: Path) -> None:
    files.write_json(cells / "cost-frozen.json", {})
    with pytest.raises(SadclError, match="no costs of the comparison"):
        write(COMPARE, cells, tmp_path / "out")
    assert not (tmp_path / "out/compare.md").exists()
