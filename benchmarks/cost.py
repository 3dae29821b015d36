"""Cost of each row of the comparison: parameters, multiply-adds and speed, in one run on one device."""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import cell
from sadcl import files, params
from sadcl.data.shards.batches import Batch
from sadcl.model import device
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.memory import Memory
from sadcl.model.network import Network
from sadcl.progress import say
from sadcl.stages import runner
from sadcl.training import schedule
from sadcl.training.distributed import Gather
from sadcl.training.objective import Classification, DualContrastive, Objective

CLASSES, BATCH, POSITIVE, ROUNDS = 80, 50, 0.036, 5
STAGE_2 = ("zero", "sample_to_sample", "prototype_to_sample", "both")


def cost(kind: str, row: str) -> dict[str, Any]:
    """Measure parameters of the head, multiply-adds of a photo, and images/s in training and inference.

    With a frozen backbone feature maps are cached: only the head is counted and timed.
    """
    import torch

    torch.manual_seed(0)
    settings, where = cell.settings(kind, row, 1), device.pick()
    network = Network(settings.model, CLASSES, start=False).to(where)
    images = _maps(network, settings.model, kind).to(where)
    network.eval()

    def infer() -> None:
        with torch.inference_mode():
            network(images)
        _wait(where)

    inference = _speed(infer)
    network.train()
    return {
        "parameters": sum(p.numel() for p in network.head.parameters()),
        "multiply_adds": multiply_adds(network.eval(), images[:1]),
        "inference": inference,
        "training": _speed(_step(_objective(settings, network, row, where), settings, images, row)),
    }


def multiply_adds(network: Network, photo: Any) -> int:
    """Count multiply-adds of one photo (or its maps): products and convolutions, not sums, norms or activations."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    # the counter has no formula for the CPU's fused attention
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network(photo)
    return int(counter.get_total_flops()) // 2


def _maps(network: Network, model: params.Model, kind: str) -> Any:
    import torch

    if kind != "frozen":
        return torch.randn(BATCH, 3, model.side, model.side).contiguous(memory_format=torch.channels_last)
    side = model.side // model.output_stride
    return torch.rand(BATCH, network.backbone.channels, side, side).contiguous(memory_format=torch.channels_last)


def _objective(settings: params.Params, network: Network, row: str, where: Any) -> Objective:
    import torch
    from lightning_fabric import Fabric

    gather = Gather(Fabric(accelerator=where.type, devices=1))
    if row not in STAGE_2:
        return Classification(network, settings.pretrain, gather)
    module = DualContrast(network, torch.randn(CLASSES, settings.model.width), settings.model.embedding).to(where)
    memory = Memory(module.prototypes.detach(), BATCH)
    return DualContrastive(module, memory.to(where), settings.train, gather)


def _step(objective: Objective, settings: params.Params, images: Any, row: str) -> Callable[[], None]:
    """Prepare one update on random labels as dense as COCO's."""
    import numpy as np
    import torch

    fit: params.Pretrain = settings.train if row in STAGE_2 else settings.pretrain
    targets = torch.rand(BATCH, CLASSES) < POSITIVE
    photo, label = targets.nonzero(as_tuple=True)
    batch = Batch(
        images, targets, torch.zeros_like(targets), [""] * BATCH, np.arange(BATCH), (photo, label), (len(photo),)
    )
    batch = batch.to(images.device)
    adamw, _ = schedule.optimiser(objective.module, fit, 1)

    def step() -> None:
        adamw.zero_grad(set_to_none=True)
        objective.losses(objective.module, batch, 1.0)["loss"].backward()
        adamw.step()
        objective.after_step()
        _wait(images.device)

    return step


def _speed(call: Callable[[], None]) -> float:
    """Images/s of a call on a batch: the median of ``ROUNDS`` after a warm-up."""

    def seconds() -> float:
        started = time.perf_counter()
        call()
        return time.perf_counter() - started

    return round(BATCH / statistics.median([seconds() for _ in range(ROUNDS + 1)][1:]), 1)


def _wait(where: Any) -> None:
    import torch

    if where.type == "cuda":
        torch.cuda.synchronize()


def main() -> str:
    """``python -m benchmarks.cost KIND ROW ...``: measure the rows, one after another."""
    kind, *rows = sys.argv[1:]
    costs = {}
    for row in rows:
        costs[row] = cost(kind, row)
        say(f"  {row}: {costs[row]}")
    out = cell.CELLS / f"cost-{kind}.json"
    files.write_json(out, {"device": device.describe(device.pick()), "rows": costs})
    return f"{len(costs)} rows in {out}"


if __name__ == "__main__":
    runner.run(f"cost {sys.argv[1]}", "no data", main)
