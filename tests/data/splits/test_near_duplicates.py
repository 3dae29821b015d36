"""Near-duplicates: every pair within the distance, and no other."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from sadcl.data.images.statistics import image_statistics
from sadcl.data.splits import near_duplicates

HASHES = st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 3, 2**63, 2**64 - 1]), max_size=30)


def picture(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Soft blobs, as photos have them."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def again(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


@given(HASHES, st.integers(0, 20))
def test_pairs_are_those_within_the_distance(hashes, distance):
    expected = [
        [i, j]
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (hashes[i] ^ hashes[j]).bit_count() <= distance
    ]
    assert near_duplicates.pairs(np.array(hashes, np.uint64), distance).tolist() == expected


def test_a_cluster_is_a_chain_of_near_duplicates():
    hashes = np.array([0b11111, 0, 0b11, 2**40 - 1], np.uint64)  # 0, 1 and 2 are linked, 3 is alone
    assert near_duplicates.clusters(hashes, distance=3).tolist() == [0, 0, 0, 3]


@pytest.mark.parametrize("seed", range(10))
def test_a_smaller_copy_is_a_near_duplicate_and_another_photo_is_not(seed):
    original = picture(seed)
    copy = again(original.resize((200, 150)), quality=50)
    apart = [
        (image_statistics(original).phash ^ image_statistics(photo).phash).bit_count()
        for photo in (copy, picture(seed + 100))
    ]
    assert apart[0] <= near_duplicates.DISTANCE < apart[1]


def test_a_dark_copy_is_darker_and_a_soft_one_is_less_sharp():
    original = picture(1)
    dark, soft = original.point(lambda value: value // 2), original.filter(ImageFilter.GaussianBlur(8))
    assert image_statistics(dark).brightness == pytest.approx(image_statistics(original).brightness / 2, abs=1)
    assert image_statistics(soft).sharpness < image_statistics(original).sharpness


@pytest.mark.parametrize("size", [(1, 1), (2, 500), (3000, 1)])
def test_a_photo_of_any_size_has_image_statistics(size):
    assert image_statistics(Image.new("RGB", size, (10, 20, 30))).sharpness == 0


def test_nearest_agrees_with_comparing_all():
    rng = np.random.default_rng(8)
    among = rng.integers(0, 2**64, 300, np.uint64)
    flips = np.array(
        [sum(1 << int(bit) for bit in rng.choice(64, n % 8, replace=False)) for n in range(300)], np.uint64
    )
    hashes = np.concatenate([among ^ flips, rng.integers(0, 2**64, 100, np.uint64), among[:5]])
    among = np.concatenate([among, among[:20], among[50:60] ^ np.uint64(1)])
    apart = np.bitwise_count(hashes[:, None] ^ among[None])
    expected = np.where(apart.min(axis=1) <= 4, apart.argmin(axis=1), -1)
    assert np.array_equal(near_duplicates.nearest(hashes, among), expected)
    assert (near_duplicates.nearest(hashes, among[:0]) == -1).all()
    assert len(near_duplicates.nearest(hashes[:0], among)) == 0


def test_thousands_of_copies_need_little_memory():
    copies = np.full(60_000, 77, np.uint64)
    assert (near_duplicates.nearest(copies, copies) == 0).all()  # all pairs of them would fill 29 GB
    assert (near_duplicates.clusters(copies) == 0).all()


def test_photos_without_contrast_are_grouped_by_content_alone():
    hashes = np.array([9, 9, 0, 0, 0, 8], np.uint64)
    distinctive = np.array([True, True, False, False, False, True])
    groups = near_duplicates.groups(hashes, distinctive, ["a", "b", "c", "d", "c", ""])
    assert groups.tolist() == [0, 0, 2, 3, 2, 0]  # 8 differs from 9 in one bit
