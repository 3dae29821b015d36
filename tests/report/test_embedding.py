"""The drawing of label-level features: which ones, in which space, the figures next to it, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sadcl import SadclError, params
from sadcl.data.shards.batches import evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.network import Network
from sadcl.report import features
from sadcl.report.embedding import draw
from sadcl.report.features import Space, separation
from sadcl.weights import checkpoint, file_head

Make = Callable[..., Path]
TEST, WEIGHTS = "data/shards/test", "models/train/weights.safetensors"


def stage2(root: Path, embedding: int = 8) -> DualContrast:
    """Give the project's weights a projector and prototypes; returns the module that they make."""
    tensors, head = checkpoint.load_tensors(root / WEIGHTS)
    network, _ = checkpoint.load_network(root / WEIGHTS)
    torch.manual_seed(3)
    module = DualContrast(network, torch.randn(len(head["classes"]), head["model"]["width"]), embedding).eval()
    more = {f"ema.{name}": tensor for name, tensor in module.state_dict().items() if not name.startswith("network.")}
    raw = {name.replace("ema.", "raw."): torch.zeros_like(tensor) for name, tensor in {**tensors, **more}.items()}
    checkpoint.save(root / WEIGHTS, {**tensors, **more, **raw}, head)
    return module


def test_both_halves_and_the_prototypes_are_drawn_from_stage_2(make: Make) -> None:
    root = make()
    stage2(root)
    words = draw(root / "models/train", root / TEST, root / "new/drawing.png")
    targets = Shards(root / TEST).targets
    assert words[0].startswith(f"{root / 'new/drawing.png'}: {targets.sum()} label-level features of 20 test photos")
    assert [line.split(":")[0] for line in words[1:]] == ["without the projector", "with the projector"]
    assert all("own prototype nearest" in line for line in words[1:])
    with Image.open(root / "new/drawing.png") as image:
        assert (image.format, image.width) == ("PNG", 1170)
    assert (root / "new/drawing.png").stat().st_size < 300_000


def test_stage_1_is_drawn_without_what_it_lacks(make: Make) -> None:
    root = make()
    words = draw(root / WEIGHTS, root / TEST, root / "drawing.png")
    assert len(words) == 2
    assert "prototype" not in words[1]


def test_the_same_files_give_the_same_bytes(make: Make) -> None:
    root = make(images=[f"photo {i}" for i in range(60)])
    stage2(root, embedding=64)
    for name in ("a.png", "b.png"):
        draw(root / WEIGHTS, root / TEST, root / name)
    assert (root / "a.png").read_bytes() == (root / "b.png").read_bytes()


def test_vectors_are_what_network_and_projector_make_of_the_photos_that_show_the_label(make: Make) -> None:
    root = make(images=[f"photo {i:02d}" for i in range(70)])
    module, split = stage2(root), Shards(root / TEST)
    chosen = features.points(split, 10, (), limit=1000)
    model = params.Model(**file_head.read_head(root / WEIGHTS)["model"])
    with torch.inference_mode():
        out = module(next(evaluation_batches(split, model, batch=70)).images)
    where = (chosen.rows, chosen.classes[chosen.kinds])
    assert split.targets[where].all()
    plain, projected = features.spaces(root / WEIGHTS, split, chosen)
    stars = (module.prototypes, out.prototype_embeddings)
    for space, output, star in zip((plain, projected), (out.features, out.embeddings), stars, strict=True):
        vectors, means = output[where], star[chosen.classes].detach()
        expected = [tensor / tensor.norm(dim=1, keepdim=True) for tensor in (vectors, means)]
        np.testing.assert_allclose(space.features, expected[0], atol=1e-5)
        np.testing.assert_allclose(space.prototypes, expected[1], atol=1e-5)


def test_figures_distinguish_groups_from_scattered_features() -> None:
    rng, kinds = np.random.default_rng(1), np.repeat([0, 1, 2], 20)
    axes = np.eye(3, 8, dtype=np.float32)
    tight = axes[kinds] + rng.normal(0, 0.01, (60, 8)).astype(np.float32)
    scattered = rng.normal(0, 1, (60, 8)).astype(np.float32)
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (tight, scattered)]
    apart, mixed = (separation(Space("", vectors, axes), kinds) for vectors in unit)
    assert (apart.share, apart.own_prototype) == (1, 1)
    assert apart.within > 0.99
    assert abs(apart.between) < 0.05
    assert mixed.share < 0.5
    assert mixed.own_prototype is not None
    assert mixed.own_prototype < 0.6
    assert abs(mixed.within - mixed.between) < 0.1


