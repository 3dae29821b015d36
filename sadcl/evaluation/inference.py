"""From weights files and shards to scores and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from sadcl import files, params
from sadcl.data.shards.batches import evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation.calibration import Calibration, fit
from sadcl.evaluation.calibration import identity_calibration as plain_decisions
from sadcl.evaluation.corruptions import CORRUPTIONS
from sadcl.evaluation.metrics import to_json
from sadcl.evaluation.scores import Scores
from sadcl.model import device, tagger
from sadcl.model.network import Network
from sadcl.progress import track
from sadcl.weights import loader

Head = Mapping[str, Any]
Which = Literal["best", "ema", "raw"]

SIZE = "size"
"""A column to slice by, unless the source has one of this name: photos' longer side, in pixels."""


def challenger(
    served: Path, train: Path, pretrain: Path, test: Shards, batch: int, corruptions: Sequence[str] = ()
) -> Scores:
    """Scores of the model for use, of stage 2's other weights, and of stage 1's better ones (SARL alone).

    Args:
        served: the file that will be registered and used: stage 2's better weights on select, or an export of them.
        train: stage 2's weights.
        pretrain: stage 1's.
        test: the test split.
        batch: images at a time.
        corruptions: the model for use is also scored on test images that each of these has spoilt.

    Returns:
        Scores of ``sadcl``, ``sadcl_other`` and ``sarl``, and of ``sadcl@blur`` and so on.

    Raises:
        SadclError: there are no test images, or a model knows other classes.
    """
    used, head, first = (_head(file, test) for file in (served, train, pretrain))
    best: Which = "raw" if head["best"] == "raw" else "ema"
    other: Which = "ema" if best == "raw" else "raw"
    logits = {
        "sadcl": _logits(served, best, test, batch, "SADCL"),
        "sadcl_other": _logits(train, other, test, batch, "SADCL, other weights"),
        "sarl": _logits(pretrain, "best", test, batch, "SARL"),
        **_spoilt("sadcl", served, test, batch, corruptions),
    }
    if used.get("train_weights") not in (None, files.digest(train)):
        fix = "Run `dvc repro calibrate`"
        raise SadclError("The model for use was made of other weights than stage 2's", where=served, fix=fix)
    both, alone = _seen(test, used, head, first), _seen(test, first)
    seen = {"sadcl": both, "sadcl_other": both, "sarl": alone}
    digests = {
        "weights": files.digest(served),
        "train_weights": files.digest(train),
        "pretrain_weights": files.digest(pretrain),
        "preprocessing": files.digest_of(head["preprocessing"]),
    }
    found = _scores(test, logits, seen, digests)
    return replace(found, cost={"sadcl": _cost(served, head)}, decisions=_decisions("sadcl", used))


def champion(file: Path, test: Shards, batch: int, corruptions: Sequence[str] = ()) -> Scores:
    """Scores of the champion, its better weights or an ONNX file of them, under the name ``champion``.

    Raises:
        SadclError: the weights are damaged, or know other classes than the test images.
    """
    head = _head(file, test)
    logits = {
        "champion": _logits(file, "best", test, batch, "champion"),
        **_spoilt("champion", file, test, batch, corruptions),
    }
    digests = {"weights": files.digest(file), "preprocessing": files.digest_of(head["preprocessing"])}
    found = _scores(test, logits, {"champion": _seen(test, head)}, digests)
    return replace(found, cost={"champion": _cost(file, head)}, decisions=_decisions("champion", head))


def selected(train: Path, select: Shards, batch: int) -> Scores:
    """Scores of stage 2's better weights on the photos that chose the epoch, under the name ``sadcl``.

    Args:
        train: stage 2's weights.
        select: the select split; without photos there are no scores.
        batch: images at a time.

    Raises:
        SadclError: the weights are damaged, or know other classes than the photos.
    """
    head = _head(train, select)
    none = np.zeros((0, len(select.classes)), dtype=np.float32)
    logits = _logits(train, "best", select, batch, "SADCL", "select images") if len(select) else none
    return _scores(select, {"sadcl": logits}, {"sadcl": _seen(select, head)}, {"train_weights": files.digest(train)})


def decide(scores: Scores, settings: params.Calibrate) -> Calibration | None:
    """Calibration and thresholds from what ``selected`` gave; None where no photo was kept for it.

    Raises:
        SadclError: no label is present.
    """
    if not len(scores):
        return None
    wanted = settings.precision if settings.thresholds == "precision" else None
    return fit(scores.logits["sadcl"], scores.targets, scores.ignored, wanted, settings.prior_positives)


