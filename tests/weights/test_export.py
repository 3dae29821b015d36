"""A trained model as ONNX and torch.export files: the same scores, everything inside, sentences where it can't be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from PIL import Image

import sadcl
from sadcl import files, params
from sadcl.data import table
from sadcl.data.images.normalise import normalise
from sadcl.data.images.resize import squash
from sadcl.data.shards import reader, writer
from sadcl.errors import SadclError
from sadcl.model.heads import HeadOutput
from sadcl.model.network import Network
from sadcl.model.tagger import Tagger
from sadcl.weights import export, loader, onnx_network
from tests.paths import REPOSITORY

torch.set_num_threads(1)
CPU = torch.device("cpu")
CLASSES = ["cat", "dog", "kite", "Straßenbahn"]
MODEL = params.Model(
    backbone="test_efficientnet", weights="random", side=64, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4),
    width=16, heads=2, feedforward=16, embedding=8, groups=3,
)  # fmt: skip
LITE0 = {"backbone": "tf_efficientnet_lite0", "output_stride": 16, "dilated": False}
KINDS: dict[str, dict[str, Any]] = {
    "sarl": {"head": "sarl", **LITE0},
    "sarl, queries shared": {"head": "sarl", "side": 160},
    "pooling": {"head": "pooling"},
    "csra": {"head": "csra"},
    "ml_decoder": {"head": "ml_decoder"},
}
Made = Callable[[str], tuple[Tagger, Path]]


def model(thresholds: list[float] | None = None, seed: int = 0, **change: Any) -> Tagger:
    settings = MODEL.model_copy(update=change)
    torch.manual_seed(seed)
    network = Network(settings, len(CLASSES), start=False)
    with torch.no_grad():  # sharp enough that a wrong photo or weight shows in the scores
        for name, parameter in network.head.named_parameters():
            if name in ("weight", "linear.weight"):
                parameter.mul_(5)
    head = {
        "format": 1, "stage": "train", "classes": CLASSES, "model": settings.model_dump(mode="json"),
        "preprocessing": {"side": settings.side, "mean": list(settings.mean), "std": list(settings.std)},
        "thresholds": thresholds,
    }  # fmt: skip
    return Tagger(network, head, CPU)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A model and the folder of its exports; each is exported once."""
    kept: dict[str, tuple[Tagger, Path]] = {}

    def get(kind: str) -> tuple[Tagger, Path]:
        if kind not in kept:
            folder = tmp_path_factory.mktemp("exported")
            kept[kind] = model([0.0, 1.0, 0.5, 0.25], **KINDS[kind]), folder
            export.export_files(kept[kind][0], folder)
        return kept[kind]

    return get


