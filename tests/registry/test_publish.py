"""What stands in the registry after `sadcl register`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.registry import artifacts, lookup, schema, status
from sadcl.registry.client import connect
from sadcl.registry.promote import promote
from sadcl.registry.publish import publish

Stages = Callable[..., None]


def test_a_model_that_passed_becomes_the_challenger_once(
    project: Path, stages: Stages, capfd: pytest.CaptureFixture[str]
) -> None:
    stages()
    first, again = publish(), publish()
    assert (first.name, first.version, first.alias, first.new) == ("tiny", "1", "challenger", True)
    assert (again.version, again.alias, again.new) == ("1", "challenger", False)
    assert first.words == "tiny version 1 is registered and has the alias challenger."
    with connect() as client:
        assert len(lookup.list_versions(client, "tiny")) == 1
    assert capfd.readouterr() == ("", "")


def test_the_page_is_opened_at_the_runs(registered: Path) -> None:
    with connect(registered) as client:
        [run] = client.search_runs([status.experiment(registered) or "?"])
    assert run.data.tags[schema.IDENTITY]


def test_the_run_shows_settings_figures_curves_and_lineage(registered: Path) -> None:
    with connect() as client:
        version = client.get_model_version("tiny", "1")
        run = client.get_run(version.run_id)
        shown = {file.path for file in client.list_artifacts(version.run_id)}
        curve = client.get_metric_history(version.run_id, "train/loss")
        sparse = client.get_metric_history(version.run_id, "train/select_mAP")
        model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert run.info.status == "FINISHED"
    for text in (version.description, run.data.tags["mlflow.note.content"]):
        assert "Gate: pass" in text
        assert "| this model, SADCL | 80.00 | 70.00 |" in text
        assert "sadcl promote 1" in text
    assert run.data.params["train.lr"] == "0.0015"
    assert json.loads(run.data.params["gate.rules"])[0]["metric"] == "mAP"
    assert run.data.metrics["mAP"] == 80.0
    assert run.data.metrics["sarl/mAP"] == 75.0
    assert run.data.metrics["top3/CF1"] == 60.0
    assert "top3/mAP" not in run.data.metrics
    assert [(point.step, point.value) for point in curve] == [(1, 0.5), (2, 0.25)]
    assert [(point.step, point.value) for point in sparse] == [(1, 70.5)]
    assert {"report.html", "verdict.json", "validation.json", "params.yaml", "dvc.lock", "evidence"} <= shown
    assert {data.dataset.name for data in run.inputs.dataset_inputs} == {"scenes-test", "scenes-train"}
    tied = {(metric.key, metric.dataset_name) for metric in model.metrics}
    assert ("mAP", "scenes-test") in tied
    for tags in (run.data.tags, version.tags):
        assert tags["sadcl.seed"] == "2307"
        assert tags["sadcl.dvc_lock"] == files.digest("dvc.lock")
        assert tags["sadcl.device"] == "cpu"
        assert "torch" in json.loads(tags["sadcl.packages"])
        assert "+" not in tags["sadcl.packages"]


@pytest.mark.parametrize("verdict", ["fail", "refused"])
def test_a_model_that_did_not_pass_gets_no_alias(registered: Path, stages: Stages, verdict: str) -> None:
    stages(seed=2, verdict=verdict)
    published = publish()
    assert (published.version, published.alias, published.new) == ("2", None, True)
    assert f"verdict {verdict}" in published.words
    with connect() as client:
        assert client.get_model_version_by_alias("tiny", "challenger").version == 1


def test_registering_again_brings_verdict_and_alias_up_to_date(registered: Path, stages: Stages) -> None:
    stages(verdict="fail")
    assert publish().alias is None
    stages(verdict="pass")
    assert publish().alias == "challenger"
    stages(verdict="fail")
    assert publish().alias is None
    with connect() as client:
        version = client.get_model_version("tiny", "1")
        assert version.tags[schema.VERDICT] == "fail"
        assert lookup.version_with_alias(client, "tiny", "challenger") is None
        shown = client.download_artifacts(version.run_id, "verdict.json")
        assert files.read_json(shown)["verdict"] == "fail"


def test_the_champion_does_not_challenge_itself(registered: Path, stages: Stages) -> None:
    promote(1, "the first", first=True)
    stages()
    published = publish()
    assert (published.version, published.alias, published.new) == ("1", None, False)
    assert "champion already" in published.words


@pytest.mark.parametrize("file", ["models/served/weights.safetensors", "reports/verdict.json", "dvc.lock"])
def test_a_missing_file_is_named(project: Path, stages: Stages, file: str) -> None:
    stages()
    (project / file).unlink()
    with pytest.raises(SadclError, match=f"{file} is missing.*dvc repro"):
        publish()


@pytest.mark.parametrize("file", ["metrics.json", "verdict.json"])
def test_figures_of_another_model_are_not_registered(
    project: Path, stages: Stages, networks: Callable[[int], Path], file: str
) -> None:
    stages(seed=1)
    original = (project / "reports" / file).read_text()
    stages(seed=2)
    (project / "reports" / file).write_text(original)
    with pytest.raises(SadclError, match=f"{file} is about other weights"):
        publish()
    with connect() as client:
        assert lookup.list_versions(client, "tiny") == []


def test_what_a_killed_call_left_behind_is_put_away(registered: Path) -> None:
    with connect() as client:
        version = client.get_model_version("tiny", "1")
        client.delete_model_version("tiny", "1")
    assert publish().new
    with connect() as client:
        experiment = client.get_experiment_by_name("tiny").experiment_id
        [run] = client.search_runs([experiment])
    assert run.info.run_id != version.run_id


def test_a_failed_call_registers_nothing_and_the_next_one_does(
    project: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages()
    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "WEIGHTS", "model/artifacts/elsewhere.safetensors")
        with pytest.raises(SadclError, match="did not keep the files"):
            publish()
    with connect() as client:
        assert lookup.list_versions(client, "tiny") == []
    assert publish().version == "1"


def test_every_file_is_pinned_and_nothing_is_pickled(registered: Path) -> None:
    with connect() as client:
        version = client.get_model_version("tiny", "1")
        pins = artifacts.pins(version)
    assert pins[artifacts.WEIGHTS] == files.digest("models/train/weights.safetensors")
    assert pins[artifacts.SCORES] == files.digest("reports/scores.parquet")
    assert [name for name in pins if name.endswith(".py")] == ["model/pyfunc_loader.py"]
    assert not [name for name in pins if Path(name).suffix in (".pkl", ".pickle", ".pt", ".pth", ".bin")]


def test_a_moved_project_says_so_instead_of_writing_into_the_old_place(
    registered: Path, tmp_path: Path, stages: Stages
) -> None:
    stages(seed=2)
    moved = shutil.copytree(registered, tmp_path / "moved")
    before = sorted(registered.rglob("*"))
    with pytest.raises(SadclError, match="The project has moved"):
        publish(moved)
    assert sorted(registered.rglob("*")) == before


@pytest.mark.parametrize("digest", ["test_list", "labels", "shards"])
def test_a_verdict_on_other_photos_or_labels_is_not_registered(project: Path, stages: Stages, digest: str) -> None:
    stages()
    verdict = files.read_json("reports/verdict.json")
    verdict["digests"][digest] = "9" * 64
    files.write_json("reports/verdict.json", verdict)
    with pytest.raises(SadclError, match=r"other scores than the figures.*dvc repro"):
        publish()


def test_a_verdict_by_other_rules_is_not_registered(project: Path, stages: Stages) -> None:
    stages()
    settings = params.read_settings()
    settings["gate"]["rules"][0]["at_least"] = 99.0
    (project / "params.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(SadclError, match=r"computed with other rules.*dvc repro"):
        publish()
