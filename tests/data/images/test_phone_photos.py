"""Photos of phones and other devices: HEIC, AVIF, several images in a file, many bits, transparency."""

import io
import struct
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from sadcl.data import photo_cache
from sadcl.data.images import decode, heif, inspect
from sadcl.errors import SadclError
from tests.data.images.pictures import encoded, noise

RED, GREEN, WHITE = (200, 30, 40), (20, 180, 60), (255, 255, 255)
ORIENTATION = 0x0112
UNDO = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""Pillow's transposes that turn an upright photo into what a camera stores, by orientation."""


@pytest.fixture(autouse=True, scope="module")
def writers() -> None:
    heif.register()


def corner() -> Image.Image:
    """40 x 20 px, white but for a red top left corner."""
    image = Image.new("RGB", (40, 20), WHITE)
    image.paste(RED, (0, 0, 10, 10))
    return image


def shows_corner(photo: Image.Image) -> bool:
    values = [photo.getpixel(place) for place in ((3, 3), (35, 3), (3, 16), (35, 16))]
    return photo.size == (40, 20) and near(values[0], RED) and all(near(value, WHITE) for value in values[1:])


def near(colour: object, expected: tuple[int, ...], within: int = 24) -> bool:
    assert isinstance(colour, tuple)
    return all(abs(a - b) <= within for a, b in zip(colour, expected, strict=True))


def with_sides(data: bytes, width: int, height: int) -> bytes:
    """HEIF or AVIF whose header claims another size (all boxes ``ispe``)."""
    place = data.find(b"ispe")
    while place >= 0:
        data = data[: place + 8] + struct.pack(">II", width, height) + data[place + 16 :]
        place = data.find(b"ispe", place + 4)
    return data


def problem(folder: Path, data: bytes, max_pixels: int = 100_000_000) -> str | None:
    (folder / "photo").write_bytes(data)
    return inspect.inspect(folder / "photo", max_pixels).problem


def test_facts_of_a_heic(tmp_path: Path) -> None:
    (tmp_path / "IMG_0001.HEIC").write_bytes(encoded(noise(), "HEIF"))
    facts = inspect.inspect(tmp_path / "IMG_0001.HEIC")
    assert (facts.width, facts.height, facts.problem) == (64, 48, None)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "TIFF"])
def test_a_rotation_is_applied_once(kind: str, orientation: int) -> None:
    stored = corner().transpose(Image.Transpose(UNDO[orientation])) if orientation > 1 else corner()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {} if kind == "TIFF" else {"quality": 95}
    # as in the files of phones, HEIF and AVIF get both an orientation and a rotation of their own
    assert shows_corner(decode.decode(encoded(stored, kind, exif=exif.tobytes(), **options)))


def test_the_rotation_of_the_file_counts_where_its_exif_contradicts() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = encoded(corner().transpose(Image.Transpose.ROTATE_90), "HEIF", exif=exif.tobytes(), quality=95)
    for orientation in (1, 3, 8):
        other = data.replace(
            b"\x12\x01\x03\x00\x01\x00\x00\x00\x06", b"\x12\x01\x03\x00\x01\x00\x00\x00%c" % orientation
        )
        other = other.replace(
            b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06", b"\x01\x12\x00\x03\x00\x00\x00\x01\x00%c" % orientation
        )
        assert other != data
        assert shows_corner(decode.decode(other))


def test_the_primary_image_of_a_heic_counts() -> None:
    photo = Image.new("RGB", (64, 64), RED)
    data = encoded(Image.new("RGB", (32, 32), GREEN), "HEIF", save_all=True, append_images=[photo], primary_index=1)
    image = decode.decode(data)
    assert (image.size, near(image.getpixel((9, 9)), RED)) == ((64, 64), True)


def test_the_thumbnail_in_a_heic_is_not_the_photo() -> None:
    file = pillow_heif.from_pillow(noise(512, 384))
    file.info["thumbnails"] = [128]
    out = io.BytesIO()
    file.save(out)
    assert decode.decode(out.getvalue(), at_least=64).size == (512, 384)


def test_alpha_and_grey_in_heic() -> None:
    for image, colour in (
        (Image.new("RGBA", (64, 64), (*RED, 0)), WHITE),
        (Image.new("RGBA", (64, 64), (*RED, 255)), RED),
        (Image.new("L", (64, 64), 90), (90, 90, 90)),
        (Image.fromarray(np.full((64, 64), 0x8040, np.uint16)), (0x80, 0x80, 0x80)),
    ):
        assert near(decode.decode(encoded(image, "HEIF")).getpixel((30, 30)), colour, 6)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "WEBP", "MPO"])
