"""Several processes train as one does: the same photos in the same steps, the same weights; a lost one ends all."""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from benchmarks import recorded_stage
from sadcl.training import launch
from sadcl.weights import checkpoint
from tests.programs import ForkServer, Program
from tests.training import groups

WEIGHTS = {stage: Path(f"models/{stage}/weights.safetensors") for stage in ("pretrain", "train")}


@pytest.fixture(scope="module")
def reference(template: Path, programs: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which one process has trained both stages."""
    root = groups.set_up(template, tmp_path_factory.mktemp("alone") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for stage in ("pretrain", "prototypes", "train"):
            groups.finish(programs, (*groups.RECORDED, stage), 1)
            for path in root.glob("photos-*.jsonl"):
                (root / stage).mkdir()
                path.rename(root / stage / path.name)
    return root


@pytest.fixture
def untrained(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project ``reference`` before stage 2; the working directory."""
    shutil.copytree(reference, tmp_path / "project")
    shutil.rmtree(tmp_path / "project/models/train")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def require_equal_training(stage: str, reference: Path) -> None:
    """Compare photos of all steps and final weights in the working directory with the reference's."""
    expected = recorded_stage.read(reference / stage)
    assert len(expected) == 4
    assert recorded_stage.read(Path()) == expected
    weights, _ = checkpoint.load_tensors(WEIGHTS[stage])
    for name, tensor in checkpoint.load_tensors(reference / WEIGHTS[stage])[0].items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-5, atol=1e-5, msg=lambda text, name=name: name + text)


