"""Conversion of released checkpoints into sadcl's weights files (method, section 2.6)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sadcl import files, params
from sadcl.data.sources import coco, voc
from sadcl.errors import SadclError
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.network import Network
from sadcl.model.shapes import shapes_only
from sadcl.weights import checkpoint, file_head, training_photos
from sadcl.weights.released_names import FOREIGN, read_checkpoint, rename

CLASSES = {len(names): names for names in (coco.CLASSES, voc.CLASSES)}
"""Class names of the released models, by their number."""

RECOMPUTED = ("backbone.1.pe", "memorybank")
"""Tensors that are not converted: positions follow from the size of the map, a memory belongs to one training run."""


def convert(path: Path, out: Path, settings: params.Params, classes: Sequence[str] | None = None) -> list[str]:
    """Convert a released checkpoint into a weights file that ``sadcl.load`` and stage 2 can use.

    Args:
        path: a safetensors file, or a torch file; no code in it is run.
        out: a folder, which gets ``weights.safetensors``; or the name of the file.
        settings: section model describes the network; pretrain or train is noted in the file's head.
        classes: names in the checkpoint's order; by default COCO's for 80 classes and VOC's for 20.

    Returns:
        Lines for the user: the result, and tensors without a counterpart on either side.

    Raises:
        SadclError: the target exists; the checkpoint is missing, damaged or foreign, or of another network.
    """
    target = out if out.suffix == ".safetensors" else out / file_head.FILE
    if target.exists():
        raise SadclError(
            "The weights file already exists", where=target, fix="Choose another folder (--out), or remove it"
        )
    released, epoch = read_checkpoint(path)
    renamed, unmatched = rename(released)
    names = _class_names(path, renamed, classes)
    expected = network_tensors(settings.model, len(names))
    _check_fit(path, renamed, unmatched, expected)
    # sadcl's network has these counters, and a load asks for every tensor
    counters = {f"ema.{name}": torch.tensor(0) for name in expected if _counts_batches(name)}
    tensors = {f"ema.{name}": _to_float32(path, name, tensor) for name, tensor in renamed.items() if name in expected}
    stage = "train" if {"prototypes", "projector.linear1.weight"} & renamed.keys() else "pretrain"
    checkpoint.save(target, tensors | counters, {**_head(settings, stage, names), **_origin(path, epoch)})
    return _summary(path, target, stage, names, renamed, unmatched, expected)


def class_list(path: Path) -> list[str]:
    """Read class names from a text file, one a line.

    Raises:
        SadclError: the file can't be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SadclError(f"The class names can't be read: {error}", where=path, fix="Write one a line") from None
    return [line.strip() for line in lines if line.strip()]


def network_tensors(model: params.Model, classes: int) -> dict[str, Tensor]:
    """Build the state of stage 2's module on the meta device: names and shapes without values.

    Raises:
        SadclError: the network can't be built, or its head is not SARL.
    """
    if model.head != "sarl":
        raise SadclError(f"Released checkpoints have no head {model.head}", where="model.head", fix="Use sarl")
    with shapes_only():
        network = Network(model, classes, start=False)
        return DualContrast(network, torch.empty(classes, model.width), model.embedding).state_dict()


def _class_names(path: Path, tensors: Mapping[str, Tensor], classes: Sequence[str] | None) -> tuple[str, ...]:
    for released, name in (("query_embed.weight", "queries"), ("fc.W", "weight"), ("fc.b", "bias")):
        if f"network.head.{name}" not in tensors:
            raise SadclError(f"The checkpoint has no {released}", where=path, fix=FOREIGN)
    count = tensors["network.head.bias"].numel()
    names = CLASSES.get(count, ()) if classes is None else tuple(classes)
    if classes is None and not names:
        known = " and ".join(map(str, CLASSES))
        problem = f"The names of {count} classes are not known, only of {known}"
        raise SadclError(problem, where=path, fix="Give a list of them (--classes), in the checkpoint's order")
    if len(names) != count or len(set(names)) != count:
        raise SadclError(
            f"The checkpoint has {count} classes, but the list has {len(set(names))} different names", where=path,
            fix="Give one name for each, in the checkpoint's order",
        )  # fmt: skip
    return names


