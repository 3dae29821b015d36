"""Two processes that share a batch learn what one process with the whole batch would have learnt."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sadcl.services import free_port
from tests.programs import TRAINING, ForkServer

START = """
import sys
import torch
from lightning_fabric import Fabric

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
world, out = int(sys.argv[1]), sys.argv[2]
fabric = Fabric(accelerator="cpu", devices=world, strategy="ddp" if world > 1 else "auto", precision="64-true")
fabric.launch()
assert fabric.world_size == world
torch.manual_seed(3)
B, C, D, E = 8, 5, 6, 4
"""
"""Both scripts begin alike: the same processes, the same numbers."""

SCRIPT = """
from sadcl.model.losses import prototype_to_sample, sample_to_sample
from sadcl.training.distributed import Gather

features, memory = torch.randn(B, C, D), torch.randn(B, C, D)
targets, ignored = torch.rand(B, C) < 0.4, torch.rand(B, C) < 0.1
targets, prototypes = targets & ~ignored, torch.randn(C, D)
if sys.argv[3] == "lopsided":
    targets[: B // 2] = False
layer = torch.nn.Linear(D, E)
module = fabric.setup(layer)
own = slice(fabric.global_rank * B // world, (fabric.global_rank + 1) * B // world)
projected = module(torch.cat([features[own], memory[own], prototypes[None]]))
x, m, c = projected.split([B // world, B // world, 1])
gather = Gather(fabric)
where = targets[own].nonzero(as_tuple=True)
counts = [2 * int(part.sum()) for part in targets.split(B // world)]
entries, classes = gather.activated(torch.cat([x[where], m[where]]), where[1].repeat(2), counts)
loss = sample_to_sample(entries, classes)
everyone = gather.batch(x, targets[own], ignored[own])
loss = loss + prototype_to_sample(everyone[0], c[0], everyone[1], ignored=everyone[2])
fabric.backward(loss)
if fabric.global_rank == 0:
    torch.save({"loss": loss.detach(), **{n: p.grad for n, p in layer.named_parameters()}}, out)
"""

UPDATES = """
import numpy as np
from sadcl import params
from sadcl.data.shards.batches import Batch
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.heads import HeadOutput
from sadcl.model.memory import Memory
from sadcl.training.distributed import Gather
from sadcl.training.objective import DualContrastive


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.features, self.logits = torch.nn.Linear(3, C * D), torch.nn.Linear(D, 1)

    def forward(self, images):
        features = self.features(images).view(len(images), C, D)
        return HeadOutput(self.logits(features)[..., 0], features)


module = DualContrast(Net(), torch.randn(C, D), E)
given = {"sample_to_sample": 1.0, "prototype_to_sample": 1.0, "contrast_warmup_epochs": 0.0, "memory_threshold": 0.5}
settings = params.load(path="recipes/demo.yaml").train.model_copy(update=given)
objective = DualContrastive(module, Memory(module.prototypes, B // world), settings, Gather(fabric))
forward, sgd = fabric.setup(module, torch.optim.SGD(module.parameters(), 0.1))
own = slice(fabric.global_rank * B // world, (fabric.global_rank + 1) * B // world)
for _ in range(3):
    images, targets = torch.randn(B, 3), torch.rand(B, C) < 0.4
    if sys.argv[3] == "lopsided":
        targets[: B // 2] = False
    shares = tuple(int(part.sum()) for part in targets.split(B // world))
    own_targets, rows = targets[own], np.arange(B // world)
    ignored = ~targets & (torch.rand(B, C) < 0.3)
    ignored[: B // 2] |= ~targets[: B // 2]  # the first process counts its positives alone
    batch = Batch(images[own], own_targets, ignored[own], [], rows, own_targets.nonzero(as_tuple=True), shares)
    parts = objective.losses(forward, batch, 1.0)
    sgd.zero_grad()
    fabric.backward(parts["loss"])
    sgd.step()
    objective.after_step()
memory = fabric.all_gather(objective.memory.tensor).reshape(B, C, D)
if fabric.global_rank == 0:
    contrast = {name: parts[name].detach() for name in ("sample_to_sample", "prototype_to_sample")}
    torch.save({"memory": memory, **contrast, **{n: p.detach() for n, p in module.named_parameters()}}, out)
"""


Learn = Callable[[int, str, str], dict[str, torch.Tensor]]


@pytest.fixture
def learn(programs: ForkServer, tmp_path: Path) -> Learn:
    """Run a script in so many processes, with a share of positives; what the first one saves."""

    def run(world: int, share: str, text: str) -> dict[str, torch.Tensor]:
        script, out = tmp_path / "script.py", tmp_path / f"{world}.pt"
        script.write_text(START + text)
        # what torchrun sets
        group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "TORCHELASTIC_RUN_ID": "test"}
        group |= {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
        ranks = [{**group, "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"} for rank in range(world)]
        ran = [
            programs.start(
                str(script), str(world), str(out), share,
                imports=TRAINING, env={**os.environ, **(rank if world > 1 else {})},
            )
            for rank in ranks
        ]  # fmt: skip
        for program in ran:
            printed, _ = program.communicate(timeout=200)
            assert program.returncode == 0, printed
        saved: dict[str, torch.Tensor] = torch.load(out, weights_only=True)
        return saved

    return run


@pytest.mark.parametrize("share", ["even", "lopsided"])
def test_losses_and_gradients_are_those_of_the_whole_batch(share: str, learn: Learn) -> None:
    """Lopsided: the first process has no positive at all."""
    alone, together = learn(1, share, SCRIPT), learn(2, share, SCRIPT)
    assert alone["weight"].abs().max() > 1e-3
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("share", ["even", "lopsided"])
def test_updates_and_memory_are_those_of_one_process(share: str, learn: Learn) -> None:
    """Three updates of stage 2 as the trainer makes them: what the last losses see has passed through the memory."""
    alone, together = learn(1, share, UPDATES), learn(2, share, UPDATES)
    slots = alone["memory"].flatten(0, 1)
    assert len(slots.unique(dim=0)) > 6  # more than the prototypes that it began with
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-6, atol=1e-9)
