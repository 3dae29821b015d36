"""A model for use: the same answer as in evaluation, however a photo is given, and sentences where it can't be."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from sadcl import files, params
from sadcl.data import table
from sadcl.data.images import heif
from sadcl.data.shards import reader, writer
from sadcl.data.shards.batches import evaluation_batches
from sadcl.errors import SadclError
from sadcl.model import tagger
from sadcl.model.network import Network
from sadcl.model.tagger import Tagger
from sadcl.weights import checkpoint, loader
from tests.networks import WithoutAttention

torch.set_num_threads(1)
CPU = torch.device("cpu")
MODEL = params.Model(
    backbone="test_resnet", weights="random", side=32, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4),
    width=16, heads=2, feedforward=16, embedding=8,
)  # fmt: skip
ROTATED = Image.Exif()
ROTATED[0x0112] = 6


def model(change: dict[str, Any] | None = None, settings: params.Model = MODEL) -> Tagger:
    torch.manual_seed(0)
    network = Network(settings, 3)
    with torch.no_grad():  # sharp enough that a wrong pixel shows in the scores
        for name, parameter in network.head.named_parameters():
            if name in ("weight", "linear.weight"):
                parameter.mul_(20)
    head = {
        "format": 1, "stage": "train", "classes": ["a", "b", "c"], "model": settings.model_dump(mode="json"),
        "preprocessing": {"side": settings.side, "mean": list(settings.mean), "std": list(settings.std)},
        "thresholds": None, **(change or {}),
    }  # fmt: skip
    return Tagger(network, head, CPU)


@pytest.fixture(scope="module")
def sarl() -> Tagger:
    return model()


def photo(seed: int = 0, mode: str = "RGB", size: tuple[int, int] = (80, 60)) -> Image.Image:
    rng = np.random.default_rng(seed)
    return (
        Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8))
        .resize(size, Image.Resampling.BICUBIC)
        .convert(mode)
    )


def encoded(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def test_photos_in_use_are_scored_as_in_evaluation(sarl: Tagger, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    rows = []
    for i in range(4):  # large JPEGs, which evaluation decodes at a reduced size; one of them rotated
        file = tmp_path / "raw" / f"{i}.jpg"
        file.write_bytes(encoded(photo(i, size=(400, 300)), "JPEG", **({"exif": ROTATED} if i == 3 else {})))
        rows.append(
            {
                "image_id": str(i), "file": file.name, "split": "test", "labels": [0], "ignored": [], "width": 400,
                "brightness": 99.0, "sharpness": 9.0, "phash": 1,
                "height": 300, "bytes": file.stat().st_size, "sha256": files.digest(file), "problem": None,
            }
        )  # fmt: skip
    annotations = table.Table(pd.DataFrame(rows), sarl.classes, "raw", {})
    writer.write_shards(annotations, tmp_path, tmp_path / "shards", params.Prepare(), 1)
    test = reader.Shards(tmp_path / "shards/test")
    evaluated = tagger.sigmoid(tagger.logits(sarl.network, evaluation_batches(test, MODEL, 3, 1), CPU))
    np.testing.assert_allclose(sarl.scores([tmp_path / "raw" / f"{i}.jpg" for i in range(4)]), evaluated, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "how"),
    [
        ("RGB", {}),
        ("RGB", {"exif": ROTATED}),
        ("L", {}),
        ("1", {}),
        ("P", {}),
        ("P", {"transparency": 0}),
        ("RGBA", {}),
        ("LA", {}),
        ("I;16", {}),
    ],
)
def test_path_bytes_and_pil_image_are_one_photo(mode: str, how: dict[str, Any], sarl: Tagger, tmp_path: Path) -> None:
    image = photo(mode=mode if mode in ("RGB", "P") else "L" if mode in ("L", "1") else "RGBA")
    if mode == "RGBA":
        image.putalpha(photo(1).convert("L"))
    if mode in ("LA", "1"):
        image = image.convert(mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(photo().convert("L")).astype(np.uint16) * 200)
    assert image.mode == mode
    data = encoded(image, **how)
    (tmp_path / "photo").write_bytes(data)
    scores = sarl.scores([tmp_path / "photo", str(tmp_path / "photo"), data, Image.open(io.BytesIO(data))])
    np.testing.assert_allclose(scores, scores[[0]].repeat(4, 0), atol=1e-6)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "WEBP"])
def test_photos_of_phones_are_scored_from_path_bytes_and_image(kind: str, sarl: Tagger, tmp_path: Path) -> None:
    heif.register()
    data = encoded(photo(size=(96, 64)), kind, quality=95)
    (tmp_path / "photo").write_bytes(data)
    scores = sarl.scores([tmp_path / "photo", data, Image.open(io.BytesIO(data))])
    np.testing.assert_allclose(scores, scores[[0]].repeat(3, 0), atol=1e-6)


def test_transparent_and_cmyk_images_created_in_memory_are_scored(sarl: Tagger) -> None:
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    scores = sarl.scores([clear, Image.new("RGB", (40, 40), "white"), Image.new("CMYK", (40, 40))])
    np.testing.assert_allclose(scores, scores[[0]].repeat(3, 0), atol=1e-6)


def test_the_callers_image_is_left_alone(sarl: Tagger) -> None:
    image = photo(mode="P")
    before = image.tobytes()
    sarl.scores([image])
    assert (image.mode, image.size, image.tobytes()) == ("P", (80, 60), before)


def test_a_photos_score_does_not_depend_on_its_company(sarl: Tagger) -> None:
    many = [photo(seed) for seed in range(tagger.BATCH + 2)]
    scores = sarl.scores(many)
    assert (scores.shape, scores.dtype) == ((tagger.BATCH + 2, 3), np.float32)
    np.testing.assert_allclose(scores[[0, -1]], sarl.scores([many[0], many[-1]]), atol=1e-5)
    assert len(np.unique(scores.round(6), axis=0)) == len(many)


def test_no_photo_gives_no_row(sarl: Tagger) -> None:
    assert sarl.scores([]).shape == (0, 3)
    assert sarl.predict([]) == []


def test_labels_are_those_above_their_thresholds_the_likeliest_first(sarl: Tagger) -> None:
    (row,) = sarl.scores([photo()])
    order = [sarl.classes[j] for j in np.argsort(-row)]
    (labels,) = sarl.predict([photo()], threshold=0.0)
    assert labels == [(name, pytest.approx(float(row[sarl.classes.index(name)]))) for name in order]
    assert sarl.predict([photo()], threshold=1.0) == [[]]
    tuned = model({"thresholds": [0.0, 1.0, 0.0]})
    assert sorted(name for name, _ in tuned.predict([photo()])[0]) == ["a", "c"]
    assert tuned.thresholds.tolist() == [0, 1, 0]
    assert sarl.thresholds.tolist() == [0.5] * 3


def test_attention_says_where_each_label_looked(sarl: Tagger) -> None:
    wide = model(settings=MODEL.model_copy(update={"side": 96}))
    attention = wide.attention(photo())
    assert attention.shape == (3, 3, 3)
    np.testing.assert_allclose(attention.sum((1, 2)), 1, atol=1e-5)


def test_a_model_without_attention_says_so() -> None:
    blind = model()
    blind.network = WithoutAttention(blind.network)
    with pytest.raises(SadclError, match=r"no attention \(sarl\)"):
        blind.attention(photo())


def test_a_folder_or_a_file_is_loaded(sarl: Tagger, tmp_path: Path) -> None:
    state = {f"ema.network.{name}": value.contiguous() for name, value in sarl.network.state_dict().items()}
    checkpoint.save(tmp_path / "weights.safetensors", state, sarl.head)
    for path in (tmp_path, str(tmp_path / "weights.safetensors")):
        loaded = loader.load_tagger(path)
        assert loaded.classes == ("a", "b", "c")
        np.testing.assert_allclose(loaded.scores([photo()]), sarl.scores([photo()]), atol=1e-5)


def test_a_model_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(SadclError, match="The weights file is missing"):
            loader.load_tagger(path)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"", r"empty \(photo 41\)"),
        (b"no image", r"not an image of a known kind .*\(photo 41\)"),
        (encoded(photo())[:200], r"truncated or damaged.*\(photo 41\)"),
        (Image.open(io.BytesIO(encoded(photo())[:200])), r"truncated or damaged.*\(photo 41\)"),
        ("/nowhere/none.jpg", r"No such file or directory \(/nowhere/none.jpg\)"),
        ("a\0b.jpg", "can't be read"),
        (Path("/"), r"Is a directory \(/\)"),
        (None, r"this is NoneType \(photo 41\)"),
        (np.zeros((4, 4, 3)), r"this is ndarray \(photo 41\)"),
    ],
)
def test_a_photo_that_cannot_be_read_is_named(bad: Any, words: str, sarl: Tagger) -> None:
    with pytest.raises(SadclError, match=words):
        sarl.predict([photo()] * 40 + [bad])


@pytest.mark.parametrize("one", ["photo.jpg", Path("photo.jpg"), b"...", photo()])
def test_one_photo_where_a_list_belongs_is_a_sentence(one: Any, sarl: Tagger) -> None:
    with pytest.raises(SadclError, match=r"Put it into a list"):
        sarl.predict(one)


def batches(count: int) -> list[tagger.Batch]:
    rng = torch.Generator().manual_seed(0)
    empty, none = torch.zeros(2, 3).bool(), (torch.zeros(0).long(),) * 2
    return [
        tagger.Batch(torch.randn(2, 3, 32, 32, generator=rng), empty, empty, ["x", "y"], np.arange(2), none, (0,))
        for _ in range(count)
    ]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_logits_are_float32_whatever_the_precision(precision: str, sarl: Tagger) -> None:
    logits = tagger.logits(sarl.network, batches(2), CPU, precision)
    assert (logits.shape, logits.dtype) == ((4, 3), np.float32)
    np.testing.assert_allclose(logits, tagger.logits(sarl.network, batches(2), CPU), rtol=0.1, atol=0.5)


def test_a_network_in_double_precision_is_scored() -> None:
    double = model().network.double()
    logits = tagger.logits(double, batches(1), CPU, "64-true")
    np.testing.assert_allclose(logits, tagger.logits(model().network, batches(1), CPU), atol=1e-3)


def test_an_empty_split_has_no_logits(sarl: Tagger) -> None:
    assert len(tagger.logits(sarl.network, [], CPU)) == 0


def test_scores_of_extreme_logits_are_finite() -> None:
    scores = tagger.sigmoid(np.array([[-1e4, 0, 1e4]], np.float32))
    assert scores.dtype == np.float32
    assert scores.tolist() == [[0, 0.5, 1]]
