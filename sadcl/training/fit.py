"""The two trainings of the method, from files to weights: ``pretrain`` (stage 1) and ``train`` (stage 2)."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sadcl import extras, files, params
from sadcl.data.shards.batches import Batch, TrainingBatches, evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.model import device
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.memory import Memory
from sadcl.model.network import Network
from sadcl.progress import say
from sadcl.training import launch, probe, ranks
from sadcl.training.distributed import Gather
from sadcl.training.feature_cache import FeatureMaps
from sadcl.training.memory_check import require_memory
from sadcl.training.objective import Classification, DualContrastive, Objective
from sadcl.training.resume import State, code
from sadcl.training.trainer import Batches, Report, Trainer, TrainingProgress
from sadcl.weights import checkpoint, file_head, initial, training_photos
from sadcl.weights.training_photos import Prefixes

MANY_CLASSES = 200
"""Classes from which on the memory of a training is computed before it starts, which takes two CPU seconds."""


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes:
        tensors: of the weights file, raw and averaged.
        head: of the weights file.
        history: a row for each epoch; mAP in percent.
        state: of the trainer, which ``save`` removes.
    """

    tensors: Mapping[str, Tensor]
    head: Mapping[str, Any]
    history: list[dict[str, float]]
    state: State

    @property
    def best_select(self) -> float | None:
        """The best mAP on select, in percent; None without a select split."""
        return max((row["select_mAP"] for row in self.history if "select_mAP" in row), default=None)

    def save(self, folder: Path) -> None:
        """Write ``weights.safetensors`` and ``history.csv``, then remove the trainer's state; the first rank alone."""
        if launch.rank() > 0:
            return
        # the state goes last: a process killed before that repeats the writing, not the training
        checkpoint.save(folder / file_head.FILE, self.tensors, dict(self.head))
        epochs = [{**row, "epoch": int(row["epoch"])} for row in self.history]
        files.write_csv(folder / "history.csv", epochs, list(epochs[0]))
        self.state.remove()


def pretrain(settings: params.Params, shards: Path, report: Report | None = None) -> TrainingResult:
    """Train stage 1: the network alone, with the asymmetric loss; a head ``linear`` is fitted instead.

    Args:
        settings: sections model, pretrain, seed.
        shards: the folder with ``train`` and ``select``.
        report: called with each epoch's number and select mAP.

    Raises:
        SadclError: shards or initial weights are missing or damaged, or a loss is not finite.
    """
    if settings.model.is_linear_probe:
        return _linear(settings, shards)
    # everything that decides the result, for the digest that names the state; a file by its digest, since its path
    # stays when a new training replaces it
    inputs = {
        "stage": "pretrain",
        **_settings(settings.model, settings.pretrain, settings.seed),
        **initial.inputs(settings.model),
    }
    with _started(_TrainingRun(settings.model, settings.pretrain, settings.seed, shards, inputs)) as run:
        network = initial.initial_network(settings.model, run.train.classes)
        if settings.model.head_start == "probe":
            with run.ranks.fabric.rank_zero_first(local=True):  # one process of a machine fills the cache
                run.start_head(network)
        objective = Classification(network, settings.pretrain, Gather(run.ranks.fabric))
        return run.fit(objective, settings.pretrain, report, initial.photos(settings.model))


