"""The fast way to pixels gives Pillow's own: decoding to the bit, resizing within its rounding."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sadcl.data.images import decode, jpeg
from sadcl.data.images.resize import resize, squash

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Blobs with some grain, as photos have them."""
    rng = np.random.default_rng(width * height)
    blobs = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((width, height))
    grain = rng.integers(-12, 13, (height, width, 3))
    return Image.fromarray((np.asarray(blobs) + grain).clip(0, 255).astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **{"quality": 90, **options})
    return file.getvalue()


def by_pillow(data: bytes, at_least: int | None = None) -> np.ndarray:
    image: Image.Image = Image.open(io.BytesIO(data))
    if at_least is not None:
        image.draft(None, (at_least, at_least))
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"quality": 20}]
)
@pytest.mark.parametrize("size", [(640, 480), (97, 31), (1, 9)])
@pytest.mark.parametrize("at_least", [None, 15, 60, 240])
def test_a_jpeg_decodes_to_the_bit_as_in_pillow(
    options: dict[str, Any], size: tuple[int, int], at_least: int | None
) -> None:
    data = encoded(picture(*size), **options)
    decoded = jpeg.decode(data, at_least)
    assert decoded is not None
    assert np.array_equal(decoded, by_pillow(data, at_least))


def test_a_grey_jpeg_decodes_as_in_pillow() -> None:
    data = encoded(picture(60, 40, "L"))
    decoded = jpeg.decode(data)
    assert decoded is not None
    assert np.array_equal(decoded, by_pillow(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_by_either_decoder(orientation: int) -> None:
    image = picture(64, 48)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, exif=exif)
    assert np.array_equal(decode.pixels(data), np.asarray(decode.upright(Image.open(io.BytesIO(data)))))


def test_an_orientation_in_xmp_is_applied() -> None:
    says = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'
    image = picture(64, 48)
    data = encoded(image, xmp=says)
    assert decode.pixels(data).shape == (64, 48, 3)
    assert np.array_equal(decode.pixels(data), np.asarray(decode.upright(Image.open(io.BytesIO(data)))))


def test_an_orientation_mark_in_the_pixels_is_ignored() -> None:
    data = encoded(picture(64, 48))
    assert jpeg.header_length(data) == data.index(b"\xff\xda")
    assert jpeg.header_length(b"\xff\xd8\xff") == 3


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", encoded(picture(64, 48))[:400], encoded(picture(64, 48, "CMYK")), b"GIF89a"]
)
def test_other_files_are_left_to_pillow(data: bytes) -> None:
    assert jpeg.decode(data) is None


def test_a_jpeg_with_more_pixels_than_allowed_is_not_decoded() -> None:
    assert jpeg.decode(encoded(picture(64, 48)), max_pixels=64 * 48 - 1) is None


def test_encoding_is_as_faithful_as_pillows_at_the_same_size() -> None:
    pixels = np.asarray(picture(300, 200))
    own_jpeg, pillow_jpeg = jpeg.encode(pixels, 92), encoded(Image.fromarray(pixels), quality=92)
    lost = [np.abs(by_pillow(data).astype(int) - pixels).mean() for data in (own_jpeg, pillow_jpeg)]
    assert lost[0] < 1.02 * lost[1]
    assert len(own_jpeg) < 1.02 * len(pillow_jpeg)


@pytest.mark.parametrize("how", FILTERS)
@pytest.mark.parametrize(("width", "height"), [(448, 448), (100, 333), (700, 20), (1, 1), (320, 240)])
@pytest.mark.parametrize("size", [(320, 240), (33, 57), (1, 1), (1, 300)])
def test_resizing_is_pillows_within_rounding(how: Any, width: int, height: int, size: tuple[int, int]) -> None:
    image = picture(*size)
    resized = resize(np.asarray(image), height, width, how).astype(int)
    apart = np.abs(resized - np.asarray(image.resize((width, height), FILTERS[how])))
    assert apart.max() <= 2 if how == "bicubic" else apart.max() <= 1
    assert apart.mean() < 0.3


def test_a_part_of_a_photo_is_resized_like_a_photo() -> None:
    whole = np.asarray(picture(120, 90))
    part = whole[10:70, 20:110]
    assert np.array_equal(resize(part, 50, 40), resize(part.copy(), 50, 40))


def test_squash_ignores_the_aspect_ratio() -> None:
    square = squash(np.asarray(picture(64, 48)), 32)
    assert (square.shape, square.dtype) == ((32, 32, 3), np.dtype(np.uint8))
    assert np.array_equal(squash(square, 32), square)
