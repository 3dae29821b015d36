"""Batch prediction: the labels of all photos of a place, written to a folder; ``read`` reads it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sadcl.batch.reader import Predictions, read

__all__ = ["Predictions", "read"]


def __getattr__(name: str) -> Any:
    # a worker imports this package before it has set up the process for torch
    if name in __all__:
        return getattr(import_module("sadcl.batch.reader"), name)
    raise AttributeError(f"module 'sadcl.batch' has no attribute {name!r}")