def train(
    settings: params.Params,
    shards: Path,
    start: Path,
    prototypes: Path,
    report: Report | None = None,
    contrast: type[DualContrastive] = DualContrastive,
) -> TrainingResult:
    """Train stage 2: SADCL, from the weights of stage 1 that scored better on select.

    Args:
        settings: sections model, train, seed.
        shards: the folder with ``train`` and ``select``.
        start: stage 1's weights.
        prototypes: weights file with class prototypes [C, D].
        report: called with each epoch's number and select mAP.
        contrast: the objective; a subclass can change how the contrastive losses compare.

    Raises:
        SadclError: a file is missing or damaged, stage 1 has other classes, or a loss is not finite.
    """
    inputs = {
        "stage": "train",
        **_settings(settings.model, settings.train, settings.seed),
        # the method's own objective has no name here: weights trained before there were others stay as they are
        **({} if contrast is DualContrastive else {"contrast": contrast.__name__}),
    }
    with _started(_TrainingRun(settings.model, settings.train, settings.seed, shards, inputs)) as run:
        for file in (start, prototypes):
            run.ranks.share(file)  # earlier stages wrote it, on the first machine alone
        # the weights that the prototypes were computed with
        network, head = checkpoint.load_network(start)
        if tuple(head["classes"]) != run.train.classes:
            raise SadclError("Stage 1 was trained on other classes", where=start, fix="Run `dvc repro`")
        tensors, _ = checkpoint.load_tensors(prototypes)
        run.inputs |= {"start": files.digest(start), "prototypes": files.digest(prototypes)}
        # loaded networks are in evaluation mode
        module = DualContrast(network.train(), tensors["prototypes"], settings.model.embedding)
        # each process has a bank for its own part of the batch; what the losses need is gathered
        slots = min(settings.train.batch, len(run.train)) // run.ranks.world
        memory = Memory(module.prototypes.detach(), slots).to(run.ranks.fabric.device)
        objective = contrast(module, memory, settings.train, Gather(run.ranks.fabric))
        # with those of stage 1: the gate looks for test photos among them
        return run.fit(objective, settings.train, report, training_photos.load(head, start))


def _linear(settings: params.Params, shards: Path) -> TrainingResult:
    """Fit the head ``linear``: one epoch in the history, and equal raw and averaged weights."""
    train, select = Shards(shards / "train"), Shards(shards / "select")
    state, fitted, head = probe.fit_network(settings.model, settings.seed, train, select)
    best = fitted.select_map.get(fitted.strength)
    names = ("select_mAP_raw", "select_mAP_ema", "select_mAP")
    row = {"epoch": 1.0, **(dict.fromkeys(names, best) if best is not None else {})}
    tensors = {f"{which}.network.{name}": tensor.clone() for which in ("raw", "ema") for name, tensor in state.items()}
    inputs = {"stage": "linear", "model": settings.model.model_dump(mode="json"), **head["inputs"]}
    return TrainingResult(tensors, {**head, "stage": "linear", "epoch": 1}, [row], State(inputs))


