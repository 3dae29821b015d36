"""What stage 2's losses teach, and what they leave alone."""

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sadcl import params
from sadcl.data.shards.batches import Batch
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.heads import HeadOutput
from sadcl.model.losses import asymmetric
from sadcl.model.memory import Memory
from sadcl.training.distributed import Gather
from sadcl.training.objective import Classification, DualContrastive
from tests.paths import REPOSITORY

B, C, D, E = 6, 4, 5, 3
DEMO = REPOSITORY / "recipes/demo.yaml"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features, self.logits = nn.Linear(3, C * D), nn.Linear(D, 1)

    def forward(self, images: Tensor) -> HeadOutput:
        features = self.features(images).view(len(images), C, D)
        return HeadOutput(self.logits(features)[..., 0], features)


def gradients(epoch: float, **given: float) -> dict[str, Tensor | None]:
    torch.manual_seed(0)
    settings = params.load(path=DEMO).train.model_copy(update={"contrast_warmup_epochs": 0.0, **given})
    module = DualContrast(Net(), torch.randn(C, D), E)  # type: ignore[arg-type]
    objective = DualContrastive(module, Memory(module.prototypes, B), settings, Gather(Fabric(accelerator="cpu")))
    targets = torch.rand(B, C) < 0.5
    photos, labels = targets.nonzero(as_tuple=True)
    none, shares = torch.zeros(B, C, dtype=torch.bool), (len(photos),)
    batch = Batch(torch.randn(B, 3), targets, none, [""] * B, np.arange(B), (photos, labels), shares)
    objective.losses(module, batch, epoch)["loss"].backward()
    return {name: parameter.grad for name, parameter in module.named_parameters()}


def test_at_first_the_contrast_teaches_projector_and_prototypes_alone() -> None:
    weighted = {"sample_to_sample": 0.5, "prototype_to_sample": 0.5}
    alone = gradients(0.9, sample_to_sample=0, prototype_to_sample=0)
    first, later = (gradients(epoch, **weighted, projector_epochs=1.0) for epoch in (0.9, 1.0))
    for name, gradient in first.items():
        if name.startswith("network."):
            torch.testing.assert_close(gradient, alone[name])
            if "features" in name:
                assert not torch.allclose(later[name], alone[name])
        else:
            assert gradient.abs().sum() > 0
            torch.testing.assert_close(gradient, later[name])


@pytest.mark.parametrize(("epoch", "share"), [(0.0, 0.0), (1.0, 0.5), (2.0, 1.0), (5.0, 1.0)])
def test_the_weights_of_the_contrast_rise_from_zero(epoch: float, share: float) -> None:
    weighted = {"sample_to_sample": 0.5, "prototype_to_sample": 0.5}
    full, scaled = gradients(9.0, **weighted), gradients(epoch, **weighted, contrast_warmup_epochs=2.0)
    torch.testing.assert_close(scaled["prototypes"], share * full["prototypes"])


@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_the_margin_of_the_settings_is_that_of_the_loss(margin: float) -> None:
    torch.manual_seed(0)
    logits, targets, none = torch.randn(B, C), torch.rand(B, C) < 0.3, torch.zeros(B, C, dtype=torch.bool)
    settings = params.load(path=DEMO).pretrain.model_copy(update={"probability_margin": margin})
    objective = Classification(Net(), settings, Gather(Fabric(accelerator="cpu")))  # type: ignore[arg-type]
    batch = Batch(logits, targets, none, [""] * B, np.arange(B), targets.nonzero(as_tuple=True), (int(targets.sum()),))
    loss = objective.losses(lambda images: HeadOutput(images, images), batch, 0.0)["loss"]
    powers = settings.gamma_negative, settings.gamma_positive
    torch.testing.assert_close(loss, asymmetric(logits, targets, *powers, none, margin))
    assert margin == 0 or loss < asymmetric(logits, targets, *powers, none)