def _check_fit(
    path: Path, tensors: Mapping[str, Tensor], unmatched: Iterable[str], expected: Mapping[str, Tensor]
) -> None:
    """Raise unless the checkpoint fills the whole network: a part with random values would score without a warning."""
    attends = [n for n in unmatched if re.match(r"transformer\.decoder\.layers\.\d+\.(self_attn|norm1)\.", n)]
    if attends:
        raise SadclError(
            f"The decoder of this checkpoint has self-attention, SADCL's has none: it contains {attends[0]}",
            where=path,
            fix="Give a checkpoint trained without it, as in the released settings",
        )
    extra = [n for n in unmatched if n.startswith("transformer.")]
    extra += [n for n in tensors if n.startswith("network.head.") and n not in expected]
    missing = [n for n in expected if n.startswith("network.") and n not in tensors and not _counts_batches(n)]
    shapes = {n: (list(t.shape), list(expected[n].shape)) for n, t in tensors.items() if n in expected}
    differ = [f"{n} is unexpected" for n in extra] + [f"{n} is missing" for n in missing]
    differ += [f"{n} is {has}, not {should}" for n, (has, should) in shapes.items() if has != should]
    if differ:
        more = f" (and {len(differ) - 1} more)" if len(differ) > 1 else ""
        raise SadclError(
            f"The checkpoint does not fit the network of the settings: {differ[0].removeprefix('network.')}{more}",
            where=path,
            fix="Choose a recipe with its backbone, width, layers and embedding (--recipe)",
        )


def _to_float32(path: Path, name: str, tensor: Tensor) -> Tensor:
    """Convert a tensor to float32; raise where it is no dense tensor of finite numbers."""
    if _counts_batches(name):
        return tensor
    plain = tensor.layout is torch.strided and tensor.is_floating_point() and not tensor.is_meta
    if not plain or not bool(torch.isfinite(tensor.float()).all()):
        raise SadclError(f"The checkpoint's {name} is no tensor of finite numbers", where=path, fix="Fetch it again")
    return tensor.float()


def _counts_batches(name: str) -> bool:
    """Whether a tensor is a batch norm's counter: released ones were frozen and have none; no result depends on it."""
    return name.endswith(".num_batches_tracked")


def _head(settings: params.Params, stage: str, names: Sequence[str]) -> dict[str, Any]:
    model, fit = settings.model, settings.train if stage == "train" else settings.pretrain
    return {
        **file_head.new_head(stage, model, names),
        "settings": fit.model_dump(mode="json"),
        "precision": fit.precision,
        "best": "ema",  # a released checkpoint has one set of weights
        "select": None,
        "seed": None,
        "device": None,
    }


def _origin(path: Path, epoch: int | None) -> dict[str, Any]:
    # no photo is known as seen; the user is told so
    return {"epoch": epoch, "inputs": {"checkpoint": files.digest(path)}, training_photos.KEY: ""}


def _summary(
    path: Path, target: Path, stage: str, names: Sequence[str], tensors: Mapping[str, Tensor], unmatched: Sequence[str],
    expected: Mapping[str, Tensor],
) -> list[str]:  # fmt: skip
    method = "SADCL" if stage == "train" else "SARL alone (stage 1, or Query2Label)"
    optional = [n for n in expected if not n.startswith("network.") and n not in tensors] if stage == "train" else []
    unknown = [n for n in unmatched if n not in RECOMPUTED] + [n for n in tensors if n not in expected]
    recomputed = [n for n in unmatched if n in RECOMPUTED]
    lines = {
        f"{path.name} is {method} with {len(names)} classes, {names[0]} to {names[-1]}; written to {target}": True,
        f"Not converted, since sadcl computes them again: {_some(recomputed)}": recomputed,
        f"In the file, but unknown to sadcl: {_some(unknown)}": unknown,
        f"Part of sadcl's model, but not in the file: {_some(optional)}": optional,
        "The checkpoint does not name its training photos; your test photos may be among them": True,
    }
    return [line for line, applies in lines.items() if applies]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
