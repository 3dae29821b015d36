"""A cell of the comparison: one head or ablation row with one seed, trained and scored."""

import math
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml
from torch import Tensor

from benchmarks import retrieval
from benchmarks.cell_figures import DRAWS
from benchmarks.comparison import CELLS
from benchmarks.contrast_variants import VARIANTS
from benchmarks.photos import OUT as SHARDS
from benchmarks.photos import RECIPE, write_part
from sadcl import files, params
from sadcl.data.shards.batches import Batch, evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.evaluation.bootstrap import multiplicities, resampled_map
from sadcl.evaluation.metrics import NAMES, evaluate
from sadcl.model import device, tagger
from sadcl.model.network import Network
from sadcl.prototypes.collect import class_prototypes
from sadcl.stages import runner
from sadcl.training import fit
from sadcl.training.feature_cache import FeatureMaps
from sadcl.training.objective import DualContrastive
from sadcl.training.resume import code
from sadcl.weights import checkpoint, file_head

HOME = Path("benchmarks")
DRAWS_SEED = 0
"""Seed of the resamples of the test photos, equal for all cells, so that cells can be paired."""

CHOICE_SEED = 100
"""Seed of the trials; no cell has it."""

OTHER_KEYS = {"like", "start", "photos", "contrast", "batch"}
"""Keys of a row that are no settings of the recipe."""


def settings(kind: str, row: str, seed: int, chosen: bool = True) -> params.Params:
    """Merge the recipe with the settings of the kind, of the row, and of the values chosen for its head."""
    own = _own()
    merged = _merged(_merged(params.read_settings(RECIPE), own[kind]), _row(own, kind, row, chosen))
    parsed = params.parse({**merged, "seed": seed}, where=f"{kind}, {row}")
    batch = own["rows"][row].get("batch")
    return _with_batch(parsed, batch) if batch else parsed


def _row(own: Mapping[str, Any], kind: str, row: str, chosen: bool) -> dict[str, Any]:
    """Settings of a row: of the row that it is ``like``, the values chosen for it, and its own."""
    about, values = own["rows"][row], own["chosen"][kind] if chosen else {}
    base = _row(own, kind, about["like"], chosen) if "like" in about else {}
    choice = values.get(row, {} if base else values.get("sarl", {}))
    return _merged(_merged(base, choice), {name: about[name] for name in about if name not in OTHER_KEYS})


def _with_batch(settings: params.Params, batch: int) -> params.Params:
    """Settings with another batch of stage 2; its rate grows with the root of the batch, as usual for AdamW."""
    lr = settings.train.lr * math.sqrt(batch / settings.train.batch)
    train = settings.train.model_copy(update={"batch": batch, "lr": float(f"{lr:.2g}")})
    return settings.model_copy(update={"train": train})


def head(kind: str, row: str, seed: int) -> str:
    """Train stage 1 alone: a head on the backbone; its weights stay where other rows start from them."""
    rows = _own()["rows"]
    starts = {"sarl"} | {about["start"] for about in rows.values() if "start" in about}
    with _shards(rows[row]) as shards:
        fitted = fit.pretrain(settings(kind, row, seed), shards)
    return _close(fitted, kind, row, seed, keep=row in starts)


def dual(kind: str, row: str, seed: int) -> str:
    """Train stage 2 from the SARL cell of equal kind, seed and photos."""
    about = _own()["rows"][row]
    start = _folder(kind, about.get("start", "sarl"), seed)
    contrast = VARIANTS[about["contrast"]] if "contrast" in about else DualContrastive
    with _shards(about) as shards:
        fitted = _second_stage(settings(kind, row, seed), start, shards, contrast)
    return _close(fitted, kind, row, seed)


@contextmanager
def _shards(about: Mapping[str, Any]) -> Iterator[Path]:
    """The folder of shards that a row trains on: all photos, or the number that it names."""
    if "photos" not in about:
        yield SHARDS
        return
    with tempfile.TemporaryDirectory() as temporary:
        write_part(SHARDS, about["photos"], Path(temporary))
        yield Path(temporary)


