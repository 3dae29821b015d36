"""Label-level features of a split at the labels of its photos, with and without the projector."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from sadcl.data.shards.batches import evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.model import device
from sadcl.model.dual_contrast import Projector
from sadcl.model.tagger import AUTOCAST
from sadcl.progress import track
from sadcl.weights import checkpoint, file_head

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

SEED = 2307
BATCH = 64
NEIGHBOURS = 5


@dataclass(frozen=True)
class Points:
    """Selection of features: one for each photo and each of its labels.

    Attributes:
        rows: [P], rows of the photos in the shards.
        kinds: [P], positions of the labels in ``classes``.
        classes: [K], indexes of classes, in the requested order or the most frequent first.
        names: names of the K classes.
        omitted: what was left out, as text; empty where nothing was.
    """

    rows: Ints
    kinds: Ints
    classes: Ints
    names: list[str]
    omitted: str


@dataclass(frozen=True)
class Space:
    """Features [P, E] and prototypes [K, E] (or None) in one embedding space, all of length 1."""

    title: str
    features: Floats
    prototypes: Floats | None


@dataclass(frozen=True)
class Separation:
    """Separation of classes, by cosine similarity.

    Attributes:
        share: share of the 5 nearest neighbours with the same label.
        own_prototype: share of the features whose nearest prototype is their own class's; None without prototypes.
        within: mean cosine of features of the same label.
        between: mean cosine of features of different labels.
    """

    share: float
    own_prototype: float | None
    within: float
    between: float


def points(split: Shards, classes: int, labels: Sequence[str], limit: int) -> Points:
    """Select classes, and a random sample (fixed seed) where they have more than ``limit`` features.

    Args:
        split: photos and their labels.
        classes: number of classes, the most frequent first.
        labels: names of classes instead.
        limit: upper bound of P.

    Raises:
        SadclError: no photo has a label, or there are too few features.
    """
    present = split.targets & ~split.ignored
    count = present.sum(0)
    order = [j for j in np.argsort(-count, kind="stable").tolist() if count[j]]
    missing = [label for label in labels if label not in [split.classes[j] for j in order]]
    if missing:
        raise SadclError(f"No photo shows `{missing[0]}`", where=split.directory, fix="Ask for another label")
    chosen = [split.classes.index(label) for label in dict.fromkeys(labels)] or order[:classes]
    if len(chosen) < 2 or count[chosen].sum() <= NEIGHBOURS:
        fix = "Ask for more classes, or take a split with more photos"
        raise SadclError("There are too few labels to draw", where=split.directory, fix=fix)
    rows, kinds = present[:, chosen].nonzero()
    take = np.sort(np.random.default_rng(SEED).permutation(len(rows))[:limit])
    omitted = [f"{len(order) - len(chosen)} classes"] if len(order) > len(chosen) else []
    omitted += [f"{len(rows) - limit:,} further features"] if len(rows) > limit else []
    return Points(rows[take], kinds[take], np.array(chosen), [split.classes[j] for j in chosen], " and ".join(omitted))


def spaces(file: Path, split: Shards, chosen: Points) -> list[Space]:
    """Features and prototypes of the head and, in stage 2, after the projector of the contrastive losses.

    Args:
        file: weights; of raw and averaged ones, those that are better on the select split.
        split: the shards of the points.
        chosen: the points.

    Raises:
        SadclError: the weights can't be read, their head has no label-level features, or a photo can't be decoded.
    """
    features = _features(file, split, chosen)
    tensors, head = checkpoint.load_tensors(file)
    tensors_in_use = {name.removeprefix(f"{head.get('best', 'ema')}."): tensor for name, tensor in tensors.items()}
    prototypes = tensors_in_use["prototypes"][chosen.classes].float() if "prototypes" in tensors_in_use else None
    spaces = [_space("without the projector", features, prototypes)]
    if "projector.linear1.weight" in tensors_in_use:
        projector = Projector(features.shape[1], len(tensors_in_use["projector.linear2.weight"]))
        projector.load_state_dict({name: tensors_in_use[f"projector.{name}"] for name in projector.state_dict()})
        with torch.inference_mode():
            prototype_embeddings = None if prototypes is None else projector(prototypes)
            spaces.append(_space("with the projector", projector(features), prototype_embeddings))
    return spaces


def separation(space: Space, kinds: Ints) -> Separation:
    """Measure neighbours, prototypes and cosines of features with classes ``kinds`` [P]; P must exceed 5."""
    cosine, same = space.features @ space.features.T, kinds[:, None] == kinds
    itself = np.eye(len(kinds), dtype=bool)
    within, between = (cosine[pairs].sum() / max(pairs.sum(), 1) for pairs in (same & ~itself, ~same))
    cosine[itself] = -2  # below any cosine: a feature is not its own neighbour
    nearest = np.argpartition(-cosine, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    share = float((kinds[nearest] == kinds[:, None]).mean())
    if space.prototypes is None:
        return Separation(share, None, float(within), float(between))
    own_prototype = (space.features @ space.prototypes.T).argmax(1) == kinds
    return Separation(share, float(own_prototype.mean()), float(within), float(between))


def _features(file: Path, split: Shards, chosen: Points) -> Tensor:
    """Features [P, D] in float32; only photos of the points go through the network."""
    network, head = checkpoint.load_network(file)
    shown = np.unique(chosen.rows)  # sorted, and so is each batch of them
    model, target = file_head.model_settings(file, head).for_test(), device.pick()
    vectors: list[Tensor] = []
    precision = AUTOCAST.get(head.get("precision", ""))
    network.to(target)
    batches = evaluation_batches(split, model, BATCH, rows=shown)
    with torch.inference_mode(), torch.autocast(target.type, precision, enabled=precision is not None):
        for batch in track(batches, "label-level features", total=-(-len(shown) // BATCH), each=BATCH):
            batch_features = network(batch.images.to(target)).features
            if batch_features is None:
                message = f"The head {model.head} has no label-level features"
                raise SadclError(message, where=file, fix="Set model.head to sarl, then run `dvc repro`")
            in_batch = np.isin(chosen.rows, batch.rows)
            rows, labels = np.searchsorted(batch.rows, chosen.rows[in_batch]), chosen.classes[chosen.kinds[in_batch]]
            vectors.append(batch_features[rows, labels].float().cpu())
    return torch.cat(vectors)


def _space(title: str, features: Tensor, prototypes: Tensor | None) -> Space:
    """Normalise to length 1, since the losses compare by cosine."""
    prototype_embeddings = None if prototypes is None else F.normalize(prototypes, dim=1).numpy()
    return Space(title, F.normalize(features, dim=1).numpy(), prototype_embeddings)