@pytest.mark.parametrize("world", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("stage", ["pretrain", "train"])
def test_ranks_train_as_one_process(
    stage: str, world: int, reference: Path, untrained: Path, programs: ForkServer
) -> None:
    """Batch norms learn here: they need the statistics of all ranks."""
    shutil.rmtree(WEIGHTS[stage].parent, ignore_errors=True)
    first, *others = groups.finish(programs, (*groups.RECORDED, stage), world)
    require_equal_training(stage, reference)
    assert first.count("epoch 1 of 2") == first.count("select mAP") - 2 == 1
    assert "".join(others) == "", "one rank prints"
    assert not list(Path(".sadcl/state").glob("*/state.pt"))


def test_a_backbone_with_parameters_that_no_output_uses_trains_in_ranks(
    template: Path, tmp_path: Path, programs: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(
        groups.set_up(template, tmp_path / "unused", backbone="convnext_atto", output_stride=32, frozen=[])
    )
    groups.finish(programs, ("-m", "sadcl.stages", "pretrain"), 2)
    assert WEIGHTS["pretrain"].exists()


@pytest.mark.slow
def test_ranks_share_cached_feature_maps(
    template: Path, tmp_path: Path, programs: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = ["conv_stem", "bn1", "blocks", "conv_head", "bn2"]
    source = groups.set_up(template, tmp_path / "source", views=1, frozen=frozen, freeze_batch_norm=True)
    trained = []
    for world in (1, 2):
        shutil.copytree(source, tmp_path / str(world))
        monkeypatch.chdir(tmp_path / str(world))
        groups.finish(programs, ("-m", "sadcl.stages", "pretrain"), world)
        assert len(list(Path(".sadcl/cache/maps").iterdir())) == 2, "of train and select, computed once"
        trained.append(checkpoint.load_tensors(WEIGHTS["pretrain"])[0])
    for name, tensor in trained[0].items():
        torch.testing.assert_close(trained[1][name], tensor, rtol=1e-5, atol=1e-5)


def states() -> Iterator[tuple[int, int]]:
    """Epoch and step of the state on disk."""
    for path in Path(".sadcl/state").glob("*/state.pt"):
        progress = torch.load(path, weights_only=True)["progress"]
        yield progress["epoch"], progress["step"]


def stop_after_a_step(ranks: list[Program]) -> tuple[int, int]:
    """Stop the first rank after it has saved a state; epoch and step of the state."""
    deadline = time.monotonic() + 120
    while True:
        ranks[0].send_signal(signal.SIGSTOP)
        if saved := list(states()):
            return saved[0]
        assert ranks[0].poll() is None, ranks[0].communicate()[0]
        assert time.monotonic() < deadline
        ranks[0].send_signal(signal.SIGCONT)
        time.sleep(0.02)


@pytest.mark.parametrize("then", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_killed_rank_ends_the_other_and_another_number_of_them_goes_on_at_the_next_photo(
    then: int, reference: Path, untrained: Path, programs: ForkServer
) -> None:
    ranks = groups.start(programs, (*groups.RECORDED, "train"), 2, SADCL_STATE_SECONDS="0")
    reached = stop_after_a_step(ranks)
    ranks[1].send_signal(signal.SIGKILL)
    ranks[0].send_signal(signal.SIGCONT)
    printed = ranks[0].communicate(timeout=60)[0]
    assert ranks[0].returncode == 2, printed
    assert "Another process of this training has ended. Start it again; training goes on" in printed
    assert "Traceback" not in printed
    assert not WEIGHTS["train"].exists()
    reached = max(states(), default=reached)
    for path in Path().glob("photos-*.jsonl"):
        path.unlink()
    assert "resumes at epoch" in groups.finish(programs, (*groups.RECORDED, "train"), then)[0]
    continued = recorded_stage.read(Path())
    assert continued == {step: ids for step, ids in recorded_stage.read(reference / "train").items() if step >= reached}
    weights, _ = checkpoint.load_tensors(WEIGHTS["train"])
    for name, tensor in checkpoint.load_tensors(reference / WEIGHTS["train"])[0].items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-5, atol=1e-5)


def test_a_rank_with_other_settings_is_refused_and_they_are_named(
    untrained: Path, tmp_path: Path, programs: ForkServer
) -> None:
    other = tmp_path / "other"
    shutil.copytree(untrained, other)
    raw = yaml.safe_load((other / "params.yaml").read_text())
    (other / "params.yaml").write_text(yaml.safe_dump(raw | {"seed": raw["seed"] + 1}))
    ranks = groups.start(programs, ("-m", "sadcl.stages", "train"), 2, [untrained, other])
    printed = [rank.communicate()[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [2, 2]
    assert "has other inputs than" in printed[0]
    assert ": seed. All machines need the same commit" in printed[0]
    assert "Traceback" not in "".join(printed)
    assert not WEIGHTS["train"].exists()


def test_a_machine_without_the_weights_of_stage_1_gets_them(
    reference: Path, untrained: Path, tmp_path: Path, programs: ForkServer
) -> None:
    other = tmp_path / "other"
    shutil.copytree(untrained, other)
    shutil.rmtree(other / "models")
    ranks = groups.start(
        programs, ("-m", "sadcl.stages", "train"), 2, [untrained, other], LOCAL_RANK="0", LOCAL_WORLD_SIZE="1"
    )
    printed = [rank.communicate()[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], printed
    for file in (WEIGHTS["pretrain"], Path("models/prototypes.safetensors")):
        assert (other / file).read_bytes() == (reference / file).read_bytes()
    assert WEIGHTS["train"].exists()
    assert not (other / WEIGHTS["train"]).exists(), "the first rank alone writes"


def test_ranks_stand_back_from_another_trainer(untrained: Path, programs: ForkServer) -> None:
    (alone,) = groups.start(programs, ("-m", "sadcl.stages", "train"), 1, SADCL_STATE_SECONDS="0")
    stop_after_a_step([alone])
    ranks = groups.start(programs, ("-m", "sadcl.stages", "train"), 2)
    printed = [rank.communicate(timeout=100)[0] for rank in ranks]
    alone.send_signal(signal.SIGCONT)
    assert [rank.returncode for rank in ranks] == [2, launch.LOST]
    assert f"Another process (pid {alone.pid}) is already training this model" in printed[0]
    assert printed[1] == "", "one sentence is enough"
    alone.communicate()
    assert alone.returncode == 0


@pytest.mark.parametrize(("stage", "variables", "program"), [
    ("train", {"DVC_STAGE": "train"}, "DVC"),
    ("prototypes", {}, "the stage prototypes"),
])  # fmt: skip
def test_dvc_and_other_stages_under_torchrun_are_refused(
    stage: str, variables: dict[str, str], program: str, untrained: Path, programs: ForkServer
) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    for rank in groups.start(programs, ("-m", "sadcl.stages", stage), 2, **variables):
        printed = rank.communicate()[0]
        assert rank.returncode == 2
        assert f"torchrun has started {program} 2 times. Run `SADCL_PROCESSES=2 dvc repro` instead." in printed
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before


NOT_FINITE = """
import sys
import torch
from lightning_fabric import Fabric
from sadcl.errors import SadclError
from sadcl.training.nonfinite import NonFiniteGuard
from sadcl.training.ranks import Ranks

fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
guard = NonFiniteGuard(torch.optim.AdamW([torch.zeros(1)], fused=True), Ranks(fabric))
loss = torch.tensor([1.0, float("nan")][fabric.global_rank])
guard.add_losses({"loss": loss}, [f"photo {fabric.global_rank}"], "here")
try:
    guard.check()
except SadclError as error:
    print(error)
"""


def test_a_bad_loss_of_any_rank_is_named_with_its_photos(programs: ForkServer) -> None:
    for printed in groups.finish(programs, ("-c", NOT_FINITE), 2):
        assert "The loss is not finite: loss nan; images photo 1 and 0 more" in printed
