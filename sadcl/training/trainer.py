"""The loop, written once: both stages, one process or many, and the same bytes after a kill."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sadcl import params
from sadcl.data.shards.batches import Batch
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation.metrics import evaluate
from sadcl.model import tagger
from sadcl.progress import duration, say, track
from sadcl.training import schedule
from sadcl.training.ema import EMA
from sadcl.training.nonfinite import NonFiniteGuard
from sadcl.training.objective import Objective
from sadcl.training.resume import State

Report = Callable[[int, float], None]
"""Told each epoch's number and select mAP; may raise to end the training (a pruned trial)."""


class Batches(Protocol):
    """Where batches come from: photos, or feature maps of them."""

    steps: int

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]: ...


@dataclass
class TrainingProgress:
    """How far a training is, and the best it has seen."""

    epoch: int = 0
    step: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = -1


class Trainer:
    """One training: an objective, its data, and everything that moves.

    Args:
        fabric: device, precision, processes.
        objective: a module and its loss.
        batches: of the training split.
        select: the split by which the epoch is chosen.
        select_batches: all of it in order, anew at each call.
        settings: section pretrain or train.
        state: where everything that moves is kept.
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
        self.select, self.select_batches = select, select_batches
        self.settings, self.state = settings, state
        self.module = objective.module
        self.module.to(fabric.device)
        for parameter in self.module.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.ema = EMA(self.module, settings.ema_epochs, batches.steps)
        adamw, self.cycle = schedule.optimiser(self.module, settings, batches.steps)
        self.forward, self.adamw = fabric.setup(self.module, adamw)
        self.watch = NonFiniteGuard(adamw, fabric)
        self.at = TrainingProgress()

    def fit(self, report: Report | None = None) -> TrainingProgress:
        """Train to the end of the schedule or to an early stop, from wherever the state on disk is."""
        with self.state.held():
            self._restore()
            while not self._done():
                self._epoch()
                self._close_epoch()
                if report is not None:
                    report(self.at.epoch - 1, self.at.history[-1]["select_mAP"])
            return self.at

    def _done(self) -> bool:
        return self.at.epoch >= self.settings.epochs or (
            len(self.select) > 0 and schedule.should_stop(self.at.history, self.settings.patience)
        )

    def _epoch(self) -> None:
        at, steps = self.at, self.batches.steps
        started = time.monotonic()
        self.forward.train()
        ahead = self.batches.epoch(at.epoch, at.step)
        label = f"epoch {at.epoch + 1} of {self.settings.epochs}"
        for batch in track(ahead, label, total=steps - at.step, each=self.settings.batch):
            self._step(batch)
            if self.state.due():
                self.watch.look()
                at.seconds += time.monotonic() - started
                started = time.monotonic()
                self._save()
        self.watch.look()
        at.seconds += time.monotonic() - started

    def _step(self, batch: Batch) -> None:
        """One update; the host never waits for the device."""
        at = self.at
        epoch = at.epoch + at.step / self.batches.steps
        parts = self.objective.losses(self.forward, batch.to(self.fabric.device), epoch)
        values = {name: part.detach() for name, part in parts.items()}
        self.watch.see(values, batch.ids, f"epoch {at.epoch + 1}, step {at.step + 1}")
        self.adamw.zero_grad(set_to_none=True)
        self.fabric.backward(parts["loss"])
        if self.settings.gradient_clip is not None:
            clip = self.settings.gradient_clip
            norm = self.fabric.clip_gradients(self.forward, self.adamw, max_norm=clip, error_if_nonfinite=False)
            self.watch.see_gradient(norm)  # type: ignore[arg-type]
        self.adamw.step()
        self.cycle.step()
        self.objective.after_step()
        self.ema.update(self.module)
        for name, value in values.items():
            at.sums[name] = value.double() + at.sums.get(name, 0)
        at.step += 1

    def _close_epoch(self) -> None:
        """Score both weights on select, keep the better, write the state."""
        self._refuse_spoilt()
        at = self.at
        row = {"epoch": float(at.epoch + 1)}
        row |= {name: float(total) / self.batches.steps for name, total in at.sums.items()}
        row["lr"] = float(self.cycle.get_last_lr()[-1])
        row["select_mAP_raw"], row["select_mAP_ema"] = self._score(self.module), self._score(self.ema.module)
        row["select_mAP"] = max(row["select_mAP_raw"], row["select_mAP_ema"])
        row["images_per_second"] = self.batches.steps * self.settings.batch / max(at.seconds, 1e-9)
        if not at.best or not len(self.select) or row["select_mAP"] > at.history[at.best_epoch]["select_mAP"]:
            at.best, at.best_epoch = self._weights(), at.epoch
        at.history.append(row)
        at.epoch, at.step, at.sums, at.seconds = at.epoch + 1, 0, {}, 0.0
        self._save()
        left = (self.settings.epochs - at.epoch) * self.batches.steps * self.settings.batch / row["images_per_second"]
        say(
            f"  epoch {at.epoch} of {self.settings.epochs}: loss {row['loss']:.4f}, "
            f"select mAP {row['select_mAP_raw']:.2f}, averaged {row['select_mAP_ema']:.2f}, "
            f"{row['images_per_second']:.0f} images/s, at most {duration(left)} left"
        )

    def _score(self, module: nn.Module) -> float:
        """mAP on select; 0 where there is none."""
        if not len(self.select):
            return 0.0
        network: Any = getattr(module, "network", module)
        was_training = module.training
        logits = tagger.logits(network.eval(), self.select_batches(), self.fabric.device, self.settings.precision)
        module.train(was_training)
        return float(evaluate(tagger.sigmoid(logits), self.select.targets, self.select.ignored)["mAP"])

    def _weights(self) -> dict[str, Tensor]:
        """Raw and averaged weights under the names that ``weights.save`` keeps."""
        prefix = "" if hasattr(self.module, "network") else "network."
        named = {"raw": self.module, "ema": self.ema.module}
        return {
            f"{which}.{prefix}{name}": tensor.detach().cpu().clone().contiguous()
            for which, module in named.items()
            for name, tensor in module.state_dict().items()
        }

    def _save(self) -> None:
        self._refuse_spoilt()
        kept = {
            "raw": self.module.state_dict(),
            "ema": self.ema.module.state_dict(),
            "ema_updates": self.ema.updates,
            "optimiser": self.adamw.optimizer.state_dict()
            if hasattr(self.adamw, "optimizer")
            else self.adamw.state_dict(),
            "cycle": {k: v for k, v in self.cycle.state_dict().items() if not callable(v) and k != "_anneal_func_type"},
            "precision": self.fabric.strategy.precision.state_dict(),
            "objective": self.objective.state(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self.fabric.device.type == "cuda" else [],
            "at": vars(self.at),
        }
        self.state.save(kept)

    def _refuse_spoilt(self) -> None:
        """Raise where an overflow of the gradients has spoilt the weights: neither scored nor kept."""
        if not all(bool(parameter.isfinite().all()) for parameter in self.module.parameters()):
            raise SadclError(
                "The weights are no longer numbers",
                where=f"epoch {self.at.epoch + 1}, step {self.at.step}",
                fix="Lower lr, or set gradient_clip; the last good state is kept",
            )

    def _restore(self) -> None:
        kept = self.state.load()
        if kept is None:
            return
        self.module.load_state_dict(kept["raw"])
        self.ema.module.load_state_dict(kept["ema"])
        self.ema.updates = kept["ema_updates"]
        self.adamw.load_state_dict(kept["optimiser"])
        self.cycle.load_state_dict(kept["cycle"])
        self.fabric.strategy.precision.load_state_dict(kept["precision"])
        self.objective.restore(kept["objective"])
        torch.set_rng_state(kept["random"])
        if kept["random_cuda"]:
            torch.cuda.set_rng_state_all(kept["random_cuda"])
        self.at = TrainingProgress(**kept["at"])
        self.at.sums = {name: total.to(self.fabric.device) for name, total in self.at.sums.items()}
        if not self._done():
            say(f"  goes on at epoch {self.at.epoch + 1}, step {self.at.step + 1}")
