"""The trainings of the graph, as functions from files to weights: ``pretrain``, ``train``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from sadcl import files, params
from sadcl.data.shards.batches import TrainingBatches, evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.model import device
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.memory import Memory
from sadcl.training.distributed import Gather
from sadcl.training.feature_cache import FeatureMaps
from sadcl.training.objective import Classification, DualContrastive, Objective
from sadcl.training.resume import State
from sadcl.training.trainer import Batches, Report, Trainer, TrainingProgress
from sadcl.weights import checkpoint, initial


@dataclass(frozen=True)
class TrainingResult:
    """A finished training: what ``save`` writes."""

    tensors: Mapping[str, Tensor]
    head: Mapping[str, Any]
    history: list[dict[str, float]]
    state: State

    @property
    def best_select(self) -> float:
        """The best mAP on select, in percent."""
        return max(row["select_mAP"] for row in self.history)

    def save(self, folder: Path) -> None:
        """Write ``weights.safetensors`` and ``history.csv``, then forget the trainer's state."""
        checkpoint.save(folder / "weights.safetensors", self.tensors, dict(self.head))
        epochs = [{**row, "epoch": int(row["epoch"])} for row in self.history]
        files.write_csv(folder / "history.csv", epochs, list(epochs[0]))
        self.state.remove()


def pretrain(settings: params.Params, shards: Path, report: Report | None = None) -> TrainingResult:
    """Stage 1: a network alone, with the asymmetric loss.

    Args:
        settings: sections model, pretrain, seed.
        shards: the folder with ``train`` and ``select``.
        report: told each epoch's select mAP.
    """
    inputs = {
        "stage": "pretrain",
        **_settings(settings.model, settings.pretrain, settings.seed),
        **initial.inputs(settings.model),
    }
    with _TrainingRun(settings.model, settings.pretrain, settings.seed, shards, inputs) as at:
        objective = Classification(initial.initial_network(settings.model, at.train.classes), settings.pretrain)
        return at.fit(objective, settings.pretrain, report, initial.seen(settings.model))


def train(
    settings: params.Params, shards: Path, start: Path, prototypes: Path, report: Report | None = None
) -> TrainingResult:
    """Stage 2: SADCL, from stage 1's averaged weights.

    Args:
        settings: sections model, train, seed.
        shards: the folder with ``train`` and ``select``.
        start: stage 1's weights.
        prototypes: class prototypes [C, D].
        report: told each epoch's select mAP.
    """
    inputs = {
        "stage": "train",
        **_settings(settings.model, settings.train, settings.seed),
        "start": files.digest(start),
        "prototypes": files.digest(prototypes),
    }
    with _TrainingRun(settings.model, settings.train, settings.seed, shards, inputs) as at:
        network, head = checkpoint.load_network(start, "ema")
        if tuple(head["classes"]) != at.train.classes:
            raise SadclError("Stage 1 was trained on other classes", where=start, fix="Run `dvc repro`")
        tensors, _ = checkpoint.load_tensors(prototypes)
        module = DualContrast(network.train(), tensors["prototypes"], settings.model.embedding)
        memory = Memory(module.prototypes.detach(), min(settings.train.batch, len(at.train)) // at.fabric.world_size)
        memory.to(at.fabric.device)
        objective = DualContrastive(module, memory, settings.train, Gather(at.fabric))
        return at.fit(objective, settings.train, report, head.get("seen") or [])


class _TrainingRun:
    """Data, device, seed and state of one training."""

    def __init__(
        self, model: params.Model, fit: params.Pretrain, seed: int, shards: Path, inputs: Mapping[str, Any]
    ) -> None:
        self.model, self.seed = model, seed
        self.train, self.select = Shards(shards / "train"), Shards(shards / "select")
        self.inputs = {**inputs, "train": self.train.digest, "select": self.select.digest}
        self.fabric = _fabric(fit.precision)

    def __enter__(self) -> "_TrainingRun":
        self._was = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True, warn_only=True)
        # nothing reads memory that was never written, and to fill it takes a fifth of a step
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.manual_seed(int(files.digest_of([self.seed, self.inputs["stage"]])[:15], 16))
        return self

    def __exit__(self, *_: object) -> None:
        torch.use_deterministic_algorithms(self._was)

    def fit(
        self, objective: Objective, settings: params.Pretrain, report: Report | None, seen: Iterable[str]
    ) -> TrainingResult:
        """Train; ``seen`` are the photos that the start has seen, besides those of this split."""
        drawn = TrainingBatches(
            self.train, self.model, settings.augmentation, settings.batch, self.seed,
            rank=self.fabric.global_rank, world=self.fabric.world_size,
        )  # fmt: skip
        batches: Batches = drawn
        select = partial(evaluation_batches, self.select, self.model.for_test(), max(settings.batch, 64))
        if settings.augmentation.views:
            network: Any = getattr(objective.module, "network", objective.module)
            maps = FeatureMaps(network, self.model, self.fabric.device)
            with self.fabric.rank_zero_first():
                batches = maps.training(drawn, settings.augmentation, settings.epochs)
            select = partial(maps.evaluation, *select.args)
        state = State(self.inputs)
        trainer = Trainer(self.fabric, objective, batches, self.select, select, settings, state)
        at = trainer.fit(report)
        return TrainingResult(at.best, self._head(at, settings, seen), at.history, state)

    def _head(self, at: TrainingProgress, settings: params.Pretrain, seen: Iterable[str]) -> dict[str, Any]:
        row, model = at.history[at.best_epoch], self.model
        select = {"raw": row["select_mAP_raw"], "ema": row["select_mAP_ema"]} if len(self.select) else None
        return {
            "stage": self.inputs["stage"] if model.head == "sarl" else model.head,
            "classes": list(self.train.classes),
            "model": model.model_dump(mode="json"),
            "preprocessing": {"side": model.for_test().side, "mean": list(model.mean), "std": list(model.std)},
            "settings": settings.model_dump(mode="json"),
            "seed": self.seed,
            "epoch": at.best_epoch + 1,
            "best": "raw" if select is not None and select["raw"] > select["ema"] else "ema",
            "select": select,
            "inputs": {k: v for k, v in self.inputs.items() if isinstance(v, str)}
            | {"train_list": self.train.list_digest},
            "seen": sorted({sha[:16] for sha in self.train.sha256} | set(seen)),
            "thresholds": None,
            "device": device.describe(self.fabric.device),
            "precision": settings.precision,
        }


def _settings(model: params.Model, fit: params.Pretrain, seed: int) -> dict[str, Any]:
    return {"model": model.model_dump(mode="json"), "fit": fit.model_dump(mode="json"), "seed": seed}


def _fabric(precision: Any) -> Fabric:
    """One process on the device at hand, or what ``torchrun`` started."""
    where = device.pick()
    fabric = Fabric(accelerator=where.type, devices="auto" if where.type == "cuda" else 1, precision=precision)
    fabric.launch()
    return fabric
