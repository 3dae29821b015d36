"""Released checkpoints become weights files of ours (method, section 2.6)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.network import Network
from sadcl.weights import checkpoint
from sadcl.weights.released_names import FOREIGN, read_checkpoint, rename

_COCO = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
_VOC = (
    "aeroplane,bicycle,bird,boat,bottle,bus,car,cat,chair,cow,diningtable,dog,horse,motorbike,person,pottedplant,sheep,"
    "sofa,train,tvmonitor"
)
CLASSES = {80: tuple(_COCO.split(",")), 20: tuple(_VOC.split(","))}
"""By their number: COCO's by ascending category id, VOC's by the alphabet; what the released models predict."""

MADE_ANEW = ("backbone.1.pe", "memorybank")
"""Positions follow from the size of the map; a memory belongs to one run of a training."""


def convert(path: Path, out: Path, settings: params.Params, classes: Sequence[str] | None = None) -> list[str]:
    """Write a released checkpoint as a weights file of ours, which ``sadcl.load`` and stage 2 can use.

    Args:
        path: a safetensors file, or a torch file; nothing in it is run.
        out: a folder, which gets ``weights.safetensors``; or the name of the file.
        settings: whose network it is (section model), and what the file's head tells of its training.
        classes: names in the checkpoint's order; by default COCO's where there are 80 and VOC's where there are 20.

    Returns:
        What was done and what found no place, a sentence a line.

    Raises:
        SadclError: there are weights already; the checkpoint is missing, damaged or foreign; it is of another network.
    """
    target = out if out.suffix == ".safetensors" else out / "weights.safetensors"
    if target.exists():
        raise SadclError("There are weights already", where=target, fix="Choose another folder (--out), or remove them")
    kept, epoch = read_checkpoint(path)
    found, left = rename(kept)
    names = _class_names(path, found, classes)
    wanted = network_tensors(settings.model, len(names))
    _refuse(path, found, left, wanted)
    counters = {f"ema.{name}": torch.tensor(0) for name in wanted if _counts_batches(name)}
    tensors = {f"ema.{name}": _usable(path, name, tensor) for name, tensor in found.items() if name in wanted}
    stage = "train" if {"prototypes", "projector.linear1.weight"} & found.keys() else "pretrain"
    checkpoint.save(target, tensors | counters, {**_head(settings, stage, names), **_origin(path, epoch)})
    return _words(path, target, stage, names, found, left, wanted)


def class_list(path: Path) -> list[str]:
    """Class names from a text file, one a line.

    Raises:
        SadclError: the file can't be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SadclError(f"The class names can't be read: {error}", where=path, fix="Write one a line") from None
    return [line.strip() for line in lines if line.strip()]


def network_tensors(model: params.Model, classes: int) -> dict[str, Tensor]:
    """All that stage 2's module holds, by name: shapes without values.

    Raises:
        SadclError: no such network can be built, or its head is not SARL.
    """
    if model.head != "sarl":
        raise SadclError(f"The released checkpoints have no head {model.head}", where="model.head", fix="Use sarl")
    with torch.device("meta"):
        network = Network(model, classes, start=False)
        return DualContrast(network, torch.empty(classes, model.width), model.embedding).state_dict()


def _class_names(path: Path, found: Mapping[str, Tensor], given: Sequence[str] | None) -> tuple[str, ...]:
    for theirs, ours in (("query_embed.weight", "queries"), ("fc.W", "weight"), ("fc.b", "bias")):
        if f"network.head.{ours}" not in found:
            raise SadclError(f"The checkpoint has no {theirs}", where=path, fix=FOREIGN)
    count = found["network.head.bias"].numel()
    names = CLASSES.get(count, ()) if given is None else tuple(given)
    if given is None and not names:
        known = " and ".join(map(str, CLASSES))
        what = f"The names of {count} classes are not known, only of {known}"
        raise SadclError(what, where=path, fix="Give a list of them (--classes), in the checkpoint's order")
    if len(names) != count or len(set(names)) != count:
        raise SadclError(
            f"The checkpoint has {count} classes, the list {len(set(names))} different names", where=path,
            fix="Give one name for each, in the checkpoint's order",
        )  # fmt: skip
    return names


