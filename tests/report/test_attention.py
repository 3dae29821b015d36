"""Attention maps: bright where the label looked, one file a label, names that every file system takes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sadcl import SadclError
from sadcl.model.tagger import Tagger
from sadcl.report.attention import SIDE, overlay, write_maps

Load = Callable[..., Tagger]


def brightness(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"), float)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 3), (2, 0), (1, 2)])
def test_the_brightest_place_is_where_the_label_looked(row: int, column: int) -> None:
    attention = np.full((3, 4), 0.01, np.float32)
    attention[row, column] = 0.89
    shown = brightness(overlay(Image.new("RGB", (80, 60), (90, 90, 90)), attention))
    y, x = np.unravel_index(shown.argmax(), shown.shape)
    assert (y // 20, x // 20) == (row, column)


def test_an_even_map_is_even_and_bright() -> None:
    """A label that looked everywhere alike must not show a pattern of rounding errors."""
    even = np.full((3, 3), 1 / 9, np.float32)
    even[1, 1] += 1e-7
    shown = brightness(overlay(Image.new("RGB", (30, 30), (90, 90, 90)), even))
    assert np.ptp(shown) <= 1
    nothing = brightness(overlay(Image.new("RGB", (30, 30), (90, 90, 90)), np.zeros((3, 3), np.float32)))
    assert shown.mean() > nothing.mean() + 50


@pytest.mark.parametrize("size", [(1, 1), (7, 50), (200, 31)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_the_picture_keeps_the_photos_size(size: tuple[int, int], mode: str) -> None:
    made = overlay(Image.new(mode, size), np.full((14, 14), 1 / 196))
    assert (made.size, made.mode) == (size, "RGB")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "my photo.jpg"
    Image.effect_noise((1200, 900), 40).convert("RGB").save(path)
    return path


def test_one_jpeg_a_label_in_their_order(load: Load, photo: Path, tmp_path: Path) -> None:
    written = write_maps(load(), photo, ["kite", "cat"], tmp_path / "new/maps")
    assert [path.name for path in written] == ["my_photo-kite.jpg", "my_photo-cat.jpg"]
    assert sorted((tmp_path / "new/maps").iterdir()) == sorted(written)
    with Image.open(written[0]) as image:
        assert (image.format, max(image.size), image.size[0] * 3) == ("JPEG", SIDE, image.size[1] * 4)


def test_a_photo_without_labels_leaves_nothing(load: Load, photo: Path, tmp_path: Path) -> None:
    assert write_maps(load(), photo, [], tmp_path / "maps") == []
    assert not (tmp_path / "maps").exists()


def test_labels_never_leave_the_folder_nor_share_a_file(load: Load, photo: Path, tmp_path: Path) -> None:
    odd = ("../up", "a/b", "a:b", "A b", "CON?")
    written = write_maps(load(*odd), photo, odd, tmp_path / "maps")
    assert len({path.name.lower() for path in written}) == len(odd)
    assert sorted((tmp_path / "maps").iterdir()) == sorted(written)


def test_an_unknown_label_is_named_before_anything_is_written(load: Load, photo: Path, tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="zebra"):
        write_maps(load(), photo, ["cat", "zebra"], tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize("content", [None, b"", b"no photo"])
def test_a_photo_that_cant_be_read_is_named(load: Load, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SadclError, match=r"broken\.jpg"):
        write_maps(load(), path, ["cat"], tmp_path / "maps")
    assert not (tmp_path / "maps").exists()
