"""Look-alikes: changed copies are found with the name of the change, and other pictures are not."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from sadcl.data import synthetic
from sadcl.data.images.inspect import PhotoInfo, inspect
from sadcl.data.images.statistics import image_statistics
from sadcl.data.splits import leaks, look_alikes
from sadcl.data.splits.cosine_hashes import SYMMETRIES, HashIndex

COUNT = 40
TURN = Image.Transpose


def picture(seed: int) -> Image.Image:
    """Blobs of two sizes, as photos have coarse and fine shapes."""
    rng = np.random.default_rng(seed)
    coarse, fine = (
        Image.fromarray(rng.integers(0, 256, (*shape, 3), np.uint8)).resize((320, 240), Image.Resampling.BICUBIC)
        for shape in ((5, 6), (14, 18))
    )
    return Image.blend(coarse, fine, 0.45)


def thumbnail(image: Image.Image) -> np.ndarray:
    """Thumbnail of a picture after a JPEG of middling quality, uint8 [32, 32]."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=70)
    return np.frombuffer(image_statistics(Image.open(file)).thumbnail, np.uint8).reshape(32, 32)


def shifted(image: Image.Image, across: float, down: float) -> Image.Image:
    moved = Image.new("RGB", image.size)
    moved.paste(image, (round(across * image.width), round(down * image.height)))
    return moved


def cropped(image: Image.Image, left: float, top: float) -> Image.Image:
    width, height = image.size
    return image.crop((int(left * width), int(top * height), int((left + 0.9) * width), int((top + 0.9) * height)))


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [picture(seed) for seed in range(2 * COUNT)]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda image: image.resize((200, 150)), ""),
        (lambda image: image.point(lambda value: value // 2 + 20), ""),
        (ImageOps.mirror, "mirrored"),
        (ImageOps.flip, "mirrored top to bottom"),
        (lambda image: image.transpose(TURN.ROTATE_90), "rotated by 90° anticlockwise"),
        (lambda image: image.transpose(TURN.ROTATE_180), "rotated by 180°"),
        (lambda image: image.transpose(TURN.ROTATE_270), "rotated by 90° clockwise"),
        (lambda image: image.transpose(TURN.TRANSPOSE), "mirrored along the diagonal"),
        (lambda image: image.transpose(TURN.TRANSVERSE), "mirrored along the other diagonal"),
        (ImageOps.invert, "as a negative"),
        (lambda image: cropped(image, 0.0, 0.0), "cropped"),
        (lambda image: cropped(image, 0.07, 0.02), "cropped"),
        (lambda image: cropped(image, 0.05, 0.05), "cropped"),
        (lambda image: shifted(image, 0.1, 0), "shifted"),
        (lambda image: shifted(image, 0, -0.1), "shifted"),
        (lambda image: shifted(image, -0.1, 0.1), "shifted"),
        (lambda image: ImageOps.invert(cropped(ImageOps.mirror(image), 0.1, 0)), "mirrored, cropped, as a negative"),
    ],
)
def test_a_changed_copy_is_found_and_the_change_is_named(
    pictures: list[Image.Image], change: Callable[[Image.Image], Image.Image], name: str
) -> None:
    thumbnails = np.stack([*map(thumbnail, pictures), *(thumbnail(change(image)) for image in pictures[:COUNT])])
    copies, originals = np.arange(2 * COUNT, 3 * COUNT), np.arange(2 * COUNT)
    matches = look_alikes.find(thumbnails, copies, originals, workers=2)
    assert (matches.second == matches.first - 2 * COUNT).all(), "another picture is a look-alike"
    assert len(matches.first) >= 0.95 * COUNT
    assert set(matches.transform) == {name}
    back = look_alikes.find(thumbnails, originals, copies, workers=2)
    assert (back.second == back.first + 2 * COUNT).all()
    assert len(back.first) >= 0.95 * COUNT


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize(("number", "symmetry"), list(enumerate(SYMMETRIES)))
def test_terms_of_a_turned_copy_correlate_with_those_of_its_original(
    pictures: list[Image.Image], number: int, symmetry: tuple[bool, bool, bool], negative: bool
) -> None:
    thumbnails = np.stack([thumbnail(image) for image in pictures])
    transposed, vertical, horizontal = symmetry
    copies = thumbnails.swapaxes(1, 2) if transposed else thumbnails
    copies = copies[:, :: -1 if vertical else 1, :: -1 if horizontal else 1]
    hits = HashIndex(thumbnails, np.arange(len(thumbnails))).lookup(255 - copies if negative else copies)
    own = (hits.photos == hits.entries) & (hits.symmetries == number) & (hits.negative == negative)
    assert sorted(hits.photos[own]) == list(range(len(thumbnails)))
    assert hits.correlations[own].min() > 0.99
    assert np.median(hits.correlations[hits.photos != hits.entries]) < 0.7


