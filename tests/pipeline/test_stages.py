"""Order of the stages, and which of them are stale and why, with DVC on a tiny project."""

from pathlib import Path

import pytest

from sadcl import pipeline
from sadcl.errors import SadclError


def test_order_of_stages(fresh: Path) -> None:
    stages = pipeline.stages(fresh)
    assert [stage.name for stage in stages] == ["one", "two", "aside", "three"]
    assert stages[0] == pipeline.Stage("one", "the first of all", ("source.txt", "one.py"), ("one.txt",), ("word",))


def test_stages_in_a_circle_are_named(fresh: Path) -> None:
    (fresh / "dvc.yaml").write_text(
        "stages:\n  one: {cmd: a, deps: [two.txt], outs: [one.txt]}\n"
        "  two: {cmd: b, deps: [one.txt], outs: [two.txt]}\n"
    )
    with pytest.raises(SadclError, match="depend on each other"):
        pipeline.stages(fresh)


def test_a_stage_that_reads_a_folder_follows_the_stages_that_write_in_it(fresh: Path) -> None:
    (fresh / "dvc.yaml").write_text(
        "stages:\n  last: {cmd: a, deps: [made]}\n  first: {cmd: b, outs: [made/part]}\n"
        "  around: {cmd: c, outs: [all]}\n  inside: {cmd: d, deps: [all/one.txt]}\n"
    )
    assert [stage.name for stage in pipeline.stages(fresh)] == ["first", "last", "around", "inside"]
    assert pipeline.stale(fresh)["last"][-1] == "follows first"
    assert pipeline.stale(fresh)["inside"][-1] == "follows around"


def test_reasons_of_stale_stages(done: Path) -> None:
    (done / "params.yaml").write_text("word: goodbye\nother: 2\n")
    assert pipeline.stale(done) == {"one": ["word modified"], "two": ["follows one"], "three": ["follows two"]}
    (done / "aside.txt").unlink()
    assert pipeline.stale(done)["aside"] == ["aside.txt deleted"]
    assert pipeline.stale(done)["three"] == ["follows two", "follows aside"]


def test_changed_sources(fresh: Path) -> None:
    pipeline.add(fresh / "source.txt")
    assert pipeline.changed_sources(fresh) == []
    (fresh / "source.txt").unlink()
    (fresh / "source.txt").write_text("edited")
    assert pipeline.changed_sources(fresh) == ["source.txt.dvc"]
    pipeline.reproduce("source.txt.dvc", single=True, root=fresh)
    assert pipeline.changed_sources(fresh) == []


def test_stages_outside_a_project(tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="dvc init"):
        pipeline.stages(tmp_path)


def test_lock_digest_before_the_first_run(fresh: Path) -> None:
    assert pipeline.lock_digest(fresh) == ""
