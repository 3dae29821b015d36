"""Import of timm without torch's compiler and the client of the Hugging Face hub, and with any build of torchvision."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module, reload
from types import ModuleType
from typing import Any

import torch

from sadcl.model.compiler import postponed_compiler

HUB_CLIENT, HUB_MODULE = "huggingface_hub", "timm.models._hub"
_operators: Any = None


def import_timm(downloads: bool = False) -> ModuleType:
    """Import timm; torch's compiler is imported when a function of torchvision or timm asks for it.

    Args:
        downloads: whether weights may be downloaded; the hub's client takes as long to import as timm's networks.
    """
    if "timm" not in sys.modules:
        try:
            with postponed_compiler(), _without_hub_client():
                _import_torchvision()
                import_module("timm")
        except (
            AttributeError,
            ImportError,
        ):  # another release of timm may need more of the compiler
            _import_torchvision()
    if downloads and not import_module(HUB_MODULE).has_hf_hub():
        reload(sys.modules[HUB_MODULE])  # its functions, which other modules of timm hold, see its new names
    return import_module("timm")


@contextmanager
def _without_hub_client() -> Iterator[None]:
    """Let timm be imported as where the hub's client is not installed."""
    if HUB_CLIENT in sys.modules:
        yield
        return
    sys.modules[HUB_CLIENT] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[HUB_CLIENT]


def _import_torchvision() -> None:
    """Import torchvision, even one that was built for another torch.

    A CUDA build of torchvision fails on import under a CPU build of torch, for want of two compiled operators. Only
    then are these declared; nothing here calls them.
    """
    global _operators
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        # in a global: torch drops the operators together with this object
        _operators = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            _operators.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401