def _refuse(path: Path, found: Mapping[str, Tensor], left: Iterable[str], wanted: Mapping[str, Tensor]) -> None:
    """No network that is only half the checkpoint's, or half from elsewhere."""
    attends = [n for n in left if re.match(r"transformer\.decoder\.layers\.\d+\.(self_attn|norm1)\.", n)]
    if attends:
        raise SadclError(
            f"In this checkpoint labels attend to one another, as in SADCL they do not: it holds {attends[0]}",
            where=path,
            fix="Give one that was trained without the decoder's self-attention, as the released settings say",
        )
    extra = [n for n in left if n.startswith("transformer.")]
    extra += [n for n in found if n.startswith("network.head.") and n not in wanted]
    missing = [n for n in wanted if n.startswith("network.") and n not in found and not _counts_batches(n)]
    shapes = {n: (list(t.shape), list(wanted[n].shape)) for n, t in found.items() if n in wanted}
    differ = [f"{n} is one too many" for n in extra] + [f"{n} is missing" for n in missing]
    differ += [f"{n} is {has}, not {should}" for n, (has, should) in shapes.items() if has != should]
    if differ:
        more = f" (and {len(differ) - 1} more)" if len(differ) > 1 else ""
        raise SadclError(
            f"The checkpoint does not fit the network of the settings: {differ[0].removeprefix('network.')}{more}",
            where=path,
            fix="Choose the recipe that has its backbone, width, layers and embedding (--recipe)",
        )


def _usable(path: Path, name: str, tensor: Tensor) -> Tensor:
    """In float32, if that is a plain table of numbers."""
    if _counts_batches(name):
        return tensor
    plain = tensor.layout is torch.strided and tensor.is_floating_point() and not tensor.is_meta
    if not plain or not bool(torch.isfinite(tensor.float()).all()):
        raise SadclError(f"The checkpoint's {name} holds more than finite numbers", where=path, fix="Fetch it again")
    return tensor.float()


def _counts_batches(name: str) -> bool:
    """Released batch norms were frozen and did not count batches; nothing depends on the number."""
    return name.endswith(".num_batches_tracked")


def _head(settings: params.Params, stage: str, names: Sequence[str]) -> dict[str, Any]:
    model, fit = settings.model, settings.train if stage == "train" else settings.pretrain
    return {
        "stage": stage,
        "classes": list(names),
        "model": model.model_dump(mode="json"),
        "preprocessing": {"side": model.for_test().side, "mean": list(model.mean), "std": list(model.std)},
        "settings": fit.model_dump(mode="json"),
        "precision": fit.precision,
        "best": "ema",  # the one set of weights that a checkpoint holds
        "select": None,
        "thresholds": None,
        "seed": None,
        "device": None,
    }


def _origin(path: Path, epoch: int | None) -> dict[str, Any]:
    return {"epoch": epoch, "inputs": {"checkpoint": files.digest(path)}, "seen": []}


def _words(
    path: Path, target: Path, stage: str, names: Sequence[str], found: Mapping[str, Tensor], left: Sequence[str],
    wanted: Mapping[str, Tensor],
) -> list[str]:  # fmt: skip
    what = "SADCL" if stage == "train" else "SARL alone (stage 1, or Query2Label)"
    optional = [n for n in wanted if not n.startswith("network.") and n not in found] if stage == "train" else []
    unknown = [n for n in left if n not in MADE_ANEW] + [n for n in found if n not in wanted]
    lines = {
        f"{path.name} is {what} with {len(names)} classes, {names[0]} to {names[-1]}; it is now {target}": True,
        f"Left out, since they are made anew: {_some([n for n in left if n in MADE_ANEW])}": set(left) & {*MADE_ANEW},
        f"In the file, but without a place here: {_some(unknown)}": unknown,
        f"Wanted here, but not in the file: {_some(optional)}": optional,
        "Which photos it was trained on is not known, so nobody can say here whether it saw your test photos": True,
    }
    return [line for line, said in lines.items() if said]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
