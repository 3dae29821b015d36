"""Augmentation: the two pipelines of the paper as the method describes them, and the one for small scenes."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sadcl import params
from sadcl.data.images import augment
from sadcl.data.images.resize import squash

KINDS = ("none", "shift", "cutout_randaugment", "multiscale_crop")
FIRST, LAST = 1, 9


def noise(width: int = 40, height: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain(colour: int | tuple[int, int, int], side: int = 100) -> Image.Image:
    return Image.fromarray(np.full((side, side, 3), colour, np.uint8))


def of_kind(kind: str, side: int = 24, **options: Any) -> Callable[..., np.ndarray]:
    return augment.transform(params.Augmentation.model_validate({"kind": kind, **options}), side)


def seeds(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(count)]


# What holds for every kind


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(40, 30), (24, 24), (7, 90), (1, 1)])
def test_every_kind_gives_a_square_of_pixels(kind: str, size: tuple[int, int]) -> None:
    for rng in seeds(10):
        pixels = of_kind(kind)(noise(*size), rng)
        assert (pixels.shape, pixels.dtype, pixels.flags.c_contiguous) == ((24, 24, 3), np.uint8, True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_generator_gives_the_same_pixels(kind: str) -> None:
    change = of_kind(kind, flip=True)
    once, again = ([change(noise(), rng) for rng in seeds(20)] for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    if kind != "none":
        assert len({pixels.tobytes() for pixels in once}) > 5


@pytest.mark.parametrize("kind", KINDS[:3])
def test_augmentation_leaves_a_cached_photo_unchanged(kind: str) -> None:
    settings = params.Augmentation.model_validate({"kind": kind})
    after, change = augment.after_squash(settings), augment.transform(settings, 24)
    assert after is not None
    squashed = squash(noise(), 24)
    for rng, same in zip(seeds(30), seeds(30), strict=True):
        assert np.array_equal(after(squashed, rng), change(noise(), same))
    assert np.array_equal(squashed, squash(noise(), 24)), "the cached pixels were overwritten"


def test_none_is_the_transform_of_the_test() -> None:
    assert np.array_equal(of_kind("none")(noise(), np.random.default_rng()), squash(noise(), 24))


# shift


def test_shift_moves_whole_pixels_within_its_share() -> None:
    side, most = 20, 4
    photo = np.zeros((side, side, 3), np.uint8)
    photo[10, 10] = 255
    places = set()
    for rng in seeds(400):
        moved = augment.shift(photo, 0.2, False, rng)
        (y, x), *more = np.argwhere(moved[..., 0])
        assert not more
        places.add((int(y) - 10, int(x) - 10))
    assert {abs(y) for y, _ in places} == {abs(x) for _, x in places} == set(range(most + 1))


def test_shift_fills_with_the_mirror_image() -> None:
    ramp = np.broadcast_to(np.arange(20, dtype=np.uint8)[:, None, None], (20, 20, 3)).copy()
    for rng in seeds(50):
        steps = np.abs(np.diff(augment.shift(ramp, 0.25, False, rng)[:, 0, 0].astype(int)))
        assert set(steps) == {1}, "a step of the ramp is lost or doubled where the photo was mirrored"


def test_shift_by_nothing_is_nothing_and_flip_mirrors_half_the_time() -> None:
    photo = squash(noise(), 20)
    assert all(np.array_equal(augment.shift(photo, 0.0, False, rng), photo) for rng in seeds(20))
    flipped = [np.array_equal(augment.shift(photo, 0.0, True, rng), photo[:, ::-1]) for rng in seeds(200)]
    assert 70 < sum(flipped) < 130


# The paper's stage 1


def test_cutout_covers_one_square_of_one_colour_clipped_at_the_border() -> None:
    photo, sizes = np.full((32, 32, 3), 7, np.uint8), set()
    for rng in seeds(300):
        covered = augment.cutout(photo, 0.5, rng)
        hidden = np.argwhere((covered != 7).any(axis=2))
        (top, left), (bottom, right) = hidden.min(axis=0), hidden.max(axis=0)
        inside = covered[top : bottom + 1, left : right + 1].reshape(-1, 3)
        assert (inside == inside[0]).all(), "more than one colour"
        sizes.add((int(bottom - top + 1), int(right - left + 1)))
    assert max(sizes) == (16, 16)
    assert min(height for height, _ in sizes) <= 9, "the border never clips"


def test_cutout_of_nothing_is_nothing() -> None:
    photo = squash(noise(), 20)
    assert all(np.array_equal(augment.cutout(photo, 0.0, rng), photo) for rng in seeds(20))


def test_randaugment_has_fifteen_operations_and_no_flip() -> None:
    assert len(augment.OPERATIONS) == 15
    half = np.zeros((32, 32, 3), np.uint8)
    half[:, :16], half[:, 16:] = 40, 200
    flipped = half[:, ::-1]
    assert not any(np.array_equal(augment.randaugment(half, rng), flipped) for rng in seeds(300))


def test_randaugment_applies_each_of_two_half_the_time() -> None:
    photo = squash(noise(64, 64), 64)
    same = sum(np.array_equal(augment.randaugment(photo, rng), photo) for rng in seeds(800))
    assert 0.2 < same / 800 < 0.35, "neither is applied a quarter of the time; a few operations do nothing here"


def applied(name: str, image: Image.Image, magnitude: int, seed: int) -> np.ndarray:
    return np.asarray(augment.OPERATIONS[name](image, magnitude, np.random.default_rng(seed)))


def both_ways(name: str, image: Image.Image, magnitude: int) -> set[Any]:
    return {applied(name, image, magnitude, seed).tobytes() for seed in range(20)}


@pytest.mark.parametrize("magnitude", [FIRST, LAST])
def test_brightness_goes_up_or_down_by_a_tenth_a_step(magnitude: int) -> None:
    values = {int(applied("brightness", plain(100), magnitude, seed)[0, 0, 0]) for seed in range(20)}
    assert values == {100 - 10 * magnitude, 100 + 10 * magnitude}


@pytest.mark.parametrize("name", ["contrast", "colour", "sharpness", "shear_x", "shear_y", "translate_x"])
def test_an_operation_with_a_sign_goes_both_ways(name: str) -> None:
    assert len(both_ways(name, Image.fromarray(noise(50, 50)), 5)) == 2


def test_rotation_goes_one_way_up_to_thirty_degrees() -> None:
    image = Image.fromarray(noise(50, 50))
    assert len(both_ways("rotate", image, LAST)) == 1
    assert np.array_equal(applied("rotate", image, LAST, 0), np.asarray(image.rotate(30, fillcolor=(128,) * 3)))


@pytest.mark.parametrize(("magnitude", "moved"), [(FIRST, 5), (LAST, 45)])
@pytest.mark.parametrize("name", ["translate_x", "translate_y"])
def test_translation_reaches_453_thousandths_of_the_side(name: str, magnitude: int, moved: int) -> None:
    grey = (applied(name, plain(7), magnitude, 0) == 128).all(axis=2)
    lines = grey.all(axis=0) if name == "translate_x" else grey.all(axis=1)
    assert int(lines.sum()) == moved


@pytest.mark.parametrize(("name", "axis"), [("shear_x", 1), ("shear_y", 0)])
def test_shear_reaches_three_tenths(name: str, axis: int) -> None:
    outside = (applied(name, plain(7), LAST, 0) == 128).all(axis=2)
    assert abs(int(outside.sum(axis=axis).max()) - 30) <= 1


@pytest.mark.parametrize(("magnitude", "bits"), [(FIRST, 8), (LAST, 4)])
def test_posterize_keeps_eight_to_four_bits(magnitude: int, bits: int) -> None:
    ramp = Image.fromarray(np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None], (256, 3, 3)).copy())
    assert len(np.unique(applied("posterize", ramp, magnitude, 0))) == 2**bits


@pytest.mark.parametrize(("magnitude", "threshold"), [(FIRST, 228), (LAST, 0)])
def test_solarize_inverts_from_a_threshold_that_falls_to_zero(magnitude: int, threshold: int) -> None:
    values = np.arange(256, dtype=np.uint8)
    ramp = Image.fromarray(np.broadcast_to(values[:, None, None], (256, 3, 3)).copy())
    expected = np.where(values >= threshold, 255 - values, values)
    assert np.array_equal(applied("solarize", ramp, magnitude, 0)[:, 0, 0], expected)


@pytest.mark.parametrize(("magnitude", "size"), [(FIRST, 2), (LAST, 20)])
def test_the_small_cutout_has_up_to_twenty_pixels(magnitude: int, size: int) -> None:
    hidden = [int((applied("cutout", plain(7), magnitude, seed) != 7).any(axis=2).sum()) for seed in range(30)]
    assert max(hidden) == size * size


def test_operations_on_the_whole_range_do_what_they_say() -> None:
    dark = Image.fromarray(np.random.default_rng(0).integers(20, 60, (30, 30, 3), dtype=np.uint8))
    assert np.array_equal(applied("invert", dark, 5, 0), 255 - np.asarray(dark))
    stretched = applied("autocontrast", dark, 5, 0)
    assert (stretched.min(), stretched.max()) == (0, 255)
    assert applied("equalize", dark, 5, 0).std() > np.asarray(dark).std() * 3


# The paper's stage 2


def test_there_are_nineteen_shapes_of_the_papers_sides() -> None:
    assert augment.crop_sides(512, 448) == [512, 448, 384, 337, 256]
    assert len(set(augment.SCALE_PAIRS)) == 19
    far = {(i, j) for i, j in itertools.product(range(5), repeat=2) if abs(i - j) > 2}
    assert not far & set(augment.SCALE_PAIRS)


def test_a_side_near_the_goal_snaps_to_it() -> None:
    assert augment.crop_sides(512, 445)[1] == 445
    assert augment.crop_sides(512, 444)[1] == 448


def test_a_crop_stands_at_one_of_thirteen_places() -> None:
    assert len(set(augment.ANCHORS)) == 13
    corners_edges_centre = set(itertools.product((0, 2, 4), repeat=2))
    assert set(augment.ANCHORS) == corners_edges_centre | set(itertools.product((1, 3), repeat=2))


def test_crops_show_every_shape_and_place_of_the_enlarged_photo() -> None:
    """A photo that says of each pixel where it is tells from a crop's corners what was cropped."""
    large, side = 64, 56
    y, x = np.mgrid[0:large, 0:large].astype(np.uint8) * 3
    map_ = np.stack([x, y, x], axis=2)
    seen = set()
    for rng in seeds(6000):
        crop = augment.multiscale_crop(map_, side, large / side, False, rng).astype(float) / 3
        left, right, top, bottom = crop[0, 0, 0], crop[0, -1, 0], crop[0, 0, 1], crop[-1, 0, 1]
        assert left < right
        seen.add((round(left), round(top), round(right), round(bottom)))
    sides = augment.crop_sides(large, side)
    possible = set()
    for (i, j), (x_, y_) in itertools.product(augment.SCALE_PAIRS, augment.ANCHORS):
        left, top = x_ * ((large - sides[i]) // 4), y_ * ((large - sides[j]) // 4)
        possible.add((left, top, left + sides[i] - 1, top + sides[j] - 1))
    assert seen == possible


def test_a_crop_is_mirrored_half_the_time_if_asked() -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None], (64, 64, 3)).copy()

    def mirrored(flip: bool) -> int:
        crops = [augment.multiscale_crop(ramp, 56, 8 / 7, flip, rng) for rng in seeds(200)]
        return sum(bool(crop[0, 0, 0] > crop[0, -1, 0]) for crop in crops)

    assert mirrored(False) == 0
    assert 70 < mirrored(True) < 130


def test_a_decoded_photo_keeps_the_detail_that_a_kind_needs() -> None:
    assert augment.detail(params.Augmentation(kind="shift"), 448) == 448
    assert augment.detail(params.Augmentation(kind="multiscale_crop"), 448) == 512
