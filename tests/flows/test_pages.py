"""What a person reads in Prefect about a run."""

from pathlib import Path

from flows import pages
from sadcl import files, layout

STEPS = [pages.Step("ingest", False, "unchanged", 0.4), pages.Step("gate", True, "gate: a | b in 2 s", 61.0)]


def test_a_name_becomes_a_key_that_prefect_takes() -> None:
    assert pages.key("benchmarks/dvc.yaml:Pool_1") == "benchmarks-dvc-yaml-pool-1"


def test_the_run_is_shown_with_figures_and_verdict_in_words(tmp_path: Path) -> None:
    figures = {"mAP": 84.123, "CP": None, "CR": 1, "CF1": 2.0, "OP": 3.0, "OR": 4.0, "OF1": 5.0}
    files.write_json(tmp_path / layout.METRICS, {"sadcl": figures, "images": 12})
    rules = [{"result": "fail", "words": "mAP 84.12 is below 85"}]
    verdict = {"verdict": "fail", "words": "One rule of one failed.", "rules": rules}
    files.write_json(tmp_path / layout.VERDICT, verdict)
    page = pages.run_page(STEPS, ["1 stage ran in 61 s."], tmp_path)
    assert "| ingest | unchanged | unchanged |" in page
    assert "| gate | 1 min 01 s | gate: a   b in 2 s |" in page
    assert "| sadcl | 84.12 | - | 1.00 | 2.00 | 3.00 | 4.00 | 5.00 |" in page
    assert "**Verdict: fail.** One rule of one failed." in page
    assert "- fail: mAP 84.12 is below 85" in page


def test_files_that_are_not_there_or_broken_are_not_shown(tmp_path: Path) -> None:
    assert "Verdict" not in pages.run_page(STEPS, [], tmp_path)
    files.write_text(tmp_path / layout.METRICS, "{")
    assert "test metrics" not in pages.run_page(STEPS, [], tmp_path)


def test_a_stage_is_shown_by_its_last_lines_and_its_outputs(tmp_path: Path) -> None:
    files.write_text(tmp_path / "out/a.bin", "x" * 250_000)
    output = "\n".join(f"line {i}" for i in range(100))
    page = pages.stage_page(STEPS[1], output, ["out", "nothere"], tmp_path)
    assert "| `out` | 0.2 MB |" in page
    assert "| `nothere` | missing |" in page
    assert "line 99" in page
    assert "line 69" not in page
