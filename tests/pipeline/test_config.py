"""DVC's settings of a project, and of a copy that shares its cache."""

from pathlib import Path

from sadcl import files, pipeline


def test_set_up_keeps_existing_settings(fresh: Path) -> None:
    config = fresh / ".dvc/config"
    before = config.read_bytes()
    pipeline.set_up(fresh)
    assert config.read_bytes() == before
    config.write_text(config.read_text().replace("remote = local", "remote = team  # on the server"))
    pipeline.set_up(fresh)
    assert "remote = team  # on the server" in config.read_text()


def test_share_cache_of_a_project_with_its_copy(done: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("dvc.yaml", "dvc.lock", "params.yaml", "source.txt", "one.py", "two.py", "aside.py", "three.py"):
        files.write_text(copy / name, (done / name).read_text())
    pipeline.set_up(copy)
    pipeline.share_cache(done, copy)
    pipeline.checkout(copy)
    assert (copy / "three.txt").read_text() == "sourceonetwothree"
    assert pipeline.stale(copy) == {}
    pipeline.push(copy)
    assert (done / ".dvc-remote").is_dir()
