"""Bytes become an upright RGB photo, or a sentence; nothing in between and no surprise."""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sadcl.data.images import decode, inspect
from sadcl.errors import SadclError
from tests.data.images.pictures import encoded, noise

RED = (200, 30, 40)


def header_of_png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    claim = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", claim) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def inspected(folder: Path, data: bytes, max_pixels: int = 100_000_000) -> inspect.PhotoInfo:
    path = folder / "photo"
    path.write_bytes(data)
    return inspect.inspect(path, max_pixels)


def pixel(data: bytes) -> tuple[int, ...]:
    value = decode.decode(data).getpixel((2, 2))
    assert isinstance(value, tuple)
    return value


def near(colour: tuple[int, ...], expected: tuple[int, ...], within: int = 6) -> bool:
    return all(abs(a - b) <= within for a, b in zip(colour, expected, strict=True))


def test_facts_of_a_good_photo(tmp_path: Path) -> None:
    data = encoded(noise(), "JPEG")
    facts = inspected(tmp_path, data)
    assert (facts.width, facts.height, facts.bytes, facts.problem) == (64, 48, len(data), None)
    assert len(facts.sha256) == 64


BAD = {
    "empty": (b"", "empty"),
    "no image": (b"these are just words, not pixels", "not an image"),
    "a page": (b"<html><body>404</body></html>", "not an image"),
    "truncated JPEG": (encoded(noise(), "JPEG")[:900], "truncated"),
    "truncated PNG": (encoded(noise())[:2000], "truncated"),
    "JPEG cut in its header": (encoded(noise(), "JPEG")[:100], "image"),
    "truncated GIF": (encoded(noise(), "GIF")[:900], "truncated"),
    "truncated WebP": (encoded(noise(), "WEBP")[:900], "damaged"),
    "program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n", "not an image"),
    "a claim of 30,000 x 30,000": (header_of_png(30_000, 30_000), "900,000,000 pixels"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_photo_has_a_problem(tmp_path: Path, name: str) -> None:
    data, words = BAD[name]
    facts = inspected(tmp_path, data)
    assert facts.problem is not None
    assert words in facts.problem
    assert (facts.width, facts.height) == (0, 0)
    assert facts.bytes == len(data)
    with pytest.raises(SadclError, match=r"holiday\.jpg"):
        decode.decode(data, where="holiday.jpg")


def test_missing_files_folders_and_odd_names_have_a_problem(tmp_path: Path) -> None:
    assert inspect.inspect(tmp_path / "gone.jpg", 100).problem == "The file is missing"
    assert inspect.inspect(tmp_path, 100).problem == "It is not a file"
    assert inspect.inspect(tmp_path / "a\0b", 100).problem is not None


@pytest.mark.parametrize(("pixels", "good"), [(64 * 48, True), (64 * 48 - 1, False), (1000, False), (1, False)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_the_pixel_limit_is_exact_for_every_kind(tmp_path: Path, kind: str, pixels: int, good: bool) -> None:
    facts = inspected(tmp_path, encoded(noise(), kind), max_pixels=pixels)
    assert (facts.problem is None) == good
    assert good or f"at most {pixels:,} are allowed" in str(facts.problem)


def test_decoding_restores_pillows_limit_and_leaks_no_warning(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        filters = list(warnings.filters)
        for data in (header_of_png(12_000, 10_000), header_of_png(30_000, 30_000), encoded(noise(), "JPEG")):
            inspected(tmp_path, data)
        assert warnings.filters == filters
    assert caught == []
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation: int) -> None:
    upright = Image.new("RGB", (40, 20), "white")
    upright.paste(RED, (0, 0, 10, 10))  # red where the photo's top left corner is
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transposes that lay it down as the camera did
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("JPEG", "PNG", "WEBP"):
        photo = decode.decode(encoded(stored, kind, exif=exif, quality=95))
        assert photo.size == (40, 20)
        assert near(photo.getpixel((3, 3)), RED, 20)  # type: ignore[arg-type]
        assert near(photo.getpixel((30, 15)), (255, 255, 255), 20)  # type: ignore[arg-type]


def test_damaged_exif_does_not_spoil_the_pixels() -> None:
    data = encoded(Image.new("RGB", (16, 16), RED), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert near(pixel(data), RED)


def test_sixteen_bits_keep_their_upper_eight() -> None:
    deep = Image.fromarray(np.full((8, 8), 0x8040, dtype=np.uint16))
    assert pixel(encoded(deep)) == (0x80, 0x80, 0x80)
    assert pixel(encoded(deep, "TIFF")) == (0x80, 0x80, 0x80)


def test_floats_are_stretched_between_their_ends() -> None:
    ramp = Image.fromarray(np.linspace(-3, 5, 64, dtype=np.float32).reshape(8, 8))
    grey = np.asarray(decode.decode(encoded(ramp, "TIFF")))[..., 0]
    assert (grey.min(), grey.max()) == (0, 255)


def test_every_mode_becomes_the_same_colour() -> None:
    photo = Image.new("RGB", (16, 16), RED)
    assert pixel(encoded(photo)) == RED
    assert near(pixel(encoded(photo.convert("CMYK"), "JPEG")), RED)
    assert near(pixel(encoded(photo.convert("CMYK"), "TIFF")), RED)
    assert near(pixel(encoded(photo.quantize(4))), RED)
    assert pixel(encoded(photo.convert("L"))) == (photo.convert("L").getpixel((0, 0)),) * 3
    assert pixel(encoded(Image.new("1", (16, 16), 1))) == (255, 255, 255)


def test_alpha_lies_over_white() -> None:
    assert pixel(encoded(Image.new("RGBA", (16, 16), (*RED, 255)))) == RED
    assert pixel(encoded(Image.new("RGBA", (16, 16), (*RED, 0)))) == (255, 255, 255)
    assert pixel(encoded(Image.new("LA", (16, 16), (10, 0)))) == (255, 255, 255)
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([*RED, 0, 0, 0])
    assert pixel(encoded(palette, transparency=0)) == (255, 255, 255)
    assert pixel(encoded(palette, transparency=bytes([0, 255]))) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_is_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    assert near(pixel(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)), RED)


def test_a_reduced_jpeg_is_no_smaller_than_asked() -> None:
    data = encoded(noise(640, 400), "JPEG")
    assert decode.decode(data, at_least=100).size == (160, 100)
    assert decode.decode(data, at_least=101).size == (320, 200)
    assert decode.decode(data, at_least=500).size == (640, 400)
    assert decode.decode(encoded(noise()), at_least=8).size == (64, 48)


def test_threads_give_the_same_answers(tmp_path: Path) -> None:
    data = [encoded(noise(), "JPEG"), BAD["truncated PNG"][0], header_of_png(30_000, 30_000)] * 20
    for number, content in enumerate(data):
        (tmp_path / str(number)).write_bytes(content)

    def look(number: int) -> inspect.PhotoInfo:
        return inspect.inspect(tmp_path / str(number), 100_000_000)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(look, range(len(data)))) == [look(number) for number in range(len(data))]


def test_a_known_digest_is_not_decoded_again(tmp_path: Path) -> None:
    facts = inspected(tmp_path, encoded(noise()))
    marked = inspect.PhotoInfo(1, 2, 3, facts.sha256)
    assert inspect.inspect(tmp_path / "photo", 100_000_000, {facts.sha256: marked}) is marked


def test_a_photo_that_is_longer_than_any_photo_is_refused() -> None:
    file = io.BytesIO()
    Image.new("L", (decode.MAX_SIDE + 1, 2)).save(file, format="PNG")
    with pytest.raises(SadclError, match="65,536 x 2 pixels, and no photo is that long"):
        decode.pixels(file.getvalue())


@pytest.mark.parametrize("rows", [1, decode.ROWS, decode.ROWS + 1])
def test_many_bits_are_scaled_alike_in_every_strip(rows: int) -> None:
    values = np.linspace(0, 60_000, rows * 3).reshape(rows, 3)
    for deep in (values.astype(np.uint16), values.astype(np.float32) - 5, values.astype(np.int32) * 9):
        grey = deep.astype(np.float64)
        if deep.dtype != np.uint16:
            grey = (grey - grey.min()) * (65535 / (grey.max() - grey.min()))
        upright = np.asarray(decode.upright(Image.fromarray(deep)))
        np.testing.assert_array_equal(upright[..., 0], (grey / 256).astype(np.uint8))