def summary(scores: Scores, threshold: float, chosen: str) -> dict[str, Any]:
    """The value of metrics.json.

    Args:
        scores: of ``challenger``.
        threshold: of the figures that need one.
        chosen: which weights are the better on select, ``ema`` or ``raw``.
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
        "seen_in_training": scores.seen["sadcl"],
        "cost": scores.cost["sadcl"],
        "device": device.describe(device.pick()),
        "digests": scores.digests,
    }


def _in_use(scores: Scores, name: str) -> dict[str, Any]:
    """How far to trust a model's scores, and what its own thresholds give, where it has them."""
    trusted: dict[str, Any] = {"ECE": scores.calibration_error(name)}
    if scores.corrupted(name):
        trusted["robustness"] = scores.robustness(name)
    if name in scores.decisions:
        trusted["ECE_uncalibrated"] = scores.calibration_error(name, in_use=False)
        trusted["in_use"] = scores.figures_in_use(name)
    return trusted


def _decisions(name: str, head: Head) -> dict[str, Calibration]:
    """What a model's head has of its own; a threshold that it lacks is 0.5."""
    thresholds, calibration = head.get("thresholds"), head.get("calibration")
    if thresholds is None and calibration is None:
        return {}
    own = plain_decisions(len(head["classes"])).as_lists() | (calibration or {})
    return {name: Calibration.of(own | ({"thresholds": thresholds} if thresholds is not None else {}))}


def _head(file: Path, test: Shards) -> Head:
    """A weights file's description, after the classes were compared with those of the test images."""
    head = loader.read_head(file)
    lacking = [key for key in ("best", "seen") if key not in head]
    if lacking:
        fix = "Use weights that a training stage wrote"
        raise SadclError(f"The weights' head lacks {', '.join(lacking)}", where=file, fix=fix)
    ours, theirs = tuple(test.classes), tuple(head["classes"])
    if ours != theirs:
        at = next(
            (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
        )
        raise SadclError(
            f"The model knows other classes than the test images: {len(theirs)} and {len(ours)}, the first "
            f"difference at class {at} ({_name(theirs, at)} and {_name(ours, at)})",
            where=file,
            fix="Train on the present data with `dvc repro`",
        )
    return head


def _name(classes: tuple[str, ...], at: int) -> str:
    return f"`{classes[at]}`" if at < len(classes) else "none"


def _logits(
    file: Path, which: Which, test: Shards, batch: int, what: str, noun: str = "test images", spoilt: str | None = None
) -> NDArray[np.float32]:
    network, head = loader.load_network(file, which)
    where = device.pick()
    batches = evaluation_batches(
        test, params.Model(**head["model"]).for_test(), batch, spoil=CORRUPTIONS[spoilt] if spoilt else None
    )
    shown = track(batches, f"{noun}, {what}", total=-(-len(test) // batch), each=batch)
    return tagger.logits(network.to(where), shown, where)


def _spoilt(
    name: str, file: Path, test: Shards, batch: int, corruptions: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    return {f"{name}@{how}": _logits(file, "best", test, batch, f"{how}", spoilt=how) for how in corruptions}


def _cost(file: Path, head: Head) -> dict[str, int]:
    """Bytes of the file that is served, and parameters of the network for use alone."""
    with torch.device("meta"):
        network = Network(params.Model(**head["model"]), len(head["classes"]), start=False)
    return {"bytes": file.stat().st_size, "parameters": sum(p.numel() for p in network.parameters())}


def _seen(test: Shards, *heads: Head) -> int:
    """How many test images the models of these heads saw in training, by content."""
    known = {start for head in heads for start in head["seen"]}
    return sum(sha256[:16] in known for sha256 in test.sha256)


def _scores(
    test: Shards, logits: dict[str, NDArray[np.float32]], seen: dict[str, int], digests: dict[str, str]
) -> Scores:
    ids, sha256, classes = list(test.ids), list(test.sha256), tuple(test.classes)
    truth = Scores(ids, sha256, classes, np.asarray(test.targets), np.asarray(test.ignored))
    stands_on = {"test_list": test.list_digest, "shards": test.digest, "labels": truth.labels_digest()}
    slices = {SIZE: test.longer_sides, **test.slices}
    return replace(truth, slices=slices, logits=logits, digests={**digests, **stands_on}, seen=seen)
