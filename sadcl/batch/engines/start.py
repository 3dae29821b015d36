"""Start of an engine by its name, with a worker for each GPU or core."""

import os

from sadcl import processes
from sadcl.batch.lease import Engine
from sadcl.batch.spec import Spec
from sadcl.processes import EngineName

WORKER_MEMORY, NETWORK_MEMORY = 1_500_000_000, 500_000_000
"""Bytes for a worker with a large network and large photos, and for each further network."""
DRIVERS = ("/dev/nvidiactl", "/dev/nvmap", "/dev/kfd", "/dev/dxg")
"""Files of the drivers of GPUs that torch can use."""

Environments = list[dict[str, str]]


def start(name: EngineName, spec: Spec, local: Environments, workers: int | None = None) -> tuple[Engine, int]:
    """Start an engine.

    Args:
        name: of the engine.
        spec: of the job.
        local: variables of each worker on this machine.
        workers: number of workers on a cluster; None for one on each core or GPU.

    Returns:
        The engine, and its number of workers.

    Raises:
        SadclError: no worker can be started, or there is no cluster.
    """
    if name == "ray":
        from sadcl.batch.engines import ray

        actors = ray.RayEngine(spec, workers)
        return actors, actors.workers
    from sadcl.batch.engines.local import LocalEngine

    return LocalEngine(spec, local), len(local)


def environments(workers: int | None = None, networks: int = 1) -> Environments:
    """Variables of each worker on this machine: one for each GPU, or for each core as far as the memory reaches.

    Args:
        workers: their number, instead.
        networks: that a worker loads; without any, GPUs are of no use.
    """
    if networks and _may_have_gpus():
        import torch

        from sadcl.model import device

        chosen = device.pick()
        if chosen.type == "cuda":
            visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
            return gpu_environments(visible.split(","), chosen.index, workers)
    fitting = max(1, processes.memory() // (WORKER_MEMORY + (networks - 1) * NETWORK_MEMORY))
    return [{} for _ in range(workers or min(processes.workers(), fitting))]


def _may_have_gpus() -> bool:
    """Whether this machine may have GPUs, told without torch.

    Importing torch takes a second and 150 MB of a process that computes nothing itself.
    """
    requested = os.environ.get("SADCL_DEVICE")
    return requested != "cpu" if requested else any(map(os.path.exists, DRIVERS))


def gpu_environments(visible: list[str], index: int | None, workers: int | None) -> Environments:
    """Variables of each worker on GPUs.

    Args:
        visible: names of the GPUs, as in ``CUDA_VISIBLE_DEVICES``.
        index: of the only one to use, as in ``SADCL_DEVICE=cuda:1``; None for all.
        workers: their number; None for one on each GPU.
    """
    gpus = visible if index is None else [visible[index]]
    # a worker sees one GPU only, whose number is 0 there
    return [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)], "SADCL_DEVICE": "cuda"} for i in range(workers or len(gpus))]


def threads(local: Environments) -> int:
    """Threads that decode photos in each worker, so that all of them share the cores."""
    return max(2, processes.workers() // len(local))
