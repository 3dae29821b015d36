"""Optimisers of torch that do not import its compiler.

torch wraps some methods of each optimiser so that a compiled training step leaves them out; the wrappers import the
compiler at their first call. No step is compiled here, so these classes have the methods without the wrappers.
"""

from typing import Any

import torch
from torch.optim import Optimizer


def _unwrapped(method: Any) -> Any:
    return method.__wrapped__


class _Eager:
    add_param_group = _unwrapped(Optimizer.add_param_group)
    load_state_dict = _unwrapped(Optimizer.load_state_dict)
    state_dict = _unwrapped(Optimizer.state_dict)
    zero_grad = _unwrapped(Optimizer.zero_grad)


class AdamW(_Eager, torch.optim.AdamW):
    """``torch.optim.AdamW``, whose steps can't be differentiated."""

    step = torch.no_grad()(_unwrapped(torch.optim.AdamW.step))


class LBFGS(_Eager, torch.optim.LBFGS):
    """``torch.optim.LBFGS``."""
