"""``python -m benchmarks.missing_labels [scenes]``: linear probes where positive labels are missing.

A share of the positives of train and select is dropped at random, as annotators overlook them; test stays complete.
Each method fits on the same features, chooses its L2 on the incomplete select split, and is compared with plain binary
cross-entropy, paired by seed and test photo. Writes ``benchmarks/results/missing_labels.md``, or with ``scenes``, the
embedded data set, ``missing_labels_scenes.md``.

- ``asymmetric``: focusing power 4 and margin 0.05 on absent labels (ASL).
- ``hill``: absent labels weigh less the surer the model is of them (Zhang et al. 2021, arXiv 2112.07368).
- ``correction``: absent labels with a score above 0.6 become positives, three times (SPLC, the same paper).
- ``cleaning``: absent labels whose score out of fold is above the mean score of the class's positives become unknown.
- ``observed``: not dropped, but unknown: what knowing exactly which labels are missing would give, an upper bound.
- ``random``: the same share of all labels is unknown, absent ones too: annotators looked at the others alone.
"""

import tempfile
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from benchmarks.paired_bootstrap import paired
from benchmarks.photos import OUT as SHARDS
from sadcl import files, layout, params
from sadcl.data import synthetic
from sadcl.data.ingest import ingest
from sadcl.data.shards.reader import Shards
from sadcl.data.shards.writer import write_shards
from sadcl.evaluation.bootstrap import multiplicities, resampled_map
from sadcl.evaluation.metrics import evaluate
from sadcl.model import device
from sadcl.model.losses import asymmetric
from sadcl.model.network import Network
from sadcl.progress import say
from sadcl.training import logistic_regression
from sadcl.training.feature_cache import FeatureMaps

