"""Capacity of a machine: cores, memory, disk, and the memory of each training of a project."""

import os
import shutil
from functools import cache
from pathlib import Path

from sadcl import layout, params
from sadcl.errors import SadclError
from sadcl.names import counted


def machine() -> str:
    """A sentence with the cores, memory, disk and GPUs of this machine."""
    import psutil
    import torch

    memory, gpus = psutil.virtual_memory(), torch.cuda.device_count()
    return (
        f"This machine has {os.cpu_count()} cores, {memory.total / 1e9:.1f} GB of memory, of which "
        f"{memory.available / 1e9:.1f} GB are free, {shutil.disk_usage('.').free / 1e9:.0f} GB free on the disk, and "
        f"{gpus or 'no'} GPU{'s' if gpus > 1 else ''}."
    )


def batch_prediction() -> str:
    """A sentence on the workers of batch prediction on this machine."""
    from sadcl.batch.engines import start

    workers = start.environments()
    unit = "GPU" if any(workers) else f"core and {start.WORKER_MEMORY / 1e9:g} GB of memory"
    count = counted(len(workers), "worker process", "worker processes")
    return f"Batch prediction runs {count} here, one for each {unit}."


@cache
def trainings() -> tuple[list[str], list[str]]:
    """Sentences on what the project's trainings need of this machine's memory: those that fit, and those that can't.

    Both are empty before the photos have been read, or for a linear probe.

    Raises:
        SadclError: settings or table are damaged.
    """
    from sadcl.data.table import read_table
    from sadcl.model import device
    from sadcl.training.memory_check import require_memory

    fitting: list[str] = []
    refused: list[str] = []
    settings = params.load() if Path(params.FILE).is_file() and layout.TABLE.is_file() else None
    if settings is None or settings.model.is_linear_probe:
        return fitting, refused
    classes, memory = len(read_table(layout.TABLE).classes), device.memory(device.pick())
    stages = {"pretrain": settings.pretrain} | ({"train": settings.train} if settings.model.has_stage_2 else {})
    for name, training in stages.items():
        try:
            needs = require_memory(settings.model, training, classes, memory, training.batch)
            fitting.append(f"{name}: {needs}.")
        except SadclError as error:
            refused.append(f"{name}: {error}")
    return fitting, refused
