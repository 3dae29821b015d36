"""The one module that asks what hardware there is."""

import os

import torch


def pick(name: str | None = None) -> torch.device:
    """The device to compute on: ``name``, else ``SADCL_DEVICE``, else a GPU where there is one."""
    chosen = name or os.environ.get("SADCL_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(chosen)


def describe(device: torch.device) -> str:
    """The device in words, as it stands beside results."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type} ({torch.get_num_threads()} threads)"
