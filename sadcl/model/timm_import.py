"""Import of timm without torch's compiler, and with any build of torchvision."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

from sadcl.model.compiler import postponed_compiler

_operators: Any = None


def import_timm() -> ModuleType:
    """Import timm; torch's compiler is imported when a function of torchvision or timm asks for it."""
    if "timm" not in sys.modules:
        try:
            with postponed_compiler():
                _import_torchvision()
                import_module("timm")
        except (
            AttributeError,
            ImportError,
        ):  # another release of timm may need more of the compiler
            _import_torchvision()
    return import_module("timm")


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
