"""A released checkpoint becomes a model of ours with the released outputs, or a sentence says why not."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import sadcl
from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.model import backbone
from sadcl.model.dual_contrast import Projector
from sadcl.weights import checkpoint as weights
from sadcl.weights import file_head, released
from sadcl.weights.released_names import rename
from tests.paths import REPOSITORY

torch.set_num_threads(1)
GOLDEN = REPOSITORY / "tests/golden"
CHANNELS = 96
MODEL = params.Model(
    backbone="test_resnet", weights="random", side=32, mean=(0, 0, 0), std=(1, 1, 1), width=64, heads=4,
    feedforward=128, embedding=1024,
)  # fmt: skip
SETTINGS = params.load(path=REPOSITORY / "recipes/demo.yaml").model_copy(update={"model": MODEL})
CLASSES = [f"class {i}" for i in range(11)]
STARTS = ("transformer.", "input_proj.", "query_embed.", "fc.", "proj_head.", "prototype", "memorybank")


def checkpoint(name: str) -> dict[str, Tensor]:
    """A golden network under its released names, on a small ResNet.

    The golden networks take 48 channels and that ResNet gives 96: the others meet zeros.
    """
    stored = load_file(GOLDEN / f"{name}_small.safetensors")
    state = {k: v for k, v in stored.items() if k.startswith(STARTS) and not k.endswith("_out")}
    state["input_proj.weight"] = widened(state["input_proj.weight"])
    body = backbone.build(MODEL).body.state_dict()
    state |= {f"backbone.0.body.{k}": v for k, v in body.items() if not k.endswith("num_batches_tracked")}
    return {**state, "backbone.1.pe": torch.zeros(1, 64, 1, 1)}


def widened(tensor: Tensor) -> Tensor:
    """[n, 48, h, w] to [n, 96, h, w]."""
    return torch.cat([tensor, torch.zeros_like(tensor)], 1)


def as_safetensors(state: dict[str, Tensor], path: Path) -> Path:
    save_file(state, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def as_torch(state: dict[str, Tensor], path: Path) -> Path:
    optimiser = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999)}]}
    whole = {"epoch": 12, "arch": "Q2L", "state_dict": state, "best_mAP": np.float64(85.6), "optimizer": optimiser}
    torch.save(whole, path)
    return path


def as_old_torch(state: dict[str, Tensor], path: Path) -> Path:
    torch.save({"state_dict": state}, path, _use_new_zipfile_serialization=False)
    return path


def as_plain_dictionary(state: dict[str, Tensor], path: Path) -> Path:
    torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["sarl", "q2l"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("written", [as_safetensors, as_torch, as_old_torch, as_plain_dictionary])
def test_the_model_that_comes_out_gives_the_released_outputs(
    name: str, prefix: str, written: Callable[[dict[str, Tensor], Path], Path], tmp_path: Path
) -> None:
    path = written({prefix + k: v for k, v in checkpoint(name).items()}, tmp_path / "released.pkl")
    released.convert(path, tmp_path / "out", SETTINGS, CLASSES)
    tagger = sadcl.load(tmp_path / "out")
    assert list(tagger.classes) == CLASSES
    golden = load_file(GOLDEN / f"{name}_small.safetensors")
    for case in ("case_7x5", "case_6x6"):
        with torch.inference_mode():
            out = tagger.network(widened(golden[f"{case}/feature"]))
        torch.testing.assert_close(out.logits, golden[f"{case}/logits"], atol=2e-5, rtol=0)
        torch.testing.assert_close(out.features, golden[f"{case}/hs_last"], atol=2e-5, rtol=0)


def test_the_backbone_comes_along(tmp_path: Path) -> None:
    state = checkpoint("q2l")
    released.convert(as_torch(state, tmp_path / "a.pkl"), tmp_path, SETTINGS, CLASSES)
    network, _ = weights.load_network(tmp_path / "weights.safetensors", "ema")
    body = network.backbone.body.state_dict()
    assert all(torch.equal(body[k.removeprefix("backbone.0.body.")], v) for k, v in state.items() if ".body." in k)


def test_projector_and_prototypes_of_stage_two_are_preserved(tmp_path: Path) -> None:
    released.convert(as_torch(checkpoint("sarl"), tmp_path / "a.pkl"), tmp_path, SETTINGS, CLASSES)
    tensors, head = weights.load_tensors(tmp_path / "weights.safetensors")
    golden = load_file(GOLDEN / "sarl_small.safetensors")
    projector = Projector(64, 1024)
    projector.load_state_dict({k[14:]: v for k, v in tensors.items() if k.startswith("ema.projector.")})
    with torch.inference_mode():
        embedded = projector(tensors["ema.prototypes"])
    torch.testing.assert_close(embedded, golden["case_6x6/prototype_embed"][0], atol=2e-5, rtol=0)
    assert head["stage"] == "train"


def test_the_head_has_what_later_stages_ask_of_it(tmp_path: Path) -> None:
    path = as_torch(checkpoint("q2l"), tmp_path / "a.pkl")
    released.convert(path, tmp_path, SETTINGS, CLASSES)
    head = file_head.read_head(tmp_path / "weights.safetensors")
    assert (head["stage"], head["epoch"], head["best"], head["training_photos"]) == ("pretrain", 12, "ema", "")
    assert head["inputs"] == {"checkpoint": files.digest(path)}
    assert head["model"] == MODEL.model_dump(mode="json")
    assert head["precision"] == SETTINGS.pretrain.precision
    assert "views" in head["settings"]["augmentation"]


def test_tensors_without_a_place_are_named(tmp_path: Path) -> None:
    state = {**checkpoint("sarl"), "backbone.0.body.fc.weight": torch.zeros(2), "duplicate": torch.zeros(1)}
    del state["prototype"]
    words = "\n".join(released.convert(as_torch(state, tmp_path / "a.pkl"), tmp_path / "out", SETTINGS, CLASSES))
    assert "a.pkl is SADCL with 11 classes, class 0 to class 10" in words
    assert "computes them again: memorybank, backbone.1.pe" in words
    assert "unknown to sadcl: duplicate, network.backbone.body.fc.weight" in words
    assert "model, but not in the file: prototypes" in words


@pytest.mark.parametrize("which", ["SADCL", "Q2L"])
def test_every_name_of_the_full_size_networks_finds_its_place(which: str) -> None:
    listed = json.loads((GOLDEN / "r101_names.json").read_text())[which]["state_dict"]
    renamed, unused = rename({name: torch.empty(shape, device="meta") for name, shape, _ in listed})
    model = params.load(path=REPOSITORY / "recipes/coco2014-r101-448.yaml").model
    wanted = {k: v for k, v in released.network_tensors(model, 80).items() if not k.endswith("num_batches_tracked")}
    wanted = wanted if which == "SADCL" else {k: v for k, v in wanted.items() if k.startswith("network.")}
    assert {k: v.shape for k, v in renamed.items()} == {k: v.shape for k, v in wanted.items()}
    assert set(unused) <= {"backbone.1.pe", "memorybank"}


@pytest.mark.parametrize(("count", "first", "last"), [(80, "person", "toothbrush"), (20, "aeroplane", "tvmonitor")])
def test_names_of_coco_and_voc_are_known(count: int, first: str, last: str, tmp_path: Path) -> None:
    state = checkpoint("q2l")
    state |= {"query_embed.weight": torch.zeros(count, 64), "fc.W": torch.zeros(1, count, 64)}
    state["fc.b"] = torch.zeros(1, count)
    released.convert(as_torch(state, tmp_path / "a.pkl"), tmp_path, SETTINGS)
    classes = sadcl.load(tmp_path).classes
    assert (len(set(classes)), classes[0], classes[-1]) == (count, first, last)


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    state = {k: v.half() for k, v in checkpoint("q2l").items()}
    released.convert(as_torch(state, tmp_path / "a.pkl"), tmp_path, SETTINGS, CLASSES)
    tensors, _ = weights.load_tensors(tmp_path / "weights.safetensors")
    assert {v.dtype for k, v in tensors.items() if "num_batches" not in k} == {torch.float32}


def test_batches_that_a_norm_counted_do_no_harm(tmp_path: Path) -> None:
    state = {**checkpoint("q2l"), "backbone.0.body.bn1.num_batches_tracked": torch.tensor(7)}
    assert len(released.convert(as_torch(state, tmp_path / "a.pkl"), tmp_path, SETTINGS, CLASSES)) == 3


class Evil:
    """A pickle of it calls ``print`` when it is read."""

    def __reduce__(self) -> Any:
        return print, ("run",)


def write_text(path: Path) -> None:
    path.write_text("no checkpoint")


def write_code(path: Path) -> None:
    torch.save({"state_dict": {"fc.b": torch.zeros(1, 11)}, "args": Evil()}, path)


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Evil(), 2))


def write_newer_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Evil()))


def write_half(path: Path) -> None:
    torch.save(checkpoint("q2l"), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_numbers(path: Path) -> None:
    torch.save([1, 2], path)


def write_other(path: Path) -> None:
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}}, path)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (write_text, "no torch file"),
        (write_code, "would run print when it is read"),
        (write_pickle, "would run .*print when it is read"),
        (write_newer_pickle, "no torch file"),
        (write_half, "can't be read"),
        (write_numbers, "contains no named tensors"),
        (write_other, r"has no query_embed\.weight"),
        (lambda path: None, "The checkpoint is missing"),
        (lambda path: path.mkdir(), "can't be read"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_a_sentence(
    write: Callable[[Path], None], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a.pkl")
    refused(tmp_path / "a.pkl", words)
    assert capsys.readouterr().out == ""


def test_a_damaged_safetensors_file_is_a_sentence(tmp_path: Path) -> None:
    path = as_safetensors(checkpoint("q2l"), tmp_path / "a")
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, "can't be read")


def without(name: str) -> dict[str, Tensor]:
    return {k: v for k, v in checkpoint("q2l").items() if k != name}


BAD: dict[str, Callable[[], dict[str, Tensor]]] = {
    "has self-attention": lambda: {
        **checkpoint("q2l"), "transformer.decoder.layers.0.self_attn.in_proj_bias": torch.zeros(192)
    },
    r"head\.decoder\.2\.linear1\.bias is unexpected": lambda: {
        **checkpoint("q2l"), "transformer.decoder.layers.2.linear1.bias": torch.zeros(128)
    },
    r"transformer\.encoder\.norm\.weight is unexpected": lambda: {
        **checkpoint("q2l"), "transformer.encoder.norm.weight": torch.zeros(64)
    },
    r"backbone\.body\.layer1\.0\.conv1\.weight is missing": lambda: without("backbone.0.body.layer1.0.conv1.weight"),
    r"head\.queries is \[11, 32\], not \[11, 64\]": lambda: {
        **checkpoint("q2l"), "query_embed.weight": torch.zeros(11, 32)
    },
    r"proj.*linear2\.weight is \[8, 64\], not \[1024, 64\]": lambda: {
        **checkpoint("sarl"), "proj_head.layers.1.weight": torch.zeros(8, 64)
    },
    "is no tensor of finite numbers": lambda: {**checkpoint("q2l"), "fc.b": torch.full((1, 11), torch.nan)},
    "is no tensor of finite numbers ": lambda: {**checkpoint("q2l"), "fc.b": torch.zeros(1, 11, dtype=torch.int64)},
}  # fmt: skip


@pytest.mark.parametrize("words", BAD)
def test_another_network_is_refused_in_words(words: str, tmp_path: Path) -> None:
    refused(as_torch(BAD[words](), tmp_path / "a.pkl"), words.strip())


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (None, "names of 11 classes are not known, only of 80 and 20"),
        (["a", "b"], "has 11 classes, but the list has 2 different names"),
        (["a"] * 11, "has 11 classes, but the list has 1 different names"),
    ],
)
def test_a_wrong_list_of_classes_is_refused(classes: list[str] | None, words: str, tmp_path: Path) -> None:
    refused(as_torch(checkpoint("q2l"), tmp_path / "a.pkl"), words, classes)


def test_another_head_than_sarl_has_no_checkpoints(tmp_path: Path) -> None:
    pooling = SETTINGS.model_copy(update={"model": MODEL.model_copy(update={"head": "pooling"})})
    with pytest.raises(SadclError, match="have no head pooling"):
        released.convert(as_torch(checkpoint("q2l"), tmp_path / "a.pkl"), tmp_path / "out", pooling, CLASSES)


def test_weights_that_are_there_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_text("mine")
    with pytest.raises(SadclError, match="The weights file already exists"):
        released.convert(as_torch(checkpoint("q2l"), tmp_path / "a.pkl"), tmp_path, SETTINGS, CLASSES)
    assert (tmp_path / "weights.safetensors").read_text() == "mine"


def test_class_names_come_from_a_file_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("airport\n traffic light \n\nzebra\n")
    assert released.class_list(tmp_path / "names.txt") == ["airport", "traffic light", "zebra"]
    with pytest.raises(SadclError, match="class names can't be read"):
        released.class_list(tmp_path / "none.txt")


def refused(path: Path, words: str, classes: list[str] | None = CLASSES) -> None:
    """Check that a file is refused in a sentence, and that nothing is written."""
    with pytest.raises(SadclError, match=words) as caught:
        released.convert(path, path.parent / "out", SETTINGS, classes)
    assert caught.value.fix
    assert caught.value.where == path
    assert not (path.parent / "out").exists()
