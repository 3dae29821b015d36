"""Label-level features of a split at the labels that its photos have, without and with the projector."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from sadcl import params
from sadcl.data.shards.batches import evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.model import device
from sadcl.model.dual_contrast import Projector
from sadcl.model.tagger import AUTOCAST
from sadcl.progress import track
from sadcl.weights import checkpoint

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

SEED = 2307
BATCH = 64
NEIGHBOURS = 5


@dataclass(frozen=True)
class Points:
    """Which features are looked at: one for each photo and label that it has.

    Attributes:
        rows: [P], of the photos in the shards.
        kinds: [P], places of the labels in ``classes``.
        classes: [K], indexes of classes, in the order asked for or the most frequent first.
        names: K names.
        left: in words, what was left out; empty where nothing was.
    """

    rows: Ints
    kinds: Ints
    classes: Ints
    names: list[str]
    left: str


@dataclass(frozen=True)
class Space:
    """Features [P, E] and prototypes [K, E] (or none) of one kind, all of length 1."""

    title: str
    features: Floats
    prototypes: Floats | None


@dataclass(frozen=True)
class Separation:
    """How far classes lie apart, all by cosine.

    Attributes:
        share: of the 5 nearest neighbours, those with the same label.
        own: of the features, those to which no other class's prototype is nearer; None without prototypes.
        within: mean cosine of features of the same label.
        between: mean cosine of features of different labels.
    """

    share: float
    own: float | None
    within: float
    between: float


def points(split: Shards, classes: int, labels: Sequence[str], most: int) -> Points:
    """Choose classes and, where there are more than ``most`` features of them, some of these by lot (fixed seed).

    Args:
        split: photos and their labels.
        classes: how many, the most frequent first.
        labels: names of classes instead.
        most: P is at most this.

    Raises:
        SadclError: no photo shows a label, or there are too few features.
    """
    there = split.targets & ~split.ignored
    count = there.sum(0)
    order = [j for j in np.argsort(-count, kind="stable").tolist() if count[j]]
    lost = [label for label in labels if label not in [split.classes[j] for j in order]]
    if lost:
        raise SadclError(f"No photo shows `{lost[0]}`", where=split.directory, fix="Ask for another label")
    chosen = [split.classes.index(label) for label in dict.fromkeys(labels)] or order[:classes]
    if len(chosen) < 2 or count[chosen].sum() <= NEIGHBOURS:
        fix = "Ask for more classes, or take a split with more photos"
        raise SadclError("There are too few labels to draw", where=split.directory, fix=fix)
    rows, kinds = there[:, chosen].nonzero()
    take = np.sort(np.random.default_rng(SEED).permutation(len(rows))[:most])
    left = [f"{len(order) - len(chosen)} classes"] if len(order) > len(chosen) else []
    left += [f"{len(rows) - most:,} further features"] if len(rows) > most else []
    return Points(rows[take], kinds[take], np.array(chosen), [split.classes[j] for j in chosen], " and ".join(left))


def spaces(file: Path, split: Shards, chosen: Points) -> list[Space]:
    """Features as the head gives them and, in stage 2, as the contrastive losses see them; prototypes likewise.

    Args:
        file: weights; of those in it, the ones that are better on select.
        split: where the points are.
        chosen: the points.

    Raises:
        SadclError: the weights can't be read, their head has no label-level features, or a photo can't be decoded.
    """
    features = _features(file, split, chosen)
    tensors, head = checkpoint.load_tensors(file)
    own = {name.removeprefix(f"{head.get('best', 'ema')}."): tensor for name, tensor in tensors.items()}
    prototypes = own["prototypes"][chosen.classes].float() if "prototypes" in own else None
    found = [_space("without the projector", features, prototypes)]
    if "projector.linear1.weight" in own:
        projector = Projector(features.shape[1], len(own["projector.linear2.weight"]))
        projector.load_state_dict({name: own[f"projector.{name}"] for name in projector.state_dict()})
        with torch.inference_mode():
            stars = None if prototypes is None else projector(prototypes)
            found.append(_space("with the projector", projector(features), stars))
    return found


def separation(space: Space, kinds: Ints) -> Separation:
    """Look at neighbours, prototypes and cosines of features whose classes are ``kinds`` [P]; P is more than 5."""
    cosine, same = space.features @ space.features.T, kinds[:, None] == kinds
    itself = np.eye(len(kinds), dtype=bool)
    within, between = (cosine[pairs].sum() / max(pairs.sum(), 1) for pairs in (same & ~itself, ~same))
    cosine[itself] = -2  # nobody is a neighbour of itself
    near = np.argpartition(-cosine, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    share = float((kinds[near] == kinds[:, None]).mean())
    if space.prototypes is None:
        return Separation(share, None, float(within), float(between))
    own = (space.features @ space.prototypes.T).argmax(1) == kinds
    return Separation(share, float(own.mean()), float(within), float(between))


def _features(file: Path, split: Shards, chosen: Points) -> Tensor:
    """[P, D] in float32; only photos that have one of the points are looked at."""
    network, head = checkpoint.load_network(file)
    shown = np.unique(chosen.rows)  # sorted, and so is each batch of them
    model, where, found = params.Model(**head["model"]).for_test(), device.pick(), []
    lower = AUTOCAST.get(head.get("precision", ""))
    network.to(where)
    batches = evaluation_batches(split, model, BATCH, rows=shown)
    with torch.inference_mode(), torch.autocast(where.type, lower, enabled=lower is not None):
        for batch in track(batches, "label-level features", total=-(-len(shown) // BATCH), each=BATCH):
            features = network(batch.images.to(where)).features
            if features is None:
                what = f"The head {model.head} has no label-level features"
                raise SadclError(what, where=file, fix="Use a SARL or SADCL model")
            mine = np.isin(chosen.rows, batch.rows)
            places, labels = np.searchsorted(batch.rows, chosen.rows[mine]), chosen.classes[chosen.kinds[mine]]
            found.append(features[places, labels].float().cpu())
    return torch.cat(found)


def _space(title: str, features: Tensor, prototypes: Tensor | None) -> Space:
    """Of length 1, since the losses compare by cosine."""
    stars = None if prototypes is None else F.normalize(prototypes, dim=1).numpy()
    return Space(title, F.normalize(features, dim=1).numpy(), stars)
