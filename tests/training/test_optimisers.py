"""Optimisers without torch's compiler: their steps are those of torch's own."""

import subprocess
import sys

import pytest
import torch

from sadcl.training import optimisers

STEPS = """
import sys
import torch
from sadcl.training import optimisers
weight = torch.ones(3, requires_grad=True)
for optimiser in (optimisers.AdamW([weight]), optimisers.LBFGS([weight])):
    def loss():
        optimiser.zero_grad()
        value = weight.square().sum()
        value.backward()
        return value
    optimiser.step(loss)
    optimiser.load_state_dict(optimiser.state_dict())
print("torch._dynamo" in sys.modules)
"""


def trained(kind: type[torch.optim.Optimizer]) -> tuple[torch.Tensor, dict[str, object]]:
    """Weights and settings after steps towards 3, the second half with an optimiser that takes over the state."""
    weight = torch.linspace(-1.0, 1.0, 7).requires_grad_()
    first, second = kind([weight], lr=0.1), kind([weight], lr=0.5)

    def loss() -> torch.Tensor:
        weight.grad = None
        value = (weight - 3).square().sum()
        value.backward()
        return value

    first.step(loss)
    first.zero_grad()
    second.load_state_dict(first.state_dict())
    second.step(loss)
    return weight.detach(), second.state_dict()["param_groups"][0]


@pytest.mark.parametrize("name", ["AdamW", "LBFGS"])
def test_steps_are_those_of_torch(name: str) -> None:
    weight, group = trained(getattr(optimisers, name))
    expected, settings = trained(getattr(torch.optim, name))
    assert torch.equal(weight, expected)
    assert group == settings


def test_a_step_imports_no_compiler() -> None:
    completed = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=False)
    assert (completed.returncode, completed.stdout) == (0, "False\n"), completed.stderr
