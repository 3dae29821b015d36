"""Groups of ranks as torchrun starts them, as forks of a process that has imported torch."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from sadcl.services import free_port
from tests.programs import TRAINING, ForkServer, Program

RECORDED = ("-m", "benchmarks.recorded_stage")
"""Words of ``python`` that run a stage and record its photos."""


def start(
    programs: ForkServer, words: Sequence[str], world: int, folders: Sequence[Path] = (), **variables: str
) -> list[Program]:
    """Start a program in each of ``world`` ranks; one alone gets no variables of torchrun.

    Args:
        programs: that fork.
        words: arguments of ``python``.
        world: number of ranks.
        folders: working directory of each rank; by default that of this process.
        variables: of the environment.
    """
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "TORCHELASTIC_RUN_ID": "test"}
    group |= {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "GROUP_RANK": "0", "GLOO_SOCKET_IFNAME": "lo"}
    ranks = [{**group, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)] if world > 1 else [{}]
    return [
        programs.start(
            *words,
            imports=TRAINING,
            cwd=folders[number] if folders else None,
            env={**os.environ, "OMP_NUM_THREADS": "1", "SADCL_WORKERS": "1", **rank, **variables},
        )
        for number, rank in enumerate(ranks)
    ]


def finish(programs: ForkServer, words: Sequence[str], world: int, **variables: str) -> list[str]:
    """Run a program in each rank to its end; what each has printed."""
    running = start(programs, words, world, **variables)
    printed = [program.communicate()[0] for program in running]
    assert [program.returncode for program in running] == [0] * world, printed
    return printed


def set_up(source: Path, target: Path, views: int | None = None, **model: object) -> Path:
    """Copy a project, with two epochs a stage in float64, where the order of a sum hardly matters, without dropout."""
    shutil.copytree(source, target)
    raw = yaml.safe_load((target / "params.yaml").read_text())
    raw["model"] |= {"dropout": 0.0, **model}
    for stage in ("pretrain", "train"):
        raw[stage] |= {"precision": "64-true", "epochs": 2}
        raw[stage]["augmentation"]["views"] = views
    (target / "params.yaml").write_text(yaml.safe_dump(raw))
    return target