def test_each_of_a_hundred_copies_of_a_photo_is_found(pictures: list[Image.Image]) -> None:
    rng = np.random.default_rng(0)
    copies = [cropped(pictures[0], *rng.uniform(0, 0.1, 2)) for _ in range(100)]
    thumbnails = np.stack([thumbnail(image) for image in [*pictures, *copies]])
    matches = look_alikes.find(thumbnails, np.array([0]), np.arange(1, len(thumbnails)), workers=1)
    assert matches.second.tolist() == list(range(len(pictures), len(thumbnails)))


def test_digits_on_similar_grounds_are_no_look_alikes(tmp_path: Path) -> None:
    synthetic.generate(tmp_path / "scenes", 3, {"train": 150, "test": 150})
    scenes = [Image.open(path).convert("RGB") for path in sorted((tmp_path / "scenes").rglob("*.jpg"))]
    thumbnails = np.stack([*map(thumbnail, scenes), thumbnail(ImageOps.mirror(scenes[7]))])
    everything = np.arange(len(thumbnails))
    matches = look_alikes.find(thumbnails, everything, everything, workers=2)
    pairs = zip(matches.first.tolist(), matches.second.tolist(), matches.transform, strict=True)
    assert sorted(pairs) == [(7, 300, "mirrored"), (300, 7, "mirrored")]


def test_flat_pictures_gradients_and_empty_lists_have_no_look_alikes() -> None:
    flat = [np.full((32, 32), level, np.uint8) for level in (0, 0, 128, 255)]
    soft = [np.tile(np.arange(start, start + 64, 2, dtype=np.uint8), (32, 1)) // 16 for start in (0, 3)]
    thumbnails, everything = np.stack([*flat, *soft]), np.arange(6)
    assert len(look_alikes.find(thumbnails, everything[:4], everything, workers=1).first) == 0
    assert len(look_alikes.find(thumbnails, everything[:0], everything, workers=1).first) == 0
    assert len(look_alikes.find(thumbnails, everything, everything[:0], workers=1).first) == 0


def test_threads_change_nothing(pictures: list[Image.Image]) -> None:
    thumbnails = np.stack([thumbnail(image) for image in [*pictures * 2, *map(ImageOps.mirror, pictures)]])
    everything = np.arange(len(thumbnails))
    one, three = (look_alikes.find(thumbnails, everything, everything, workers) for workers in (1, 3))
    assert len(one.first) >= 6 * len(pictures) * 0.95
    assert [np.asarray(column).tolist() for column in one] == [np.asarray(column).tolist() for column in three]


def facts(folder: Path, images: list[Image.Image]) -> list[PhotoInfo]:
    for number, image in enumerate(images):
        image.save(folder / f"{number}.jpg", quality=90)
    return [inspect(folder / f"{number}.jpg") for number in range(len(images))]


def test_each_leaked_photo_of_test_has_its_most_similar_photo(tmp_path: Path, pictures: list[Image.Image]) -> None:
    first, second, third = pictures[:3]
    images = [first, ImageOps.mirror(first), cropped(first, 0.1, 0.1), second, third, ImageOps.mirror(second)]
    splits = ["test", "train", "select", "train", "test", "train"]  # no pair has both of its photos in train
    pairs = leaks.look_alikes([f"i{n}" for n in range(6)], splits, facts(tmp_path, images), workers=1)
    assert [(pair.test, pair.other, pair.transform) for pair in pairs] == [
        ("i0", "i1", "mirrored"), ("i0", "i2", "cropped"),
    ]  # fmt: skip
    assert pairs[0].similarity > pairs[1].similarity >= 0.72


def test_changed_copies_are_grouped_into_one_split(tmp_path: Path, pictures: list[Image.Image]) -> None:
    first, second = pictures[:2]
    images = [first, second, ImageOps.mirror(first), shifted(second, 0.1, 0), pictures[2], first.resize((200, 150))]
    assert leaks.groups(facts(tmp_path, images), workers=1).tolist() == [0, 1, 0, 1, 4, 0]