def photos(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (70 + i, 90, 3), np.uint8)) for i in range(count)]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_the_onnx_file_scores_and_looks_as_the_original(made: Made, kind: str, count: int) -> None:
    original, folder = made(kind)
    exported, given = sadcl.load(folder / "weights.onnx"), photos(count)
    np.testing.assert_allclose(exported.scores(given), original.scores(given), rtol=0, atol=1e-4)
    if kind == "pooling":
        with pytest.raises(SadclError, match="no attention"):
            exported.attention(given[0])
    else:
        np.testing.assert_allclose(exported.attention(given[0]), original.attention(given[0]), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_torch_file_scores_as_the_original(made: Made, kind: str) -> None:
    original, folder = made(kind)
    inside = {"sadcl": ""}
    program = torch.export.load(folder / "weights.pt2", extra_files=inside).module()
    head = json.loads(inside["sadcl"])
    assert (head["classes"], head["thresholds"]) == (CLASSES, [0.0, 1.0, 0.5, 0.25])
    shape = head["preprocessing"]
    for count in (1, 2, 5):
        pixels = np.stack([squash(np.asarray(photo), shape["side"]) for photo in photos(count)])
        scores = program(normalise(pixels, shape["mean"], shape["std"]))[0].sigmoid()
        np.testing.assert_allclose(scores.numpy(), original.scores(photos(count)), rtol=0, atol=1e-4)


def test_classes_and_thresholds_travel_inside(made: Made) -> None:
    original, folder = made("sarl")
    exported = sadcl.load(folder)
    assert exported.classes == tuple(CLASSES)
    assert exported.thresholds.tolist() == [0.0, 1.0, 0.5, 0.25]
    assert exported.head["preprocessing"] == original.head["preprocessing"]
    [ours], [theirs] = original.predict(photos(1)), exported.predict(photos(1))
    assert [name for name, _ in ours] == [name for name, _ in theirs]


def test_what_others_read_in_the_onnx_file(made: Made) -> None:
    proto = onnx.load(made("sarl")[1] / "weights.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert [(one.domain, one.version) for one in proto.opset_import] == [("", 18)]

    def shape(value: Any) -> list[Any]:
        return [value.name, *(one.dim_param or one.dim_value for one in value.type.tensor_type.shape.dim)]

    assert [shape(value) for value in proto.graph.input] == [["images", "batch", 3, 64, 64]]
    assert [shape(value) for value in proto.graph.output] == [
        ["logits", "batch", 4],
        ["attention", "batch", 4, 4, 4],
    ]
    head = json.loads({one.key: one.value for one in proto.metadata_props}["sadcl"])
    assert head["classes"] == CLASSES


def test_the_same_weights_give_the_same_bytes_and_no_word_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.onnx", "b.onnx"):
        export.export_onnx(model(), tmp_path / name)
    sadcl.load(tmp_path / "a.onnx").scores(photos(1))
    data = (tmp_path / "a.onnx").read_bytes()
    assert data == (tmp_path / "b.onnx").read_bytes()
    assert str(REPOSITORY).encode() not in data
    assert capfd.readouterr() == ("", "")
    assert loader.read_head(tmp_path / "a.onnx")["thresholds"] is None, "nobody tuned them"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]


def without_head(data: bytes) -> bytes:
    proto = onnx.load_from_string(data)
    del proto.metadata_props[:]
    return bytes(proto.SerializeToString())


def other_head(**change: Any) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        proto = onnx.load_from_string(data)
        proto.metadata_props[0].value = json.dumps({**json.loads(proto.metadata_props[0].value), **change})
        return bytes(proto.SerializeToString())

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"", "no whole ONNX model"),
        (lambda data: b"weights", "no whole ONNX model"),
        (lambda data: data[: len(data) // 2], "no whole ONNX model"),
        (without_head, "not sadcl's"),
        (other_head(format=2), "format 2"),
        (other_head(classes=["one"], thresholds=None), "shapes are not those of its head"),
        (other_head(thresholds=[0.5]), "no usable thresholds"),
    ],
)
def test_a_damaged_or_foreign_file_is_a_sentence(
    made: Made, tmp_path: Path, damage: Callable[[bytes], bytes], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "weights.onnx"
    file.write_bytes(damage((made("ml_decoder")[1] / "weights.onnx").read_bytes()))
    capfd.readouterr()
    with pytest.raises(SadclError, match=words) as caught:
        sadcl.load(file)
    assert caught.value.where == file
    assert caught.value.fix
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_not_there_or_of_torch_export_is_a_sentence(made: Made, tmp_path: Path) -> None:
    with pytest.raises(SadclError, match=r"no such model \(.*none.onnx\)"):
        sadcl.load(tmp_path / "none.onnx")
    with pytest.raises(SadclError, match="for other programs"):
        sadcl.load(made("sarl")[1] / "weights.pt2")


@pytest.mark.parametrize("library", ["onnx", "onnxscript", "onnxruntime"])
def test_a_library_that_is_not_installed_is_named(
    made: Made, tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, folder = made("pooling")
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(SadclError, match=f"needs {library}, .*pip install 'sadcl\\[export\\]'"):
        sadcl.load(folder) if library == "onnxruntime" else export.export_onnx(original, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


class Moody(torch.nn.Module):
    """Its path depends on the photo: nothing that a fixed graph can hold."""

    def forward(self, feature_map: torch.Tensor, attention: bool = False) -> HeadOutput:
        del attention
        pooled = feature_map.mean((2, 3))[:, :4]
        return HeadOutput(pooled if float(pooled.sum()) > 0 else -pooled)


class Forgetful(torch.nn.Module):
    """Other scores each time."""

    def forward(self, feature_map: torch.Tensor, attention: bool = False) -> HeadOutput:
        del attention
        return HeadOutput(torch.randn_like(feature_map.mean((2, 3))[:, :4]))


@pytest.mark.parametrize(("head", "words"), [(Moody(), "can't be exported"), (Forgetful(), "scores differ by")])
def test_a_network_that_cannot_be_exported_leaves_nothing(
    tmp_path: Path, head: torch.nn.Module, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = model(head="pooling")
    odd.network.head = head
    with pytest.raises(SadclError, match=f"{words}.*register.runtime: torch"):
        export.export_files(odd, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_an_export_is_not_exported_again(made: Made, tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="exported already"):
        export.export_files(sadcl.load(made("sarl")[1]), tmp_path)


def test_exporting_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    double = model(head="pooling")
    double.network.double()
    before = {name: value.clone() for name, value in double.network.state_dict().items()}
    export.export_onnx(double, tmp_path / "a.onnx")
    for name, value in double.network.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])


def test_test_photos_are_scored_by_both(made: Made, tmp_path: Path) -> None:
    original, folder = made("ml_decoder")
    test = prepared(tmp_path)
    assert 0 <= export.difference(original, sadcl.load(folder), test, batch=3) < 1e-5
    with pytest.raises(SadclError, match=r"scores differ by .*data/test"):
        export.difference(model(head="ml_decoder", seed=1), sadcl.load(folder), test)


def test_an_export_says_what_it_made_and_how_near_it_is(tmp_path: Path) -> None:
    prepared(tmp_path)
    small = model(head="pooling")
    said = list(export.report(small, tmp_path / "out", tmp_path / "data/test"))
    assert said[0].startswith("On 7 test photos no score of the ONNX file differs by more than ")
    written = [str(tmp_path / f"out/weights.{kind}") for kind in ("onnx", "pt2")]
    assert [line.split(" (")[0] for line in said[1:]] == written
    assert "noise only" in next(export.report(small, tmp_path / "out", tmp_path / "nowhere"))
    small.network.train()  # it scores a photo by its company then, as its export never does
    with pytest.raises(SadclError, match="differ by"):
        list(export.report(small, tmp_path / "out", tmp_path / "data/test"))
    assert list((tmp_path / "out").iterdir()) == []


def prepared(root: Path) -> reader.Shards:
    """Seven test photos in shards."""
    rows = []
    for i, photo in enumerate(photos(7)):
        file = root / f"{i}.png"
        photo.save(file)
        rows.append(
            {
                "image_id": str(i), "file": file.name, "split": "test", "labels": [0], "ignored": [],
                "width": photo.width, "height": photo.height, "bytes": file.stat().st_size,
                "brightness": 99.0, "sharpness": 9.0, "phash": 1,
                "sha256": files.digest(file), "problem": None,
            }
        )  # fmt: skip
    writer.write_shards(
        table.Table(pd.DataFrame(rows), tuple(CLASSES), ".", {}), root, root / "data", params.Prepare(), 1
    )
    return reader.Shards(root / "data/test")


def external(path: Path, secret: Path, where: str) -> Path:
    """An exported model, one tensor of which holds the first 24 bytes of another file."""
    proto = onnx.load(path)
    reference = onnx.TensorProto(
        name="leak", dims=[6], data_type=onnx.TensorProto.FLOAT, data_location=onnx.TensorProto.EXTERNAL
    )
    for key, value in {"location": secret.name, "offset": "0", "length": "24"}.items():
        reference.external_data.add(key=key, value=value)
    if where == "initializer":
        proto.graph.initializer.append(reference)
    elif where == "attribute":
        proto.graph.node.append(onnx.helper.make_node("Constant", [], ["leak"], value=reference))
    else:
        branch = onnx.GraphProto(name="branch", initializer=[reference])
        branch.output.append(onnx.helper.make_tensor_value_info("leak", onnx.TensorProto.FLOAT, [6]))
        condition = onnx.helper.make_tensor("condition", onnx.TensorProto.BOOL, [], [True])
        proto.graph.initializer.append(condition)
        proto.graph.node.append(
            onnx.helper.make_node("If", ["condition"], ["leaked"], then_branch=branch, else_branch=branch)
        )
    if where != "branch":
        proto.graph.node.append(onnx.helper.make_node("Identity", ["leak"], ["leaked"]))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("leaked", onnx.TensorProto.FLOAT, [6]))
    crafted = path.with_name("crafted.onnx")
    crafted.write_bytes(proto.SerializeToString())
    return crafted


@pytest.mark.parametrize("where", ["initializer", "attribute", "branch"])
def test_a_tensor_in_another_file_is_refused(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Otherwise a trainer's model reads the administrator's password from the folder that the review page runs in."""
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "administrator.json"
    secret.write_text('{"password": "correct horse battery staple"}')
    crafted = external(made("pooling")[1] / "weights.onnx", secret, where)
    with pytest.raises(SadclError, match=r"'leak' of this ONNX model lies in another file.*sadcl export"):
        sadcl.load(crafted)


def test_onnxruntime_reads_no_file_of_the_working_directory(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wall: what the check of tensors may overlook is looked for in an empty folder."""
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "administrator.json"
    secret.write_text('{"password": "correct horse battery staple"}')
    data = external(made("pooling")[1] / "weights.onnx", secret, "initializer").read_bytes()
    unguarded = onnxruntime.SessionOptions()
    unguarded.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, unguarded, providers=["CPUExecutionProvider"])
    [leaked] = session.run(["leaked"], {"images": np.zeros((1, 3, 64, 64), np.float32)})
    assert leaked.tobytes() == secret.read_bytes()[:24]
    (tmp_path / "empty").mkdir()
    guarded = onnx_network.session_options(tmp_path / "empty", fast=False)
    with pytest.raises(Exception, match=r"administrator\.json"):
        onnxruntime.InferenceSession(data, guarded, providers=["CPUExecutionProvider"])


def test_only_onnx_s_own_format_is_read(tmp_path: Path) -> None:
    """onnxruntime's other format has no check for tensors in other files."""
    path = tmp_path / "weights.onnx"
    path.write_bytes(b"\x18\x00\x00\x00ORTM" + b"\x00" * 64)
    with pytest.raises(SadclError, match="no whole ONNX model"):
        sadcl.load(path)
