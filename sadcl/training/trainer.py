"""The training loop of both stages, for one process or several; a resumed training gives equal bytes."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from math import nan
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sadcl import params
from sadcl.data.shards.batches import Batch
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation.metrics import evaluate
from sadcl.model import device, tagger
from sadcl.progress import duration, rate, say, track
from sadcl.training import nonfinite, schedule
from sadcl.training.ema import EMA
from sadcl.training.fabric import Fabric
from sadcl.training.nonfinite import NonFiniteGuard
from sadcl.training.objective import Objective
from sadcl.training.ranks import Ranks
from sadcl.training.resume import State
from sadcl.training.synchronised import synchronise

Report = Callable[[int, float], None]
"""Called with each epoch's number and select mAP (NaN without a select split); may raise to end the training."""


class Batches(Protocol):
    """Source of training batches: photos, or cached feature maps.

    Attributes:
        steps: of an epoch.
        batch: photos of a step, over all processes.
    """

    steps: int
    batch: int

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]: ...


@dataclass
class TrainingProgress:
    """Position of a training, its history and its best weights.

    Attributes:
        epoch: number of finished epochs.
        step: finished steps of the current epoch.
        sums: of each part of the loss over these steps.
        seconds: that these steps took.
        history: a row for each finished epoch; mAP in percent, missing without a select split.
        best: raw and averaged weights of the best epoch; empty where this is not the first rank.
        best_epoch: from 0; -1 before the first.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = -1


class Trainer:
    """Trains one objective: optimiser, schedule, moving average, scoring on select, and resumption.

    Args:
        fabric: device, precision, processes.
        objective: a module and its loss.
        batches: of the training split.
        select: the split that chooses the best epoch.
        select_batches: returns batches of this rank's part of that split, in order.
        settings: section pretrain or train.
        state: on disk, for resumption.
    """

    def __init__(
        self,
        fabric: Fabric,
        objective: Objective,
        batches: Batches,
        select: Shards,
        select_batches: Callable[[], Iterable[Batch]],
        settings: params.Pretrain,
        state: State,
    ) -> None:
        self.fabric, self.objective, self.batches = fabric, objective, batches
        self.ranks = Ranks(fabric)
        self.select, self.select_batches = select, select_batches
        self.settings, self.state = settings, state
        self.module = objective.module
        fabric.strategy.precision.convert_module(device.place(self.module, fabric.device))
        # after the moves above, so that the average has the device, the type and the memory format of the module
        self.ema = EMA(self.module, settings.ema_epochs, batches.steps, objective.continues)
        if self.ranks.world > 1:
            synchronise(self.module)
        adamw, self.cycle = schedule.optimiser(self.module, settings, batches.steps)
        self.forward, self.adamw = fabric.setup(self.module, adamw)
        # torch's optimiser, not Fabric's wrapper: the guard sets an attribute that the fused kernel reads
        self.guard = NonFiniteGuard(adamw, self.ranks)
        self.progress = TrainingProgress()

    def fit(self, report: Report | None = None) -> TrainingProgress:
        """Train to the end of the schedule or an early stop, from the state on disk where there is one.

        Raises:
            SadclError: a loss, gradient or weight is not finite; or another process trains this model.
        """
        # the first rank has the lock and the state; the others wait for what it reads
        with self.state.lock() if self.ranks.first else nullcontext():
            # under the lock: before it, another trainer may be writing the state
            self._restore()
            while not self._done():
                self._epoch()
                self._close_epoch()
                if report is not None:
                    # after the epoch is saved: `report` may end the training by raising
                    report(self.progress.epoch - 1, self.progress.history[-1].get("select_mAP", nan))
            return self.progress

    def _done(self) -> bool:
        return self.progress.epoch >= self.settings.epochs or (
            len(self.select) > 0 and schedule.should_stop(self.progress.history, self.settings.patience)
        )

    def _epoch(self) -> None:
        progress, steps = self.progress, self.batches.steps
        started = time.monotonic()
        self.forward.train()
        batches = self.batches.epoch(progress.epoch, progress.step)
        label = f"epoch {progress.epoch + 1} of {self.settings.epochs}"
        for batch in track(batches, label, total=steps - progress.step, each=self.batches.batch):
            self._step(batch)
            if self._state_due():
                self.guard.check()  # no state is saved after a loss that is not finite
                progress.seconds += time.monotonic() - started
                started = time.monotonic()
                self._save()
        self.guard.check()
        progress.seconds += time.monotonic() - started

    def _state_due(self) -> bool:
        """Whether to save the state; all ranks do it after the same step."""
        # to ask, the host waits for the device: seldom on a GPU, where steps are short
        if self.ranks.world > 1 and self.fabric.device.type != "cpu" and self.progress.step % nonfinite.EVERY:
            return False
        return self.ranks.from_first(self.state.due)

    def _step(self, batch: Batch) -> None:
        """Do one update; the host does not wait for the device."""
        progress = self.progress
        epoch = progress.epoch + progress.step / self.batches.steps
        parts = self.objective.losses(self.forward, batch.to(self.fabric.device), epoch)
        values = {name: part.detach() for name, part in parts.items()}
        self.guard.add_losses(values, batch.ids, f"epoch {progress.epoch + 1}, step {progress.step + 1}")
        # the guard has set its flag by now, so that a loss that is not finite can't reach the weights
        self.adamw.zero_grad(set_to_none=True)
        self.fabric.backward(parts["loss"])
        if self.settings.gradient_clip is not None:
            clip = self.settings.gradient_clip
            # a bad norm is the guard's business: an error here would make the host wait at each step
            norm = self.fabric.clip_gradients(self.forward, self.adamw, max_norm=clip, error_if_nonfinite=False)
            self.guard.add_gradient_norm(norm)  # type: ignore[arg-type]
        self.adamw.step()
        self.cycle.step()
        # after the backward pass, which needs the memory's old values
        self.objective.after_step()
        self.ema.update(self.module)
        for name, value in values.items():
            progress.sums[name] = value.double() + progress.sums.get(name, 0)  # on the device, until the epoch ends
        progress.step += 1

    def _close_epoch(self) -> None:
        """Score raw and averaged weights on select, remember the best epoch, and save the state."""
        self._require_finite_weights()
        progress = self.progress
        row = {"epoch": float(progress.epoch + 1)}
        sums = self.ranks.mean(progress.sums)
        row |= {name: float(total) / self.batches.steps for name, total in sums.items()}
        # of the last group, the head: a frozen backbone has no group
        row["lr"] = float(self.cycle.get_last_lr()[-1])
        if len(self.select):
            row["select_mAP_raw"], row["select_mAP_ema"] = self._score(self.module), self._score(self.ema.module)
            row["select_mAP"] = max(row["select_mAP_raw"], row["select_mAP_ema"])
        row["images_per_second"] = self.batches.steps * self.batches.batch / max(progress.seconds, 1e-9)
        # without a select split the last epoch is the best; of equal epochs the first is
        if progress.best_epoch < 0 or not len(self.select) or row["select_mAP"] > self._best_select():
            progress.best, progress.best_epoch = self._weights() if self.ranks.first else {}, progress.epoch
        progress.history.append(row)
        # before the save: a resumed training begins with the next epoch
        progress.epoch, progress.step, progress.sums, progress.seconds = progress.epoch + 1, 0, {}, 0.0
        self._save()
        images = (self.settings.epochs - progress.epoch) * self.batches.steps * self.batches.batch
        left = images / row["images_per_second"]
        scores = "no select split"
        if len(self.select):
            scores = f"select mAP {row['select_mAP_raw']:.2f}, averaged {row['select_mAP_ema']:.2f}"
        say(
            f"  epoch {progress.epoch} of {self.settings.epochs}: loss {row['loss']:.4f}, {scores}, "
            f"{rate(row['images_per_second'], 1, 'images')}, at most {duration(left)} left"
        )

    def _best_select(self) -> float:
        return self.progress.history[self.progress.best_epoch]["select_mAP"]

    def _score(self, module: nn.Module) -> float:
        """mAP on select, in percent."""
        # stage 2's projector and prototypes take no part in prediction
        network: Any = getattr(module, "network", module)
        was_training = module.training
        part = tagger.logits(network.eval(), self.select_batches(), self.fabric.device, self.settings.precision)
        module.train(was_training)
        # a rank without photos has no classes either
        logits = np.concatenate([each for each in self.ranks.gather(part) if len(each)])
        # one rank's figure for all: they must agree on the best epoch to the last bit
        return self.ranks.from_first(
            lambda: float(evaluate(tagger.sigmoid(logits), self.select.targets, self.select.ignored)["mAP"])
        )

    def _weights(self) -> dict[str, Tensor]:
        """Raw and averaged weights, by the names of a weights file."""
        prefix = "" if hasattr(self.module, "network") else "network."
        named = {"raw": self.module, "ema": self.ema.module}
        return {
            # a clone: on the CPU `.cpu()` is the tensor itself, and the next step would change the best weights.
            # Contiguous: convolutions are channels last here, and files hold no strides.
            f"{which}.{prefix}{name}": tensor.detach().cpu().clone().contiguous()
            for which, module in named.items()
            for name, tensor in module.state_dict().items()
        }

    def _save(self) -> None:
        self._require_finite_weights()
        self.progress.sums = self.ranks.mean(self.progress.sums)
        state = {
            "raw": self.module.state_dict(),
            "ema": self.ema.module.state_dict(),
            "ema_updates": self.ema.updates,
            "optimiser": self.adamw.optimizer.state_dict(),
            # without functions, which a load of weights only refuses
            "cycle": {k: v for k, v in self.cycle.state_dict().items() if not callable(v) and k != "_anneal_func_type"},
            # the scale of a gradient scaler
            "precision": self.fabric.strategy.precision.state_dict(),
            "objective": self.objective.state(),
            # dropout draws from these; order and augmentation of photos follow from seed, epoch and id alone
            "random": self.ranks.gather(self._random_state()),
            "progress": vars(self.progress),
        }
        if self.ranks.first:
            self.state.save(state)

    def _random_state(self) -> dict[str, Tensor]:
        on_cuda = self.fabric.device.type == "cuda"
        cuda = {"cuda": torch.cuda.get_rng_state(self.fabric.device)} if on_cuda else {}
        return {"cpu": torch.get_rng_state(), **cuda}

    def _require_finite_weights(self) -> None:
        """Raise where a gradient that overflowed has spoilt the weights, before they are scored or saved."""
        if not all(bool(parameter.isfinite().all()) for parameter in self.module.parameters()):
            raise SadclError(
                "The weights are not finite",
                where=f"epoch {self.progress.epoch + 1}, step {self.progress.step}",
                fix="Lower lr, or set gradient_clip; training resumes from the last good state",
            )

    def _restore(self) -> None:
        state = self.ranks.from_first(self.state.load)
        if state is None:
            return
        self.module.load_state_dict(state["raw"])
        self.ema.module.load_state_dict(state["ema"])
        self.ema.updates = state["ema_updates"]
        self.adamw.load_state_dict(state["optimiser"])
        self.cycle.load_state_dict(state["cycle"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.objective.restore(state["objective"])
        # with more ranks than before, the new ones draw from their own seed
        for random in state["random"][self.ranks.rank : self.ranks.rank + 1]:
            torch.set_rng_state(random["cpu"])
            if "cuda" in random and self.fabric.device.type == "cuda":
                torch.cuda.set_rng_state(random["cuda"], self.fabric.device)
        self.progress = TrainingProgress(**state["progress"])
        self.progress.sums = {name: total.to(self.fabric.device) for name, total in self.progress.sums.items()}
        if not self._done():
            say(f"  resumes at epoch {self.progress.epoch + 1}, step {self.progress.step + 1}")
