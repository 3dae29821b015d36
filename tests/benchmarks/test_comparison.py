"""The comparison's pages say what the cells hold, and what is missing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from benchmarks.comparison import ABLATE, COMPARE, write
from sadcl import files
from sadcl.errors import SadclError


def put(cells: Path, row: str, seed: int, score: float, kind: str = "frozen", *, rare: float = 20.0) -> None:
    """Write a cell whose test mAP is ``score``, a little more or less on each resample of the photos.

    At the last epoch it is half a point lower. Two of six classes are rare, and have an AP of ``rare``.
    """
    noise = np.random.default_rng(1).standard_normal(1000) * 0.5
    f1 = {"CF1": 42.0, "OF1": 44.0} if row == "sarl" else {"CF1": 40.0, "OF1": 45.0}
    cell = {
        "kind": kind, "row": row, "seed": seed, "select": [score - 1, score], "device": "cpu (1 threads)",
        "processor": "EPYC, AVX512",
        "precision": "32-true", "code": "abc", "test": {"mAP": score, **f1},
        "last": {"mAP": score - 0.5}, "AP": [rare, 60.0, 60.0, rare, 60.0, 60.0],
        "r_precision": None if row == "pooling" else 11.0, "resampled": (score + noise).tolist(),
    }  # fmt: skip
    files.write_json(cells / kind / f"{row}-{seed}.json", cell)


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    for seed, score in enumerate((50.0, 51.0, 52.0), 1):
        put(tmp_path, "pooling", seed, score)
        put(tmp_path, "sarl", seed, score + 1.5)
        put(tmp_path, "both", seed, score + 1.5 + (-0.6, 0.6, 0.3)[seed - 1])
    train = dict(zip("abcdef", (3, 40, 50, 2, 60, 70), strict=True))
    files.write_json(tmp_path / "classes.json", {"train": train, "test": train})
    return tmp_path


def page(name: str, folder: Path) -> str:
    return (folder / f"{name}.md").read_text(encoding="utf-8")


def line(page: str, start: str) -> list[str]:
    """Cells of the only line of a page's tables that begins so."""
    [row] = [line for line in page.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_means_deviations_and_paired_differences_stand_in_the_page(cells: Path, tmp_path: Path) -> None:
    words = write(COMPARE, cells, tmp_path / "out")
    page_text = page("compare", tmp_path / "out")
    assert "9 cells" in words
    assert line(page_text, "global average pooling") == [
        "global average pooling", "3", "51.00 ± 1.00", "50.50 ± 1.00", "20.00 ± 0.00", "40.00 ± 0.00", "45.00 ± 0.00",
        "-", "51.00 ± 1.00",
    ]  # fmt: skip
    assert line(page_text, "SARL (Query2Label)")[7] == "11.00 ± 0.00"
    step = line(page_text, "SARL (Query2Label), against global average pooling")
    assert step[1:6] == ["3", "**+1.50**", "+1.50 to +1.50", "0.000", "0.00"]
    assert step[6:8] == ["+1.50 (+1.50 to +1.50)", "+0.00 (+0.00 to +0.00)"]
    assert step[8:] == ["+1.50 (+1.50 to +1.50)", "+2.00 (+2.00 to +2.00)", "-1.00 (-1.00 to -1.00)"]
    assert "| CSRA | 0 | not run |" in page_text
    assert "CSRA," not in page_text
    assert "Trained on: cpu (1 threads), EPYC, AVX512, 32-true." in page_text


def test_a_difference_that_may_be_none_is_not_bold(cells: Path, tmp_path: Path) -> None:
    write(COMPARE, cells, tmp_path / "out")
    assert line(page("compare", tmp_path / "out"), "SADCL, against SARL (Query2Label)")[2] == "+0.10"


def test_intervals_of_rare_classes_and_of_the_last_epoch_are_of_student_over_the_seeds(
    cells: Path, tmp_path: Path
) -> None:
    for seed, rare in enumerate((21.0, 23.0, 24.0), 1):
        put(cells, "sarl", seed, 50.0 + seed + (0.0, 0.3, 0.9)[seed - 1], rare=rare)
    write(COMPARE, cells, tmp_path / "out")
    step = line(page("compare", tmp_path / "out"), "SARL (Query2Label), against global average pooling")
    for figure, values in ((step[6], [1.0, 1.3, 1.9]), (step[7], [1.0, 3.0, 4.0])):
        interval = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
        assert figure == f"{np.mean(values):+.2f} ({interval[0]:+.2f} to {interval[1]:+.2f})"


@pytest.mark.parametrize("content", [[], {"train": {"a": 1}}, {"train": {"a": "many"}, "test": {"a": 1}}])
def test_the_pages_need_the_numbers_of_photos_by_class(cells: Path, tmp_path: Path, content: object) -> None:
    files.write_json(cells / "classes.json", content)
    with pytest.raises(SadclError, match="no numbers of photos"):
        write(COMPARE, cells, tmp_path / "out")


def test_the_only_cell_of_the_probe_is_paired_with_every_seed(cells: Path, tmp_path: Path) -> None:
    put(cells, "linear", 0, 50.0)
    write(COMPARE, cells, tmp_path / "out")
    page_text = page("compare", tmp_path / "out")
    assert line(page_text, "linear probe")[1:4] == ["1", "50.00", "49.50"]
    assert line(page_text, "SARL (Query2Label), against linear probe")[1:3] == ["3", "+2.50"]


def test_the_ablation_holds_each_part_against_the_control_without_contrast(cells: Path, tmp_path: Path) -> None:
    put(cells, "zero", 1, 51.0)
    write(ABLATE, cells, tmp_path / "out")
    page_text = page("ablate", tmp_path / "out")
    step = line(page_text, "stage 2, both (SADCL), against stage 2, both weights zero")
    assert step[1:] == ["1", "-0.10", "one seed", "-", "-", "-", "-", "-", "-", "-"]
    assert "CSRA" not in page_text


def test_an_experiment_has_a_section_once_a_row_of_it_has_run(cells: Path, tmp_path: Path) -> None:
    put(cells, "sarl", 1, 51.0, kind="tuned")
    write(ABLATE, cells, tmp_path / "out")
    page_text = page("ablate", tmp_path / "out")
    assert "###" not in page_text
    frozen, tuned = page_text.split("## Backbone fine-tuned")
    assert "Experiments not run yet: Is it the meaning of the classes?; Fewer photos; Larger batches;" in tuned
    assert "Experiments not run yet" not in frozen  # none is planned there
    for seed in (1, 2):
        put(cells, "shuffled", seed, 51.0, kind="tuned")
        put(cells, "both", seed, 51.5, kind="tuned")
        put(cells, "both_256", seed, 52.0 + seed, kind="tuned")
        put(cells, "zero_256", seed, 52.0, kind="tuned")
    write(ABLATE, cells, tmp_path / "out")
    page_text = page("ablate", tmp_path / "out")
    main, meaning, batches = page_text.split("###")
    assert "shuffled" not in main
    assert "Experiments not run yet: Fewer photos; Other anchors" in batches
    assert line(meaning, "both, names shuffled")[1:3] == ["2", "51.00 ± 0.00"]
    assert line(meaning, "both, names shuffled, against stage 2, both (SADCL)")[1] == "2"
    assert "Not run yet" not in meaning
    assert "Not run yet: SARL, trained again; both weights zero, batch 128; both, batch 128." in batches
    assert line(batches, "both, batch 256, against both weights zero, batch 256")[2] == "+1.50"
    assert "against both weights zero, batch 128" not in batches


def test_p_values_are_corrected_for_all_steps_of_a_page(cells: Path, tmp_path: Path) -> None:
    def p() -> float:
        write(ABLATE, cells, tmp_path / "out")
        [row] = [
            line for line in page("ablate", tmp_path / "out").splitlines()
            if line.startswith("| both, names shuffled, against stage 2, both (SADCL)")
        ]  # fmt: skip
        return float(row.split("|")[5])

    for seed, score in enumerate((50.0, 53.0, 53.3), 1):
        put(cells, "shuffled", seed, score)
    alone = p()
    for seed, score in enumerate((51.1, 51.9, 53.0), 1):
        put(cells, "both", seed, 50.0 + seed, kind="tuned")
        put(cells, "zero", seed, score, kind="tuned")
    assert alone > 0
    assert p() == pytest.approx(2 * alone, abs=0.002)  # two steps, and this one has the smaller p


def test_each_kind_of_backbone_has_its_own_tables_and_picture(cells: Path, tmp_path: Path) -> None:
    put(cells, "pooling", 1, 60.0, kind="tuned_even")
    write(COMPARE, cells, tmp_path / "out")
    assert page("compare", tmp_path / "out").index("as ImageNet made it") < page("compare", tmp_path / "out").index(
        "Backbone fine-tuned, even budgets"
    )
    for kind in ("frozen", "tuned_even"):
        with Image.open(tmp_path / f"out/compare-{kind}.png") as picture:
            assert picture.width > 900


def test_cells_of_different_code_are_reported(cells: Path, tmp_path: Path) -> None:
    other = files.read_json(cells / "frozen/pooling-1.json") | {"code": "def"}
    files.write_json(cells / "frozen/pooling-1.json", other)
    write(COMPARE, cells, tmp_path / "out")
    assert "2 versions of the code (abc, def)" in page("compare", tmp_path / "out")


def test_costs_stand_next_to_the_rows_that_were_measured(cells: Path, tmp_path: Path) -> None:
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
