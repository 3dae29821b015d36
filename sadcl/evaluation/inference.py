"""Inference on prepared photos: scores of the model, of its champion and of the select split; metrics.json."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sadcl import files, params
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation.calibration import Calibration, fit, identity_calibration
from sadcl.evaluation.metrics import or_none, to_json
from sadcl.evaluation.passes import Compute, Pass, Which, compute_here
from sadcl.evaluation.scores import Scores
from sadcl.model import device
from sadcl.model.network import Network
from sadcl.model.shapes import shapes_only
from sadcl.weights import file_head, loader, training_photos

Head = Mapping[str, Any]

SIZE = "size"
"""Slice column with the photos' longer side, in pixels; a column of this name in the source replaces it."""


def score_test(
    served: Path,
    train: Path,
    pretrain: Path,
    probe: Path | None,
    test: Shards,
    batch: int,
    corruptions: Sequence[str] = (),
    compute: Compute = compute_here,
) -> Scores:
    """Score the test split with the model for use, stage 2's other weights, stage 1's better ones, and a linear probe.

    Args:
        served: the file to register and use: stage 2's better weights on select, or an export of them.
        train: stage 2's weights.
        pretrain: stage 1's.
        probe: the linear probe's, if there is one.
        test: the test split.
        batch: images at a time.
        corruptions: names of corruptions; the model for use is also scored on test images with each.
        compute: computes the logits; by default in this process.

    Returns:
        Scores of ``sadcl``, ``sadcl_other``, ``sarl`` (stage 1 alone) and ``probe``, and of ``sadcl@blur`` and so on.

    Raises:
        SadclError: a file is missing or damaged, has other classes than the test images, or they do not match.
    """
    used, head, first = (_head(file, test) for file in (served, train, pretrain))
    if used.get("train_weights") not in (None, files.digest(train)):
        fix = "Run `dvc repro calibrate`"
        raise SadclError("The model for use comes from other weights than stage 2's", where=served, fix=fix)
    best: Which = "raw" if head["best"] == "raw" else "ema"
    other: Which = "ema" if best == "raw" else "raw"
    model = file_head.model_settings(train, head)
    passes = {"sadcl": Pass(served, best, model.title)}
    if model.is_linear_probe:  # there is one network
        passes |= dict.fromkeys(("sadcl_other", "sarl"), passes["sadcl"])
    else:
        passes["sadcl_other"] = Pass(train, other, f"{model.title}, other weights")
        passes["sarl"] = Pass(pretrain, "best", "stage 1")
    passes |= _corrupted("sadcl", served, corruptions)
    # stage 2 starts from stage 1's weights, so it has seen the photos of both
    both, alone = _seen(test, used, head, first), _seen(test, first)
    training_overlap = {"sadcl": both, "sadcl_other": both, "sarl": alone}
    digests = {
        "weights": files.digest(served),
        "train_weights": files.digest(train),
        "pretrain_weights": files.digest(pretrain),
        "preprocessing": files.digest_of(head["preprocessing"]),
    }
    cost = {"sadcl": _cost(served, head)}
    if probe is not None:
        linear = _head(probe, test)
        passes["probe"] = passes["sadcl"] if model.is_linear_probe else Pass(probe, "best", "linear probe")
        training_overlap["probe"], cost["probe"] = _seen(test, linear), _cost(probe, linear)
        digests["probe_weights"] = files.digest(probe)
    scores = _scores(test, _logits(passes, test, batch, compute), training_overlap, digests)
    return replace(scores, cost=cost, decisions=_decisions("sadcl", used))


def score_champion(
    file: Path, test: Shards, batch: int, corruptions: Sequence[str] = (), compute: Compute = compute_here
) -> Scores:
    """Score the test split with the champion, a weights or ONNX file, under the name ``champion``.

    Raises:
        SadclError: the file is damaged, or has other classes than the test images.
    """
    return score_file(file, test, "champion", batch, corruptions, compute)


def score_file(
    file: Path, test: Shards, name: str, batch: int, corruptions: Sequence[str] = (), compute: Compute = compute_here
) -> Scores:
    """Score the test split with one weights or ONNX file alone.

    Args:
        file: as it is served.
        test: the test split.
        name: of the model in the scores.
        batch: images at a time.
        corruptions: names of corruptions; the model is also scored on test images with each.
        compute: computes the logits; by default in this process.

    Raises:
        SadclError: the file is damaged, or has other classes than the test images.
    """
    head = _head(file, test)
    passes = {name: Pass(file, "best", name), **_corrupted(name, file, corruptions)}
    logits = _logits(passes, test, batch, compute)
    digests = {"weights": files.digest(file), "preprocessing": files.digest_of(head["preprocessing"])}
    scores = _scores(test, logits, {name: _seen(test, head)}, digests)
    return replace(scores, cost={name: _cost(file, head)}, decisions=_decisions(name, head))


def score_select(train: Path, select: Shards, batch: int) -> Scores:
    """Score the select split with stage 2's better weights, under the name ``sadcl``.

    Args:
        train: stage 2's weights.
        select: the select split; it may be empty.
        batch: images at a time.

    Raises:
        SadclError: the weights are damaged, or have other classes than the photos.
    """
    head = _head(train, select)
    none = np.zeros((0, len(select.classes)), dtype=np.float32)
    title = file_head.model_settings(train, head).title
    passes = [Pass(train, "best", title, photos="select images")]
    logits = compute_here(passes, select, batch)[0] if len(select) else none
    return _scores(select, {"sadcl": logits}, {"sadcl": _seen(select, head)}, {"train_weights": files.digest(train)})


