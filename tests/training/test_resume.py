"""A trainer killed at any step and started again ends with the same bytes as one left alone."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.prototypes.collect import class_prototypes
from sadcl.training import fit
from tests.programs import TRAINING, ForkServer, Program

STAGES = {"pretrain": Path("models/pretrain"), "train": Path("models/train")}


class Trainers:
    """Trainers of the project in the working directory that save their state at every step."""

    def __init__(self, server: ForkServer) -> None:
        self.server = server

    def start(self, stage: str, largest: int | None = None) -> Program:
        """Run a stage, which may write files up to so many bytes."""
        environment = {**os.environ, "SADCL_STATE_SECONDS": "0"}
        program = self.server.start("-m", "sadcl.stages", stage, imports=TRAINING, env=environment)
        if largest is not None:
            resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (largest, largest))
        return program

    def finish(self, stage: str) -> str:
        """Run a stage to its end; what it printed."""
        program = self.start(stage)
        printed, _ = program.communicate()
        assert program.returncode == 0, printed
        return printed

    def kill_at(self, stage: str, epoch: int, step: int) -> None:
        program = self.start(stage)
        wait_for_state(program, epoch, step)
        program.send_signal(signal.SIGKILL)
        program.communicate()


@pytest.fixture
def trainers(programs: ForkServer) -> Trainers:
    return Trainers(programs)


def states() -> Iterator[tuple[int, int]]:
    """Epoch and step of the state on disk."""
    for path in Path(".sadcl/state").glob("*/state.pt"):
        progress = torch.load(path, weights_only=True)["progress"]
        yield progress["epoch"], progress["step"]


def wait_for_state(trainer: Program, epoch: int, step: int) -> None:
    """Wait until a trainer has saved its state at a step; it is stopped while we look, and from then on."""
    deadline = time.monotonic() + 120
    while True:
        trainer.send_signal(signal.SIGSTOP)
        if any(reached >= (epoch, step) for reached in states()):
            return
        assert trainer.poll() is None, trainer.communicate()[0]
        assert time.monotonic() < deadline
        trainer.send_signal(signal.SIGCONT)
        time.sleep(0.02)


@pytest.fixture
def after_stage_1(project: Path) -> Path:
    settings = params.load()
    fit.pretrain(settings, Path("data/shards")).save(STAGES["pretrain"])
    from sadcl.stages import prototypes

    prototypes.main()
    return project


@pytest.mark.parametrize(("epoch", "step"), [(0, 1), (1, 1)])
def test_stage_2_killed_and_started_again_gives_the_same_bytes(
    after_stage_1: Path, trainers: Trainers, epoch: int, step: int
) -> None:
    weights = STAGES["train"] / "weights.safetensors"
    trainers.finish("train")
    undisturbed = weights.read_bytes()
    weights.unlink()
    trainers.kill_at("train", epoch, step)
    assert not weights.exists()
    assert "resumes at epoch" in trainers.finish("train")
    assert weights.read_bytes() == undisturbed
    assert not list(Path(".sadcl/state").glob("*/state.pt")), "the state is removed when the stage is done"


def test_stage_1_killed_and_started_again_gives_the_same_bytes(project: Path, trainers: Trainers) -> None:
    weights = STAGES["pretrain"] / "weights.safetensors"
    trainers.finish("pretrain")
    undisturbed = weights.read_bytes()
    trainers.kill_at("pretrain", 1, 0)
    trainers.finish("pretrain")
    assert weights.read_bytes() == undisturbed


def test_two_trainers_never_work_on_one_state(project: Path) -> None:
    settings = params.load()
    first = fit.pretrain(settings, Path("data/shards"))
    with first.state.lock(), pytest.raises(SadclError, match="already training this model"):
        fit.pretrain(settings, Path("data/shards"))


def test_a_second_process_stands_back_from_a_trainer_that_is_alive(project: Path, trainers: Trainers) -> None:
    first = trainers.start("pretrain")
    wait_for_state(first, 0, 1)  # alive, and holding its state, for as long as we look
    second = trainers.start("pretrain")
    printed, _ = second.communicate(timeout=300)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 2
    assert f"Another process (pid {first.pid}) is already training this model" in printed
    assert "Traceback" not in printed
    assert first.communicate(timeout=300)[0]
    assert first.returncode == 0
    assert (STAGES["pretrain"] / "weights.safetensors").exists()


@pytest.mark.parametrize("share", [0.5, 0.98], ids=["in the middle", "at the end"])
def test_a_disk_without_room_for_the_state_is_a_sentence_and_the_next_run_goes_on(
    project: Path, trainers: Trainers, share: float
) -> None:
    trainers.kill_at("pretrain", 0, 1)
    (state,) = Path(".sadcl/state").glob("*/state.pt")
    before, parts = state.read_bytes(), set(Path(".sadcl").rglob("*.part"))  # the kill may have left one
    process = trainers.start("pretrain", largest=int(len(before) * share))
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 2, printed
    assert "no partial file was written" in printed
    assert "Traceback" not in printed
    assert state.read_bytes() == before
    assert set(Path(".sadcl").rglob("*.part")) == parts
    assert not STAGES["pretrain"].exists()
    assert "resumes at epoch" in trainers.finish("pretrain")


def test_a_finished_training_is_found_again(project: Path) -> None:
    settings = params.load()
    first = fit.pretrain(settings, Path("data/shards"))
    epochs: list[int] = []
    again = fit.pretrain(settings, Path("data/shards"), report=lambda epoch, value: epochs.append(epoch))
    assert epochs == [], "no epoch ran a second time"
    assert again.history == first.history
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in first.tensors.items())


def test_prototypes_are_the_same_bytes_twice(after_stage_1: Path) -> None:
    from sadcl.stages import prototypes

    first = files.digest("models/prototypes.safetensors")
    prototypes.main()
    assert files.digest("models/prototypes.safetensors") == first
    vectors, counts = class_prototypes(
        STAGES["pretrain"] / "weights.safetensors", Path("data/shards/train"), params.load().prototypes
    )
    assert vectors.shape == (10, 16)
    assert (vectors[counts == 0] == 0).all()