def _second_stage(
    chosen: params.Params, start: Path, shards: Path = SHARDS, contrast: type[DualContrastive] = DualContrastive
) -> fit.TrainingResult:
    first = start / "weights.safetensors"
    with tempfile.TemporaryDirectory() as temporary:
        prototypes, _ = class_prototypes(first, shards / "train", chosen.prototypes)
        about = {name: file_head.read_head(first)[name] for name in ("classes", "model", "preprocessing")}
        file = Path(temporary) / "prototypes.safetensors"
        checkpoint.save(file, {"prototypes": prototypes}, {**about, "stage": "prototypes"})
        return fit.train(chosen, shards, first, file, contrast=contrast)


def choice(kind: str, row: str, trial: int) -> str:
    """Train stage 1 with a trial's settings, equal for every head, and score the select split only."""
    drawn = drawn_settings(kind, trial)
    base = settings(kind, row, CHOICE_SEED, chosen=False)
    model = base.model.model_copy(update={"dropout": drawn.pop("dropout")})
    chosen = base.model_copy(update={"model": model, "pretrain": base.pretrain.model_copy(update=drawn)})
    about = {"row": row, "settings": drawn_settings(kind, trial)}
    return _close_choice(fit.pretrain(chosen, SHARDS), kind, f"{row}-{trial}", about)


def start(kind: str, row: str, seed: int) -> str:
    """Train stage 1 for the trials of stage 2; the test split stays unseen."""
    fitted, out = fit.pretrain(settings(kind, row, seed), SHARDS), _choice(kind, f"start-{seed}")
    fitted.save(out)
    return f"select mAP {fitted.best_select:.2f} in {out}"


def choice_dual(kind: str, trial: str, seed: int) -> str:
    """Train stage 2 with a trial's loss weights and rate, from the start of equal seed."""
    # SARL's chosen values, not those chosen for stage 2: a trial is the same before the choice and after it
    base, tried = settings(kind, "sarl", seed), _own()["search_dual"][trial]
    chosen = base.model_copy(update={"train": base.train.model_copy(update=tried)})
    fitted = _second_stage(chosen, _choice(kind, f"start-{seed}"))
    return _close_choice(fitted, kind, f"dual-{trial}-{seed}", {"trial": trial, "settings": tried})


def _close_choice(fitted: fit.TrainingResult, kind: str, name: str, about: Mapping[str, Any]) -> str:
    """Write the scores on the select split, and remove the trainer's state."""
    curve = [round(epoch["select_mAP"], 3) for epoch in fitted.history]
    files.write_json(_choice(kind, f"{name}.json"), {**about, "select": max(curve), "curve": curve})
    fitted.state.remove()
    return f"select mAP {max(curve):.2f} in {_choice(kind, name)}.json"


def _choice(kind: str, name: str) -> Path:
    return CELLS / "choice" / kind / name


def drawn_settings(kind: str, trial: int) -> dict[str, float]:
    """Draw a trial's settings: from ranges log-uniformly, from lists uniformly.

    ``backbone_rate`` is the learning rate of the backbone, drawn by itself; settings have it relative to ``lr``.
    """
    rng, space = np.random.default_rng(trial), _own()["search"][kind]
    ranges: dict[str, list[float]] = space["ranges"]
    lists: dict[str, list[float]] = space["lists"]
    drawn = {name: float(f"{np.exp(rng.uniform(*np.log(ends))):.2g}") for name, ends in ranges.items()}
    if "backbone_rate" in drawn:
        drawn["backbone_lr"] = float(f"{drawn.pop('backbone_rate') / drawn['lr']:.2g}")
    return drawn | {name: float(rng.choice(values)) for name, values in lists.items()}


