"""evaluate and rescore by workers: the scores of one process, also after a kill."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from sadcl import SadclError, params
from sadcl.data.shards import writer
from sadcl.evaluation import scores
from sadcl.layout import SCORING_CACHE
from sadcl.stages import calibrate, evaluate, rescore
from tests.batch.conftest import begin_with
from tests.stages.scored_project import RECIPE, change_settings, judge, photos, read_metrics, write_champion


def test_workers_give_the_scores_of_one_process(project, monkeypatch):
    change_settings("evaluate", corruptions=["blur"], batch=5)
    write_champion(project)
    judge()
    rescore.main()
    files = ("reports/scores.parquet", "reports/champion_scores.parquet")
    before, metrics = [scores.read_scores(file) for file in files], read_metrics()
    monkeypatch.setenv("SADCL_ENGINE", "local")
    monkeypatch.setenv("SADCL_WORKERS", "1")
    evaluate.main()
    rescore.main()
    for file, alone in zip(files, before, strict=True):
        worker_scores = scores.read_scores(file)
        assert list(worker_scores.logits) == list(alone.logits)
        assert (worker_scores.ids, worker_scores.digests, worker_scores.cost) == (alone.ids, alone.digests, alone.cost)
        for name in worker_scores.logits:
            np.testing.assert_allclose(worker_scores.logits[name], alone.logits[name], atol=1e-5)
    again = read_metrics()
    assert again.keys() == metrics.keys()
    for name in ("sadcl", "sadcl_other", "sarl", "probe"):
        assert again[name]["mAP"] == pytest.approx(metrics[name]["mAP"], rel=1e-3)
    assert not list(SCORING_CACHE.iterdir())


def test_workers_that_cannot_start_are_no_verdict_on_the_champion(project, tmp_path, monkeypatch):
    write_champion(project)
    monkeypatch.setenv("SADCL_ENGINE", "local")
    monkeypatch.setenv("SADCL_WORKERS", "1")
    begin_with("raise SystemExit(3)", tmp_path, monkeypatch)
    with pytest.raises(SadclError, match="Workers end before they are ready"):
        rescore.main()
    assert not Path("reports/champion_scores.parquet").exists()


def test_a_champion_that_workers_cannot_load_becomes_a_refusal(project, monkeypatch):
    write_champion(project, model={"later": 1})
    monkeypatch.setenv("SADCL_ENGINE", "local")
    rescore.main()
    assert "can't be scored" in scores.read_scores("reports/champion_scores.parquet").refused


@pytest.mark.slow
def test_a_killed_stage_goes_on_and_ends_with_the_same_bytes(project, monkeypatch):
    settings = params.parse(params.read_settings(RECIPE), where=RECIPE)
    writer.write_shards(photos(project / "more", test=300), project / "more", project / "data/shards",
                        settings.prepare, workers=1)  # fmt: skip
    calibrate.main()
    change_settings("evaluate", batch=10)
    monkeypatch.setenv("SADCL_ENGINE", "local")
    command = [sys.executable, "-m", "sadcl.stages", "evaluate"]
    child = subprocess.Popen(command)
    while child.poll() is None and not list(SCORING_CACHE.glob("*/*.arrow")):
        time.sleep(0.02)
    workers = psutil.Process(child.pid).children()
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not psutil.wait_procs(workers, timeout=30)[1]
    assert not Path("reports/scores.parquet").exists()
    monkeypatch.setenv("SADCL_WORKERS", "1")
    output = subprocess.run(command, text=True, capture_output=True, check=True).stdout
    assert "of 300 images were scored before" in output
    first = Path("reports/scores.parquet").read_bytes()
    assert "scored before" not in subprocess.run(command, text=True, capture_output=True, check=True).stdout
    assert Path("reports/scores.parquet").read_bytes() == first
