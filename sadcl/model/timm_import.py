"""Import of timm without torch's compiler, and with any build of torchvision.

timm imports torchvision, and both import ``torch._dynamo`` for functions that nothing here calls: two of the three and
a half seconds that a process took until it had a network.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

COMPILER = "torch._dynamo.utils"

_operators: Any = None


def import_timm() -> ModuleType:
    """Import timm; torch's compiler is imported when a function of torchvision or timm asks for it."""
    if "timm" not in sys.modules:
        try:
            with _postponed_compiler():
                _import_torchvision()
                import_module("timm")
        except ImportError:  # another release of timm may need more of the compiler than the two functions
            _import_torchvision()
    return import_module("timm")


@contextmanager
def _postponed_compiler() -> Iterator[None]:
    """Put wrappers in the place of the two functions for which torchvision and timm import the compiler."""
    if COMPILER in sys.modules:
        yield
        return
    disable = torch.compiler.disable
    placeholder = ModuleType(COMPILER)
    vars(placeholder)["is_compile_supported"] = lambda device: import_module(COMPILER).is_compile_supported(device)
    sys.modules[COMPILER] = placeholder
    torch.compiler.disable = _postponed(disable)
    try:
        yield
    finally:
        torch.compiler.disable = disable
        del sys.modules[COMPILER]


def _postponed(disable: Callable[..., Any]) -> Callable[..., Any]:
    """Version of the decorator ``torch.compiler.disable`` that disables a function at its first call."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return disable(function)(*args, **kwargs)

        return call

    return decorate


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
