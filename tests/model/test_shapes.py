"""Networks in shapes alone."""

import subprocess
import sys

import torch
from torch import nn

from sadcl.model.shapes import shapes_only

BUILD = """
import sys
from sadcl import params
from sadcl.model.network import Network
from sadcl.model.shapes import shapes_only
settings = params.Model(
    backbone="tf_efficientnet_lite0", weights="package", output_stride=16, dilated=False, side=64,
    mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), width=16, heads=2, feedforward=16, embedding=8,
)
with shapes_only():
    network = Network(settings, 3, start=False)
assert all(tensor.is_meta for tensor in network.state_dict().values())
print("torch._dynamo" in sys.modules)
"""


def test_tensors_have_shapes_and_no_memory() -> None:
    with shapes_only():
        layer = nn.Linear(3, 4)
        nn.init.trunc_normal_(nn.init.kaiming_normal_(layer.weight), std=0.1).uniform_()
    assert layer.weight.is_meta
    assert layer.weight.shape == (4, 3)
    assert nn.Linear(3, 4).weight.abs().sum() > 0  # random values again, outside


def test_no_values_are_drawn() -> None:
    state = torch.random.get_rng_state()
    with shapes_only():
        nn.Linear(3, 4)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_network_is_built_without_the_compiler() -> None:
    completed = subprocess.run([sys.executable, "-c", BUILD], capture_output=True, text=True, check=False)
    assert (completed.returncode, completed.stdout) == (0, "False\n"), completed.stderr