RESULTS = Path("benchmarks/results")
COCO, SPLITS, WORKERS = "coco-mini", ("train", "select", "test"), 2
SHARES, SEEDS, DRAWS = (0.0, 0.1, 0.3, 0.5, 0.7), (1, 2, 3), 1000
STRENGTHS = (1.0, 0.3, 0.1)
TAU, ROUNDS, FOLDS, LAMBDA, MARGIN = 0.6, 3, 5, 1.5, 1.0

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Logits, targets and ignored entries [N, C] to the sum over the classes, mean over the photos."""


def cross_entropy(logits: Tensor, targets: Tensor, ignored: Tensor) -> Tensor:
    losses = F.binary_cross_entropy_with_logits(logits, targets.float(), (~ignored).float(), reduction="sum")
    return losses / len(logits)


def focused(logits: Tensor, targets: Tensor, ignored: Tensor) -> Tensor:
    count = torch.tensor(float(len(logits)))
    return asymmetric(logits, targets, 4.0, 0.0, ignored, 0.05, count)


def hill(logits: Tensor, targets: Tensor, ignored: Tensor) -> Tensor:
    p, shifted = logits.sigmoid(), (logits - MARGIN).sigmoid()
    positive = -((1 - shifted) ** 2) * F.logsigmoid(logits - MARGIN)
    absent = (LAMBDA - p) * p**2
    return (torch.where(targets, positive, absent) * ~ignored).sum() / len(logits)


def minimise(start: Tensor, x: Tensor, targets: Tensor, ignored: Tensor, strength: float, loss: Loss) -> Tensor:
    return logistic_regression.minimise(lambda logits: loss(logits, targets, ignored), start, x, strength)


def plain(x: Tensor, targets: Tensor, ignored: Tensor, strength: float, loss: Loss, start: Tensor) -> Tensor:
    return minimise(start, x, targets, ignored, strength, loss)


def corrected(x: Tensor, targets: Tensor, ignored: Tensor, strength: float, loss: Loss, start: Tensor) -> Tensor:
    """Fit, take absent labels with high scores for positives, and fit again."""
    parameters, believed = minimise(start, x, targets, ignored, strength, loss), targets
    for _ in range(ROUNDS):
        believed = targets | (_scores(parameters, x) > TAU)
        parameters = minimise(parameters, x, believed, ignored, strength, loss)
    return parameters


def cleaned(x: Tensor, targets: Tensor, ignored: Tensor, strength: float, loss: Loss, start: Tensor) -> Tensor:
    """Leave out absent labels that a model of the other photos takes for positives, and fit again."""
    scores = torch.zeros(targets.shape)
    folds = torch.arange(len(x)) % FOLDS
    for fold in range(FOLDS):
        rest = folds != fold
        parameters = minimise(start, x[rest], targets[rest], ignored[rest], strength, loss)
        scores[~rest] = _scores(parameters, x[~rest])
    # confident learning (Northcutt et al. 2021): above the mean score of the positives is as sure as a positive
    bound = (scores * targets).sum(0) / targets.sum(0).clamp(min=1)
    doubtful = ~targets & (scores > bound)
    return minimise(start, x, targets, ignored | doubtful, strength, loss)


METHODS: dict[str, tuple[Callable[..., Tensor], Loss]] = {
    "plain": (plain, cross_entropy),
    "asymmetric": (plain, focused),
    "hill": (plain, hill),
    "correction": (corrected, cross_entropy),
    "cleaning": (cleaned, cross_entropy),
    "observed": (plain, cross_entropy),
    "random": (plain, cross_entropy),
}
WITH_UNKNOWN = ("observed", "random")
"""Methods that leave unknown labels out; without missing labels they are the plain one."""


def main() -> None:
    """Study the data set that the command names."""
    parser = ArgumentParser(description=main.__doc__)
    parser.add_argument("data", choices=[COCO, "scenes"], nargs="?", default=COCO)
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as folder:
        study(data, _shards(data, Path(folder)))


def study(data: str, parts: dict[str, Shards]) -> None:
    """Fit all methods at all shares and seeds, and write the table."""
    features = _features(parts)
    mean, scale = features["train"].mean(0), features["train"].std(0)
    scale[scale == 0] = np.inf  # a feature that never changes says nothing
    x = {split: torch.from_numpy((values - mean) / scale) for split, values in features.items()}
    test = parts["test"]
    counts = multiplicities(len(test), DRAWS, 0)
    maps: dict[tuple[str, float], list[float]] = {}
    draws: dict[tuple[str, float], list[Floats]] = {}
    for share in SHARES:
        for seed in SEEDS if share else SEEDS[:1]:
            # the same draw for all methods: labels that are not seen
            unseen = {split: _unseen(parts[split].targets.shape, share, seed, split) for split in ("train", "select")}
            labels = {split: parts[split].targets & ~drawn for split, drawn in unseen.items()}
            for name in (name for name in METHODS if share or name not in WITH_UNKNOWN):
                unknown = {split: _unknown(name, parts[split].targets, drawn) for split, drawn in unseen.items()}
                scores = _fitted_scores(name, x, labels, unknown)
                maps.setdefault((name, share), []).append(float(evaluate(scores, test.targets, test.ignored)["mAP"]))
                resampled = resampled_map(scores.astype(np.float64), test.targets, counts, test.ignored)
                draws.setdefault((name, share), []).append(resampled.astype(np.float32))
                say(f"  {share:.0%} dropped, seed {seed}, {name}: {maps[name, share][-1]:.2f}")
    result = RESULTS / ("missing_labels.md" if data == COCO else f"missing_labels_{data}.md")
    files.write_text(result, _page(data, maps, draws, test.targets.sum(axis=0)))
    say(f"The table is in {result}")


def _shards(data: str, folder: Path) -> dict[str, Shards]:
    """Splits of coco-mini, or of scenes that are drawn now."""
    if data == COCO:
        return {split: Shards(SHARDS / split) for split in SPLITS}
    settings = params.load(path=params.RECIPES / "scenes.yaml")
    synthetic.generate(folder / layout.SCENES, settings.seed)
    table = ingest(folder, str(layout.SCENES), settings.ingest, settings.seed, folder / layout.CACHE, WORKERS)
    write_shards(table, folder, folder / "shards", settings.prepare, WORKERS)
    return {split: Shards(folder / "shards" / split) for split in SPLITS}


def _features(parts: dict[str, Shards]) -> dict[str, Floats]:
    model = params.load(path=params.RECIPES / "coco-mini.yaml").model
    network = Network(model, len(parts["train"].classes)).eval()
    maps = FeatureMaps(network, model, device.pick())
    return {split: maps.pooled(part, model) for split, part in parts.items()}


def _unseen(shape: tuple[int, ...], share: float, seed: int, split: str) -> Bools:
    return np.asarray(np.random.default_rng([seed, len(split)]).random(shape) < share)


def _unknown(name: str, targets: Bools, unseen: Bools) -> Bools:
    """Entries that a method leaves out."""
    return unseen & (targets | (name == "random")) & (name in WITH_UNKNOWN)


def _fitted_scores(name: str, x: dict[str, Tensor], labels: dict[str, Bools], unknown: dict[str, Bools]) -> Floats:
    """Scores of the test photos [N, C], with the L2 that is best on the incomplete select split."""
    method, loss = METHODS[name]
    targets, ignored = torch.from_numpy(labels["train"]), torch.from_numpy(unknown["train"])
    start, best = torch.zeros(targets.shape[1], x["train"].shape[1] + 1), (-1.0, torch.zeros(0))
    for strength in STRENGTHS:
        fitted = method(x["train"], targets, ignored, strength, loss, start)
        select = evaluate(_scores(fitted, x["select"]).numpy(), labels["select"], unknown["select"])["mAP"]
        best = max(best, (float(select), fitted), key=lambda pair: pair[0])
    scores: Floats = _scores(best[1], x["test"]).numpy()
    return scores


def _scores(parameters: Tensor, x: Tensor) -> Tensor:
    return (x @ parameters[:, :-1].T + parameters[:, -1]).sigmoid()


def _page(
    data: str,
    maps: dict[tuple[str, float], list[float]],
    draws: dict[tuple[str, float], list[Floats]],
    positives: NDArray[np.int64],
) -> str:
    header = [f"{share:.0%} dropped" for share in SHARES]
    lines = [
        f"# Missing labels on {data}",
        "",
        f"Generated by `python -m benchmarks.missing_labels {data}`. Test mAP of a linear probe in percent, mean over "
        f"{len(SEEDS)} seeds of the dropped labels; below it the difference from plain, with its 95 % interval over "
        "photos and seeds. Bold: clear of zero.",
        "",
        f"| method | {' | '.join(header)} |",
        f"|---|{'---|' * len(SHARES)}",
    ]
    for name in METHODS:
        cells = []
        for share in SHARES:
            values = maps.get((name, share))
            if values is None:
                cells.append("")
                continue
            text = f"{np.mean(values):.2f}"
            if name != "plain":
                base, own = (np.array(draws[key, share], dtype=float) for key in ("plain", name))
                step = paired(own, base, np.array(values) - np.array(maps["plain", share]), positives)
                mark = "**" if not step.low <= 0 <= step.high else ""
                text += f"<br>{mark}{step.difference:+.2f}{mark} ({step.low:+.2f} to {step.high:+.2f})"
            cells.append(text)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