def test_a_feature_is_no_neighbour_of_itself() -> None:
    alone = np.eye(7, dtype=np.float32)
    assert separation(Space("", alone, None), np.arange(7)) == features.Separation(0.0, None, 0.0, 0.0)


def test_the_most_frequent_classes_come_first_and_the_others_are_named_as_left_out(make: Make) -> None:
    root = make(classes=tuple("abcdef"))
    split = Shards(root / TEST)
    count = split.targets.sum(0)
    chosen = features.points(split, 4, (), limit=1000)
    assert sorted(count[chosen.classes], reverse=True) == sorted(count, reverse=True)[:4]
    assert chosen.omitted == "2 classes"
    assert draw(root / WEIGHTS, root / TEST, root / "a.png", classes=4)[0].endswith(
        "4 of 6 classes; left out: 2 classes"
    )
    assert features.points(split, 4, ("f", "b", "f"), limit=1000).names == ["f", "b"]


def test_more_features_than_there_is_room_for_are_thinned_out_the_same_way_each_time(make: Make) -> None:
    split = Shards(make() / TEST)
    every, some, again = (features.points(split, 10, (), limit=limit) for limit in (1000, 9, 9))
    assert list(some.rows) == list(again.rows)
    assert set(zip(some.rows, some.kinds, strict=True)) < set(zip(every.rows, every.kinds, strict=True))
    assert (len(some.rows), some.omitted) == (9, f"{len(every.rows) - 9} further features")


def test_labels_that_are_neither_present_nor_absent_are_not_drawn(make: Make) -> None:
    split = Shards(make() / TEST)
    split.ignored[:10] = True
    assert features.points(split, 10, (), limit=1000).rows.min() >= 10


def test_many_classes_with_odd_names_are_drawn(make: Make) -> None:
    """Names are other people's: formulas, letters that no font has, any length; and colours run out at ten."""
    names = ("$x^$", "猫", "very long name of a class that has no room", *(f"class {i}" for i in range(35)))
    root = make(classes=names)
    stage2(root)
    words = draw(root / WEIGHTS, root / TEST, root / "drawing.png", classes=40)
    assert "38 of 38 classes" in words[0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": ("zebra",)}, "zebra"),
        ({"labels": ("cat",)}, "too few"),
        ({"classes": 1}, "too few"),
        ({"out": "drawing.svg"}, "PNG"),
        ({"model": "nowhere"}, "weights file is missing"),
        ({"shards": "nowhere"}, "nowhere"),
    ],
)
def test_invalid_request_is_refused_and_leaves_nothing(make: Make, changes: dict[str, object], sentence: str) -> None:
    root = make()
    arguments = {"model": WEIGHTS, "shards": TEST, "out": "drawing.png", **changes}
    paths = {name: root / str(value) for name, value in arguments.items() if name in ("model", "shards", "out")}
    options = {name: value for name, value in changes.items() if name not in paths}
    with pytest.raises(SadclError, match=sentence):
        draw(**paths, **options)  # type: ignore[arg-type]
    assert not list(root.glob("drawing*"))


def test_a_model_of_other_classes_is_refused(make: Make) -> None:
    root = make()
    tensors, head = checkpoint.load_tensors(root / WEIGHTS)
    checkpoint.save(root / WEIGHTS, tensors, {**head, "classes": ["cat", "kite", "dog"]})
    with pytest.raises(SadclError, match="different classes"):
        draw(root / WEIGHTS, root / TEST, root / "drawing.png")


def test_a_head_without_label_level_features_is_refused(make: Make) -> None:
    root = make()
    head = file_head.read_head(root / WEIGHTS)
    model = params.Model(**{**head["model"], "head": "pooling"})
    state = Network(model, 3, start=False).state_dict()
    tensors = {f"ema.network.{name}": tensor for name, tensor in state.items()}
    checkpoint.save(root / WEIGHTS, tensors, {**head, "model": model.model_dump(mode="json")})
    with pytest.raises(SadclError, match="pooling has no label-level features"):
        draw(root / WEIGHTS, root / TEST, root / "drawing.png")