def test_truncated_files_have_a_problem(kind: str, tmp_path: Path) -> None:
    data = encoded(noise(), kind)
    for length in range(12, len(data) - 200, max(1, len(data) // 40)):
        assert problem(tmp_path, data[:length]), f"{length} of {len(data)} bytes"


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_damaged_files_never_crash(kind: str, tmp_path: Path) -> None:
    data, chance = encoded(noise(), kind), np.random.default_rng(1)
    for _ in range(150):
        changed = bytearray(data)
        for place in chance.integers(0, min(len(data), 700), 3):
            changed[place] = chance.integers(0, 256)
        problem(tmp_path, bytes(changed))


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
@pytest.mark.parametrize("side", [64, 50])  # of 50 px, HEIF stores 64 px and a crop
def test_the_pixel_limit_is_checked_before_decoding(kind: str, side: int, tmp_path: Path) -> None:
    data = encoded(noise(side, side), kind)
    assert problem(tmp_path, data, side * side) is None
    assert "at most 1,000 are allowed" in str(problem(tmp_path, data, 1000))
    assert "at most 100,000,000 are allowed" in str(problem(tmp_path, with_sides(data, 15_000, 15_000)))


def test_a_header_that_claims_less_than_the_picture_is_refused(tmp_path: Path) -> None:
    bomb = with_sides(encoded(Image.new("RGB", (1000, 1000), RED), "HEIF"), 64, 64)
    assert len(bomb) < 10_000
    assert problem(tmp_path, bomb)


def test_without_its_library_a_heic_says_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(noise(), "HEIF")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'sadcl[heic]'" in str(problem(tmp_path, data))
    with pytest.raises(SadclError, match=r"sadcl\[heic\].*IMG\.HEIC"):
        decode.decode(data, where="IMG.HEIC")
    avif = encoded(noise(), "AVIF")
    assert problem(tmp_path, avif) is None
    assert problem(tmp_path, avif[:8] + b"mif1" + avif[12:]) is None
    assert problem(tmp_path, avif[:8] + b"mif1" + avif[12:200])


def test_many_boxes_before_the_header_are_refused(tmp_path: Path) -> None:
    data = encoded(noise(), "HEIF")
    size = int.from_bytes(data[:4])
    boxes = struct.pack(">I4s", 8, b"free")
    assert "more than 1,000 boxes" in str(problem(tmp_path, data[:size] + boxes * 1000 + data[size:]))
    assert "boxes" not in str(problem(tmp_path, data[:size] + boxes * 900 + data[size:]))


def test_a_new_version_of_the_library_reads_photos_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []
    monkeypatch.setattr(
        photo_cache, "inspect", lambda path, *rest: (reads.append(path), inspect.inspect(path, *rest))[1]
    )
    (tmp_path / "1.heic").write_bytes(encoded(noise(), "HEIF"))
    for version, expected in (("1", 1), ("1", 1), ("2", 2)):
        monkeypatch.setattr(heif, "version", lambda version=version: version)
        cache = photo_cache.PhotoCache(tmp_path / "cache.parquet", 10_000)
        assert cache.facts("1.heic", tmp_path / "1.heic").problem is None
        cache.save()
        assert len(reads) == expected


def test_a_portrait_of_an_iphone_is_its_first_image() -> None:
    depth = Image.new("RGB", (20, 10), GREEN)
    data = encoded(corner(), "MPO", save_all=True, append_images=[depth], quality=95)
    assert shows_corner(decode.decode(data))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)
    grey = np.asarray(decode.decode(encoded(Image.fromarray(np.tile(ramp, (4, 1))), kind)))[0, :, 0]
    assert np.abs(grey.astype(int) - np.arange(256)).max() <= 1


def test_sixteen_bits_in_colour_are_scaled_and_not_clipped() -> None:
    values = np.linspace(0, 65535, 256).astype(">u2")
    pixels = np.stack([values, values[::-1], np.full(256, 0x8000, ">u2")], axis=1)
    photo = np.asarray(decode.decode(png(256, 1, 16, 2, b"\0" + pixels.astype(">u2").tobytes())))[0].astype(int)
    expected = np.stack([np.arange(256), np.arange(255, -1, -1), np.full(256, 128)], axis=1)
    assert np.abs(photo - expected).max() <= 1


def png(width: int, height: int, bits: int, colour: int, lines: bytes) -> bytes:
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def test_lab_becomes_rgb() -> None:
    lab = ImageCms.applyTransform(
        Image.new("RGB", (16, 16), RED),
        ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"),
    )
    assert lab is not None
    assert near(decode.decode(encoded(lab, "TIFF")).getpixel((3, 3)), RED, 6)
