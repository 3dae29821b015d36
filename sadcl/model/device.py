"""The one module that asks what hardware there is."""

import os

import torch

from sadcl.errors import SadclError


def pick(name: str | None = None) -> torch.device:
    """The device to compute on: ``name``, else ``SADCL_DEVICE``, else a GPU where there is one.

    Raises:
        SadclError: there is no such device here.
    """
    asked = name or os.environ.get("SADCL_DEVICE")
    if not asked:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
        torch.zeros(1, device=device).item()  # a name may be right and its device absent
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise SadclError(
            f"There is no device {asked!r} here: {reason}", where=None if name else "SADCL_DEVICE", fix="Use cpu"
        ) from None
    return device


def describe(device: torch.device) -> str:
    """The device in words, as it stands beside results."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type} ({torch.get_num_threads()} threads)"


def slow(precision: str) -> bool:
    """Whether this machine has to emulate a precision, which takes several times as long as float32."""
    if not precision.startswith(("bf16", "16")) or pick().type != "cpu":
        return False
    return precision.startswith("16") or not torch.ops.mkldnn._is_mkldnn_bf16_supported()