def _close(fitted: fit.TrainingResult, kind: str, row: str, seed: int, keep: bool = False) -> str:
    """Score the test split with the weights of the best epoch and of the last one, and write the cell."""
    folder = _folder(kind, row, seed)
    last = _last_epoch(fitted)
    with tempfile.TemporaryDirectory() as temporary:
        home = folder if keep else Path(temporary)
        fitted.save(home)
        network, about = checkpoint.load_network(home / "weights.safetensors")
        test, scores = _test_scores(network, about)
        best = "raw" if fitted.history[-1]["select_mAP_raw"] > fitted.history[-1]["select_mAP_ema"] else "ema"
        last_scores = _last_scores(last, {**about, "best": best}, Path(temporary))
    figures = evaluate(scores, test.targets, test.ignored)
    last_map = evaluate(last_scores, test.targets, test.ignored)["mAP"]
    resampled = resampled_map(scores, test.targets, multiplicities(len(test), DRAWS, DRAWS_SEED), test.ignored)
    cell = {
        "kind": kind, "row": row, "seed": seed, "head": about["model"]["head"], "epoch": about["epoch"],
        "select": [round(epoch["select_mAP"], 3) for epoch in fitted.history],
        "test": {name: round(float(figures[name]), 4) for name in NAMES},  # type: ignore[literal-required]
        "last": {"mAP": round(float(last_map), 4)},
        "AP": [None if np.isnan(value) else round(float(value), 3) for value in figures["AP"]],
        "r_precision": retrieval.test_r_precision(network, test, about),
        "resampled": np.round(resampled, 3).tolist(),
        "parameters": sum(p.numel() for p in network.head.parameters()),
        "images_per_second": round(statistics.median(row.get("images_per_second", 0.0) for row in fitted.history), 1),
        "settings": about["settings"], "model": about["model"],
        "device": about["device"], "processor": _processor(), "precision": about["precision"], "code": code()[:16],
    }  # fmt: skip
    files.write_json(folder.with_suffix(".json"), cell)
    return f"select mAP {max(cell['select']):.2f} in {folder.with_suffix('.json')}"


def _processor() -> str:
    """Name the processor and its vector instructions: on another kind, the digits of equal settings differ."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


def _test_scores(network: Network, about: Mapping[str, Any]) -> tuple[Shards, npt.NDArray[np.float32]]:
    """The test split, and a network's probabilities on it [N, C]."""
    test, model, target = Shards(SHARDS / "test"), params.Model(**about["model"]).for_test(), device.pick()
    batches: Iterable[Batch] = evaluation_batches(test, model, 100)
    if about["settings"].get("augmentation", {}).get("views"):
        batches = FeatureMaps(network, model, target).evaluation(test, model, 100)
    return test, tagger.sigmoid(tagger.logits(network.to(target), batches, target, about["precision"]))


def _last_epoch(fitted: fit.TrainingResult) -> dict[str, Tensor]:
    """Weights of the last epoch, raw and averaged, from the trainer's state; the probe has its only weights."""
    state = fitted.state.load()
    if state is None:
        return dict(fitted.tensors)
    prefix = "" if any(name.startswith("network.") for name in state["raw"]) else "network."
    return {f"{which}.{prefix}{name}": value for which in ("raw", "ema") for name, value in state[which].items()}


def _last_scores(last: Mapping[str, Tensor], about: Mapping[str, Any], folder: Path) -> npt.NDArray[np.float32]:
    """Probabilities on test of the last epoch's weights: of the raw or the averaged ones, as ``best`` says."""
    file = folder / "last.safetensors"
    checkpoint.save(file, {name: value.contiguous() for name, value in last.items()}, dict(about))
    return _test_scores(checkpoint.load_network(file)[0], about)[1]


def _own() -> dict[str, Any]:
    own: dict[str, Any] = yaml.safe_load((HOME / "params.yaml").read_text(encoding="utf-8"))
    return own


def _folder(kind: str, row: str, seed: int) -> Path:
    return CELLS / kind / f"{row}-{seed}"


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = {k for k in over if isinstance(over[k], Mapping) and isinstance(base.get(k), Mapping)}
    return {**base, **over, **{key: _merged(base[key], over[key]) for key in both}}


def main() -> str:
    """``python -m benchmarks.cell NAME KIND ROW SEED``; ``choice KIND ROW TRIAL``, ``choice_dual KIND TRIAL SEED``."""
    name, kind, row, number = sys.argv[1:]
    programs = {"head": head, "dual": dual, "choice": choice, "start": start, "choice_dual": choice_dual}
    return programs[name](kind, row, int(number))


if __name__ == "__main__":
    runner.run(" ".join(sys.argv[1:5]), f"{SHARDS}", main)
