"""Attention maps: bright where the label looked, a file each or one drawing of all, names that every disk takes."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sadcl import SadclError
from sadcl.model.tagger import Tagger
from sadcl.report import attention_maps
from sadcl.report.attention_maps import SIDE, draw
from sadcl.report.overlay import overlay
from tests.networks import WithoutAttention

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
    drawn = overlay(Image.new(mode, size), np.full((14, 14), 1 / 196))
    assert (drawn.size, drawn.mode) == (size, "RGB")


def write_maps(tagger: Tagger, photo: Path, labels: Sequence[str], folder: Path) -> list[Path]:
    return next(attention_maps.write_maps(tagger, [photo], [labels], folder))


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


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def noise(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((60, 40), 40).convert("RGB").save(path)
    return path


def write_all(tagger: Tagger, photos: list[Path], label: str, folder: Path) -> list[str]:
    written = list(attention_maps.write_maps(tagger, photos, [[label]] * len(photos), folder))
    return [path.name for (path,) in written]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["a/1.jpg", "b/1.jpg"], ["a_1-cat.jpg", "b_1-cat.jpg"]),
        (["x/a/1.jpg", "y/a/1.jpg", "a/2.jpg"], ["x_a_1-cat.jpg", "y_a_1-cat.jpg", "2-cat.jpg"]),
        (["a/1.jpg", "a/1.png"], ["1.jpg-cat.jpg", "1.png-cat.jpg"]),
        (["a/1.jpg", "b/1.jpg", "a_1.jpg"], ["a_1-cat.jpg", "b_1-cat.jpg", "a_1-cat-2.jpg"]),
        (["a/1.jpg", "a/1.jpg"], ["1-cat.jpg", "1-cat.jpg"]),
        (["IMG.jpg", "img.JPG"], ["IMG-cat.jpg", "img-cat-2.jpg"]),
    ],
)
def test_photos_of_one_name_have_maps_of_their_own(
    load: Load, tmp_path: Path, files: list[str], expected: list[str]
) -> None:
    photos = [noise(tmp_path / "photos" / name) for name in files]
    assert write_all(load(), photos, "cat", tmp_path / "maps") == expected
    assert set(contents(tmp_path / "maps")) == set(expected)


def test_a_dash_in_a_name_never_merges_two_maps(load: Load, tmp_path: Path) -> None:
    photos = [noise(tmp_path / "a.jpg"), noise(tmp_path / "a-b.jpg")]
    written = list(attention_maps.write_maps(load("b-c", "c"), photos, [["b-c"], ["c"]], tmp_path / "maps"))
    assert len(contents(tmp_path / "maps")) == len({path for paths in written for path in paths}) == 2


def test_maps_of_an_earlier_run_stay_unless_they_are_the_same(load: Load, tmp_path: Path) -> None:
    first, second = noise(tmp_path / "a/1.jpg"), noise(tmp_path / "b/1.jpg")
    assert write_all(load(), [first], "cat", tmp_path / "maps") == ["1-cat.jpg"]
    earlier = contents(tmp_path / "maps")["1-cat.jpg"]
    assert write_all(load(), [second], "cat", tmp_path / "maps") == ["1-cat-2.jpg"]
    assert write_all(load(), [first], "cat", tmp_path / "maps") == ["1-cat.jpg"]
    assert contents(tmp_path / "maps").keys() == {"1-cat.jpg", "1-cat-2.jpg"}
    assert contents(tmp_path / "maps")["1-cat.jpg"] == earlier


def test_maps_in_the_folder_of_the_photos_replace_none(load: Load, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    photos = [noise(folder / "1.jpg"), noise(folder / "1-cat.jpg")]
    before = contents(folder)
    write_all(load(), photos, "cat", folder)
    assert contents(folder).items() >= before.items()
    assert len(contents(folder)) == 4


def test_a_long_name_is_shortened_and_the_file_holds_it_whole(load: Load, photo: Path, tmp_path: Path) -> None:
    labels = ["x" * 260 + end for end in ("a", "b")] + ["猫" * 200]
    for path, label in zip(write_maps(load(*labels), photo, labels, tmp_path / "maps"), labels, strict=True):
        assert len(path.name.encode()) < 255
        with Image.open(path) as image:
            assert image.info["comment"].decode().endswith(f" {label}")
    assert len(contents(tmp_path / "maps")) == 3


def test_a_folder_that_is_a_file_is_refused_in_a_sentence(load: Load, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "maps").write_text("mine")
    with pytest.raises(SadclError, match="can't be written"):
        write_maps(load(), photo, ["cat"], tmp_path / "maps")
    assert (tmp_path / "maps").read_text() == "mine"


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


def set_thresholds(tagger: Tagger, threshold: float = 0.0) -> Tagger:
    tagger.thresholds[:] = threshold
    return tagger


def test_a_drawing_names_what_the_model_found_with_its_probabilities(load: Load, photo: Path, tmp_path: Path) -> None:
    tagger, out = set_thresholds(load()), tmp_path / "new/drawing.png"
    words = draw(tagger, photo, [], out)
    expected = [f"{name} {probability:.0%}" for name, probability in tagger.predict([photo])[0]]
    assert words == f"{out}: {', '.join(expected)}."
    assert len(expected) == 3
    with Image.open(out) as image:
        assert (image.format, image.width) == ("PNG", 900)


def test_the_map_of_a_label_stands_over_its_name(load: Load, photo: Path, tmp_path: Path) -> None:
    tagger, labels = load(), ["kite", "cat", "dog"]
    draw(tagger, photo, labels, tmp_path / "drawing.png")
    maps = tagger.attention(photo)
    with Image.open(photo) as opened, Image.open(tmp_path / "drawing.png") as image:
        small = opened.resize((211, 158))
        for i, label in enumerate(labels, start=1):
            shown = brightness(image.crop((225 * i + 7, 14, 225 * i + 218, 172)))
            away = [abs(shown - brightness(overlay(small, attention))).mean() for attention in maps]
            assert np.argmin(away) == tagger.classes.index(label)
            assert min(away) < 10


def test_labels_asked_for_are_drawn_once_and_in_their_order(load: Load, photo: Path, tmp_path: Path) -> None:
    words = draw(set_thresholds(load(), 1), photo, ["kite", "cat", "kite"], tmp_path / "drawing.jpg")
    assert re.fullmatch(r".*drawing\.jpg: kite \d+%, cat \d+%\.", words)


def test_where_nothing_is_found_the_likeliest_are_drawn_and_this_is_reported(
    load: Load, photo: Path, tmp_path: Path
) -> None:
    words = draw(set_thresholds(load(*"abcdef"), 1), photo, [], tmp_path / "drawing.png")
    assert "No label is above its threshold" in words
    assert len(re.findall(r"\d%", words)) == 3


@pytest.mark.parametrize("size", [(900, 600), (60, 90), (1500, 100), (40, 1000)])
@pytest.mark.parametrize("labels", [1, 2, 4, 5, 9, 20, 25])
def test_any_number_of_labels_and_any_photo_fit(load: Load, tmp_path: Path, size: tuple[int, int], labels: int) -> None:
    path = tmp_path / "photo.png"
    Image.new("RGB", size, (200, 40, 40)).save(path)
    words = draw(
        set_thresholds(load(*(f"label\n{i} " + "x" * i for i in range(labels)))), path, [], tmp_path / "drawing.png"
    )
    assert ("5 more labels are not drawn" in words) == (labels == 25)
    with Image.open(tmp_path / "drawing.png") as image:
        pixels = np.asarray(image, int)
    assert pixels.shape[1] == 900
    assert 100 < len(pixels) < 2600
    assert (pixels[:, :3] == 255).all()
    red = (pixels[..., 0] - pixels[..., 1] > 150).any(0).nonzero()[0]
    assert np.ptp(red) > 0
    assert red.max() < 450  # the photo itself stands at the left


def test_the_same_photo_gives_the_same_bytes(load: Load, photo: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw(load(), photo, ["cat"], tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(("labels", "name", "sentence"), [(["zebra"], "a.png", "zebra"), (["cat"], "a.gif", r"\.jpg")])
def test_a_drawing_of_an_unknown_label_or_format_is_refused(
    load: Load, photo: Path, tmp_path: Path, labels: list[str], name: str, sentence: str
) -> None:
    with pytest.raises(SadclError, match=sentence):
        draw(load(), photo, labels, tmp_path / "new" / name)
    assert not (tmp_path / "new").exists()


def test_a_drawing_never_replaces_its_photo(load: Load, photo: Path) -> None:
    before = photo.read_bytes()
    with pytest.raises(SadclError, match="replace the photo"):
        draw(load(), photo, ["cat"], photo.parent / "." / photo.name)
    assert photo.read_bytes() == before


def test_a_head_without_attention_is_refused(load: Load, photo: Path, tmp_path: Path) -> None:
    blind = load()
    blind.network = WithoutAttention(blind.network)
    with pytest.raises(SadclError, match="no attention"):
        draw(blind, photo, ["cat"], tmp_path / "drawing.png")
    assert not (tmp_path / "drawing.png").exists()


def test_photos_whose_names_are_parts_of_each_other_have_maps_of_their_own(tmp_path: Path) -> None:
    photos = [Path(name) for name in ("a.jpg", "a.png", "a.jpg.png")]
    [one], [two], [three] = attention_maps._map_paths(photos, [["cat"]] * 3, tmp_path)
    assert len({one, two, three}) == 3
