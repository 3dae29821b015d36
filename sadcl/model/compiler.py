"""Imports without torch's compiler, which takes longer to import than torch itself and which nothing here calls."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

COMPILER = "torch._dynamo"
UTILITIES = f"{COMPILER}.utils"


class _CompiledModules(type):
    def __instancecheck__(cls, value: object) -> bool:
        compiler = sys.modules.get(COMPILER)
        return compiler is not None and isinstance(value, compiler.OptimizedModule)


class CompiledModule(metaclass=_CompiledModules):
    """Class of compiled modules for ``isinstance``: that of the compiler, once it has been imported."""


@contextmanager
def postponed_compiler() -> Iterator[None]:
    """Let libraries be imported without the compiler: placeholders stand for the few parts that they take from it.

    A function of a library that uses one of these parts imports the compiler when it is called.
    """
    if COMPILER in sys.modules:
        yield
        return
    disable = torch.compiler.disable
    placeholders = {COMPILER: ModuleType(COMPILER), UTILITIES: ModuleType(UTILITIES)}
    vars(placeholders[COMPILER])["OptimizedModule"] = CompiledModule
    vars(placeholders[UTILITIES])["is_compile_supported"] = lambda device: import_module(
        UTILITIES
    ).is_compile_supported(device)
    sys.modules.update(placeholders)
    torch.compiler.disable = _postponed(disable)
    try:
        yield
    finally:
        torch.compiler.disable = disable
        for name in placeholders:
            del sys.modules[name]


def _postponed(disable: Callable[..., Any]) -> Callable[..., Any]:
    """Version of the decorator ``torch.compiler.disable`` that disables a function at its first call."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return disable(function)(*args, **kwargs)

        return call

    return decorate
