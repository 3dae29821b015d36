"""What a training step costs the device: nothing in it may make the host wait."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch.utils._python_dispatch import TorchDispatchMode

from sadcl import params
from sadcl.data.shards.batches import Batch, TrainingBatches
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.memory import Memory
from sadcl.model.network import Network
from sadcl.training.distributed import Gather
from sadcl.training.nonfinite import EVERY
from sadcl.training.objective import Classification, DualContrastive, Objective
from sadcl.training.resume import State
from sadcl.training.trainer import Trainer

WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "equal", "is_nonzero"}


class Waits(TorchDispatchMode):
    """Counts operations whose result the host must see before it can go on (as on a GPU: a boolean mask as an
    index asks how many it holds)."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        indices = args[1] if name in {"index", "index_put", "index_put_", "_index_put_impl_"} else ()
        if name in WAITS or any(i is not None and i.dtype in {torch.bool, torch.uint8} for i in indices):
            self.calls[name] += 1
        return func(*args, **(kwargs or {}))


def test_the_counter_sees_what_waits() -> None:
    x = torch.arange(3.0)
    with Waits() as waits:
        x[x > 1].sum().item()
        x[x > 1] = 0
        torch.equal(x, x)
    assert waits.calls == {"index": 1, "index_put_": 1, "_local_scalar_dense": 1, "equal": 1}


def stage_1(settings: params.Params) -> tuple[Objective, params.Pretrain]:
    gather = Gather(Fabric(accelerator="cpu", devices=1))
    return Classification(Network(settings.model, 10), settings.pretrain, gather), settings.pretrain


def stage_2(settings: params.Params) -> tuple[Objective, params.Pretrain]:
    module = DualContrast(Network(settings.model, 10), torch.randn(10, settings.model.width), settings.model.embedding)
    fabric = Fabric(accelerator="cpu", devices=1)
    memory = Memory(module.prototypes.detach(), settings.train.batch)
    return DualContrastive(module, memory, settings.train, Gather(fabric)), settings.train


@pytest.mark.parametrize("stage", [stage_1, stage_2])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_no_step_waits_and_the_loss_is_read_once_in_a_while(
    stage: Callable[[params.Params], tuple[Objective, params.Pretrain]], clip: float | None, project: Path
) -> None:
    settings = params.load()
    objective, fit = stage(settings)
    fit = fit.model_copy(update={"gradient_clip": clip, "epochs": EVERY})
    shards = Shards(Path("data/shards/train"))
    batches = TrainingBatches(shards, settings.model, fit.augmentation, fit.batch, 0)
    select = Shards(Path("data/shards/select"))
    trainer = Trainer(Fabric(accelerator="cpu", devices=1), objective, batches, select, list, fit, State({}))
    trainer.forward.train()
    batch = next(batches.epoch(0))
    calls_by_step = []
    for _ in range(EVERY + 2):
        with Waits() as waits:
            trainer._step(batch)
        calls_by_step.append(dict(waits.calls))
    assert calls_by_step == [{}] * EVERY + [{"_local_scalar_dense": 1}] + [{}]


def trained(project: Path, **changes: Any) -> tuple[Trainer, Batch]:
    """A trainer of stage 1, and its first batch."""
    settings = params.load()
    fit = settings.pretrain.model_copy(update=changes)
    shards, select = Shards(Path("data/shards/train")), Shards(Path("data/shards/select"))
    batches = TrainingBatches(shards, settings.model, fit.augmentation, fit.batch, 0)
    fabric = Fabric(accelerator="cpu", devices=1)
    objective = Classification(Network(settings.model, 10), fit, Gather(fabric))
    trainer = Trainer(fabric, objective, batches, select, list, fit, State({}))
    trainer.forward.train()
    return trainer, next(batches.epoch(0))


def test_a_batch_whose_loss_is_no_number_moves_nothing(project: Path) -> None:
    trainer, batch = trained(project)
    before = [parameter.detach().clone() for parameter in trainer.module.parameters()]
    trainer._step(replace(batch, images=batch.images * torch.nan))
    assert all(torch.equal(old, new) for old, new in zip(before, trainer.module.parameters(), strict=True))
    with pytest.raises(SadclError, match=batch.ids[0]):
        trainer.guard.check()


def test_a_gradient_that_is_no_number_is_reported_with_its_own_batch(project: Path) -> None:
    trainer, batch = trained(project, gradient_clip=1.0)
    before = [parameter.detach().clone() for parameter in trainer.module.parameters()]
    some = next(parameter for parameter in trainer.module.parameters() if parameter.requires_grad)
    hook = some.register_hook(lambda gradient: gradient * torch.nan)
    trainer._step(batch)
    hook.remove()
    assert all(torch.equal(old, new) for old, new in zip(before, trainer.module.parameters(), strict=True))
    with pytest.raises(SadclError, match="The gradient is not finite") as error:
        trainer.guard.check()
    assert "step 1" in str(error.value)
