"""Networks in shapes alone: parameters without memory and without values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

RANDOM = (Tensor.normal_, Tensor.uniform_, Tensor.exponential_, Tensor.bernoulli_)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Build networks on the meta device, and draw no initial values for them."""
    with torch.device("meta"), _NoRandomValues():
        yield


class _NoRandomValues(TorchFunctionMode):
    """Functions that would fill a tensor with random values leave it as it is.

    On the meta device they change nothing, but torch imports its compiler for them: a second and a half of CPU time.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func in RANDOM or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else options["tensor"]
        return func(*args, **options)