class _TrainingRun:
    """Data, ranks, seed and state of one training."""

    def __init__(
        self, model: params.Model, fit: params.Pretrain, seed: int, shards: Path, inputs: Mapping[str, Any]
    ) -> None:
        self.model, self.settings, self.seed = model, fit, seed
        self.train, self.select = Shards(shards / "train"), Shards(shards / "select")
        if len(self.select) and not bool((self.select.targets & ~self.select.ignored).any()):
            raise SadclError(
                "No photo of the select split has a label, so no epoch can be chosen by it",
                where=shards / "select",
                fix="Raise ingest.select_fraction, or set it to 0",
            )
        self.inputs = {**inputs, "train": self.train.digest, "select": self.select.digest}
        self.ranks, self.watchdog = ranks.start(fit.precision)
        if len(self.train.classes) > MANY_CLASSES:
            memory, photos = device.memory(self.ranks.fabric.device), self._photos_in_memory()
            say("  " + require_memory(model, fit, len(self.train.classes), memory, photos))

    def start_head(self, network: Network) -> None:
        """Set the head of an initial network to the linear probe on its backbone."""
        splits, compute_device = (self.train, self.select), self.ranks.fabric.device
        fitted = probe.fit_head(network, self.model, self.seed, *splits, compute_device)
        best = fitted.select_map.get(fitted.strength)
        if self.ranks.first:
            say("  the head starts from the linear probe" + (f", select mAP {best:.2f}" if best is not None else ""))

    def _photos_in_memory(self) -> int:
        """Photos of a step that share the memory of this device: processes on CPUs share their machine's."""
        world = self.ranks.world
        on_cpu = self.ranks.fabric.device.type == "cpu"
        sharing = int(os.environ.get("LOCAL_WORLD_SIZE", world)) if on_cpu else 1
        return max(1, min(self.settings.batch, len(self.train)) * sharing // world)

    def fit(
        self, objective: Objective, settings: params.Pretrain, report: Report | None, photos: Prefixes
    ) -> TrainingResult:
        """Train the objective.

        Args:
            objective: of the stage.
            settings: section pretrain or train.
            report: called with each epoch's number and select mAP.
            photos: that the initial weights were trained on, as prefixes of their SHA-256.
        """
        versions = {"torch": torch.__version__, **extras.versions(["timm"])}
        self.ranks.require_equal({**self.inputs, "code": code(), **versions})
        if self.ranks.rank:  # equal weights to start with, but dropout of its own
            torch.manual_seed(_seed([self.seed, self.inputs["stage"], self.ranks.rank]))
        batches, select = self._batches(objective, settings)
        state, fabric = State(self.inputs), self.ranks.fabric
        progress = Trainer(fabric, objective, batches, self.select, select, settings, state).fit(report)
        return TrainingResult(progress.best, self._head(progress, settings, photos), progress.history, state)

    def _batches(
        self, objective: Objective, settings: params.Pretrain
    ) -> tuple[Batches, Callable[[], Iterable[Batch]]]:
        """This rank's parts of the training batches and of the select split."""
        photos = TrainingBatches(
            self.train, self.model, settings.augmentation, settings.batch, self.seed,
            rank=self.ranks.rank, world=self.ranks.world,
        )  # fmt: skip
        batches: Batches = photos
        rows = np.array_split(np.arange(len(self.select)), self.ranks.world)[self.ranks.rank]
        of_select = (self.select, self.model.for_test(), max(settings.batch, 64))
        network: Any = getattr(objective.module, "network", objective.module)
        if not settings.augmentation.views:
            if not network.backbone.learns and self.ranks.first:
                say("  no part of the backbone learns: with `augmentation.views` its feature maps are computed once")
            return photos, partial(evaluation_batches, *of_select, rows=rows)
        maps = FeatureMaps(network, self.model, self.ranks.fabric.device)
        select = partial(maps.evaluation, *of_select, rows=rows)
        with self.ranks.fabric.rank_zero_first(local=True):  # one process of a machine fills the cache
            batches = maps.training(photos, settings.augmentation, settings.epochs)
            select()
        return batches, select

    def _head(self, progress: TrainingProgress, settings: params.Pretrain, photos: Prefixes) -> dict[str, Any]:
        row, model = progress.history[progress.best_epoch], self.model
        select = {which: row[f"select_mAP_{which}"] for which in ("raw", "ema")} if len(self.select) else None
        return {
            **file_head.new_head(
                self.inputs["stage"] if model.head == "sarl" else model.head, model, self.train.classes
            ),
            "settings": settings.model_dump(mode="json"),
            "seed": self.seed,
            "epoch": progress.best_epoch + 1,
            "best": "raw" if select is not None and select["raw"] > select["ema"] else "ema",
            "select": select,
            "inputs": {k: v for k, v in self.inputs.items() if isinstance(v, str)}
            | {"train_list": self.train.list_digest},
            # the gate looks for test photos among them
            training_photos.KEY: training_photos.dump(training_photos.prefixes(self.train.sha256), photos),
            "device": device.describe(self.ranks.fabric.device, self.ranks.world),
            "precision": settings.precision,
        }


@contextmanager
def _started(run: _TrainingRun) -> Iterator[_TrainingRun]:
    """Set torch up for a training, and watch its ranks until all have done their work."""
    was_deterministic = torch.get_deterministic_debug_mode()
    # only a warning where an operation has no deterministic form on this device: it must not end the training;
    # `torch.use_deterministic_algorithms` would import torch's compiler
    torch.set_deterministic_debug_mode("warn")
    # no code here reads uninitialised memory, and filling it takes a fifth of a step
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # the stage is part of the seed: stage 2 must not draw the very numbers of stage 1
    torch.manual_seed(_seed([run.seed, run.inputs["stage"]]))
    try:
        with ranks.exit_on_lost_rank():
            yield run
            run.ranks.fabric.barrier()
    finally:
        torch.set_deterministic_debug_mode(was_deterministic)
        if run.watchdog is not None:
            run.watchdog.stop()


def _settings(model: params.Model, fit: params.Pretrain, seed: int) -> dict[str, Any]:
    return {"model": model.model_dump(mode="json"), "fit": fit.model_dump(mode="json"), "seed": seed}


def _seed(parts: list[Any]) -> int:
    """Seed for torch, from 60 bits of a digest: it takes none beyond 64."""
    return int(files.digest_of(parts)[:15], 16)