def fit_calibration(scores: Scores, settings: params.Calibrate) -> Calibration | None:
    """Fit calibration and thresholds on scores of the select split; None where it is empty.

    Raises:
        SadclError: no label is present, or none is absent.
    """
    if not len(scores):
        return None
    precision = settings.precision if settings.thresholds == "precision" else None
    return fit(scores.logits["sadcl"], scores.targets, scores.ignored, precision, settings.prior_positives)


def summary(scores: Scores, threshold: float, chosen: str) -> dict[str, Any]:
    """Compute the value of metrics.json.

    Args:
        scores: from ``score_test``.
        threshold: of precision, recall and F1.
        chosen: the better weights on select, ``ema`` or ``raw``.
    """
    figures = {name: scores.figures(name, threshold) for name in scores.models}
    without = figures["sadcl"]["classes_without_positives"]
    return {
        **{name: {**to_json(values), **_in_use(scores, name)} for name, values in figures.items()},
        "images": len(scores),
        "classes": len(scores.classes),
        "classes_without_positives": [scores.classes[j] for j in without],
        "chosen": chosen,
        "threshold": threshold,
        "seen_in_training": scores.training_overlap["sadcl"],
        "cost": scores.cost["sadcl"],
        "probe_cost": scores.cost.get("probe"),
        "device": device.describe(device.pick()),
        "digests": scores.digests,
    }


def _in_use(scores: Scores, name: str) -> dict[str, Any]:
    """Calibration error, robustness, and the metrics at a model's own thresholds, where it has them."""
    values: dict[str, Any] = {"ECE": scores.calibration_error(name)}
    if scores.corrupted(name):
        values["robustness"] = {key: or_none(value) for key, value in scores.robustness(name).items()}
    if name in scores.decisions:
        values["ECE_uncalibrated"] = scores.calibration_error(name, in_use=False)
        values["in_use"] = scores.figures_in_use(name)
    return values


def _decisions(name: str, head: Head) -> dict[str, Calibration]:
    """Calibration and thresholds of a model's head, by name; empty where it has neither."""
    thresholds, calibration = head.get("thresholds"), head.get("calibration")
    if thresholds is None and calibration is None:
        return {}
    own = identity_calibration(len(head["classes"])).as_lists() | (calibration or {})
    return {name: Calibration.of(own | ({"thresholds": thresholds} if thresholds is not None else {}))}


def _head(file: Path, test: Shards) -> Head:
    """Read a file's head, training photos as an array; raise where its classes differ from the test images'."""
    head = loader.read_head(file)
    recorded = {"best": "best" in head, training_photos.KEY: training_photos.is_recorded(head)}
    lacking = [key for key, is_recorded in recorded.items() if not is_recorded]
    if lacking:
        fix = "Use weights that a training stage wrote"
        raise SadclError(f"The weights' head lacks {', '.join(lacking)}", where=file, fix=fix)
    labels, classes = tuple(test.classes), tuple(head["classes"])
    if labels != classes:
        pairs = enumerate(zip(labels, classes, strict=False))
        first = next((i for i, (a, b) in pairs if a != b), min(len(labels), len(classes)))
        raise SadclError(
            f"The model has other classes than the test images: {len(classes)} and {len(labels)}, the first "
            f"difference at class {first} ({_name(classes, first)} and {_name(labels, first)})",
            where=file,
            fix="Train on the present data with `dvc repro`",
        )
    return {**head, training_photos.KEY: training_photos.load(head, file)}


def _name(classes: tuple[str, ...], index: int) -> str:
    return f"`{classes[index]}`" if index < len(classes) else "none"


def _logits(passes: Mapping[str, Pass], test: Shards, batch: int, compute: Compute) -> dict[str, NDArray[np.float32]]:
    """Logits by name; equal passes are computed once."""
    distinct = list(dict.fromkeys(passes.values()))
    computed = dict(zip(distinct, compute(distinct, test, batch), strict=True))
    return {name: computed[one] for name, one in passes.items()}


def _corrupted(name: str, file: Path, corruptions: Sequence[str]) -> dict[str, Pass]:
    return {f"{name}@{kind}": Pass(file, "best", kind, kind) for kind in corruptions}


def _cost(file: Path, head: Head) -> dict[str, int]:
    """Bytes of the served file, and parameters of the network for use alone."""
    with shapes_only():  # parameters are only counted
        network = Network(file_head.model_settings(file, head), len(head["classes"]), start=False)
    return {"bytes": file.stat().st_size, "parameters": sum(p.numel() for p in network.parameters())}


def _seen(test: Shards, *heads: Head) -> int:
    """Count the test images in the training photos of these models, by content."""
    # by content, not by id: a test photo under another name counts too
    trained_on = np.concatenate([head[training_photos.KEY] for head in heads])
    return int(np.isin(training_photos.prefixes(test.sha256), trained_on).sum())


def _scores(
    test: Shards, logits: dict[str, NDArray[np.float32]], training_overlap: dict[str, int], digests: dict[str, str]
) -> Scores:
    truth = Scores(test.ids, test.sha256, tuple(test.classes), np.asarray(test.targets), np.asarray(test.ignored))
    # the gate compares these before it compares scores
    data_digests = {"test_list": test.list_digest, "shards": test.digest, "labels": truth.labels_digest()}
    slices = {SIZE: test.longer_sides, **test.slices}
    return replace(
        truth, slices=slices, logits=logits, digests={**digests, **data_digests}, training_overlap=training_overlap
    )
