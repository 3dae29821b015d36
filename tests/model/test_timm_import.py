"""Import of timm and Fabric: torch's compiler and the hub's client come in when asked for, and work then."""

import subprocess
import sys

import pytest

BUILD = """
import sys
import torch
from sadcl import params
from sadcl.model.network import Network

settings = params.Model(
    backbone="test_resnet", weights="random", output_stride=32, side=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
    width=16, heads=2, feedforward=16, embedding=8,
)
network = Network(settings, 3, start=False).eval()
assert network(torch.zeros(1, 3, 64, 64)).logits.shape == (1, 3)
unused = ("torch._dynamo", "torch._inductor", "sympy", "huggingface_hub", "httpx")
print(sorted(name for name in sys.modules if name.startswith(unused)))
"""
USES = {
    "compile": "double = torch.compile(lambda x: 2 * x, backend='eager'); assert double(torch.ones(1)) == 2",
    "torchvision": """
import torchvision
boxes = [torch.tensor([[0.0, 0.0, 9.0, 9.0]])]
assert torchvision.ops.roi_align(torch.ones(1, 2, 16, 16), boxes, 4).shape == (1, 2, 4, 4)
""",
    "compiled modules": """
from sadcl.training.fabric import Fabric
from sadcl.model.compiler import CompiledModule
assert not isinstance(network, CompiledModule)
assert "torch._dynamo" not in sys.modules
compiled = torch.compile(torch.nn.Linear(2, 2), backend="eager")
assert isinstance(compiled, CompiledModule)
fabric = Fabric(accelerator="cpu", devices=1)
assert torch.equal(fabric.setup(compiled)(torch.ones(1, 2)), compiled(torch.ones(1, 2)))
""",
    "hub": """
from timm.models import _builder
from sadcl.model.timm_import import import_timm
assert not _builder.has_hf_hub()
import_timm(downloads=True)
assert _builder.has_hf_hub(necessary=True)
assert "huggingface_hub" in sys.modules
""",
    "postponed": """
from sadcl.model import compiler
import torch._dynamo
add = compiler._postponed(torch.compiler.disable)(lambda a, b: a + b)
assert add(1, b=2) == 3
""",
}

OTHER_TIMM = """
import torch
from sadcl.model import compiler, timm_import

compiler._postponed = lambda disable: disable
timm = timm_import.import_timm()
assert timm.create_model("test_resnet", num_classes=0)(torch.zeros(1, 3, 64, 64)).shape == (1, 96)
double = torch.compile(lambda x: 2 * x, backend="eager")
assert double(torch.ones(1)) == 2
"""
"""A timm that needs more of the compiler while it is imported."""


@pytest.mark.parametrize("use", USES)
def test_networks_are_built_without_compiler_and_hub_client_which_work_afterwards(use: str) -> None:
    completed = subprocess.run([sys.executable, "-c", BUILD + USES[use]], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout == "[]\n"


def test_a_timm_that_needs_the_compiler_gets_it() -> None:
    completed = subprocess.run([sys.executable, "-c", OTHER_TIMM], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
