"""The one place where bytes become a photo, or a sentence why they cannot.

Everything ends as upright RGB with 8 bits a channel: the first frame of an animation, EXIF
rotation applied, alpha laid over white, 16-bit scaled down. A size that a header only claims is
checked before any pixel is decoded.
"""

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from sadcl.data.images import jpeg
from sadcl.errors import SadclError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Formats of photos; Pillow knows others, some of which run programs."""

MAX_PIXELS = 100_000_000

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = (b"Exif\0", b"tiff:Orientation")
"""A JPEG that says which way is up holds one of these words."""
_DEEP = ("I", "F")
"""Pillow's modes with more than 8 bits, by their first letter (`I;16`, `I`, `F`)."""

_pillow = threading.Lock()


def pixels(
    data: bytes, *, at_least: int | None = None, max_pixels: int = MAX_PIXELS, where: object = None
) -> np.ndarray:
    """Turn bytes into the pixels of an upright photo.

    Args:
        data: the bytes of a file.
        at_least: pixels; a JPEG may be decoded at a half, quarter or eighth, no side below this. It
            changes pixels a little, so do it in training and in use alike.
        max_pixels: refuse a header that claims more.
        where: the photo's name, for the error.

    Returns:
        uint8 [h, w, 3].

    Raises:
        SadclError: empty, truncated, damaged, too large, or not an image.
    """
    try:
        found = jpeg.decode(data, at_least, max_pixels)
        if found is None:
            return np.array(_decode(data, at_least, max_pixels))
        turn = _UPRIGHT.get(turned(data, max_pixels))
    except SadclError as error:
        raise SadclError(error.what, where=where, fix="Replace the file, or leave it out") from None
    return found if turn is None else np.array(Image.fromarray(found).transpose(turn))


def decode(
    data: bytes, *, at_least: int | None = None, max_pixels: int = MAX_PIXELS, where: object = None
) -> Image.Image:
    """The same as an image."""
    return Image.fromarray(pixels(data, at_least=at_least, max_pixels=max_pixels, where=where))


def upright(image: Image.Image, where: object = None) -> Image.Image:
    """An opened image as ``decode`` gives it: RGB, 8 bits, EXIF rotation applied, alpha over white.

    Args:
        image: of any mode.
        where: its name, for the error.

    Raises:
        SadclError: truncated or damaged.
    """
    try:
        return _upright(image)
    except SadclError as error:
        raise SadclError(error.what, where=where, fix="Replace the image, or leave it out") from None


def _decode(data: bytes, at_least: int | None, max_pixels: int) -> Image.Image:
    if not data:
        raise SadclError("The file is empty")
    return _upright(_open(data, max_pixels), at_least)


def _upright(image: Image.Image, at_least: int | None = None) -> Image.Image:
    try:
        if at_least is not None:
            image.draft(None, (at_least, at_least))
        image.load()
        turn = _UPRIGHT.get(_orientation(image))
        rgb = _rgb(image)
    except Exception as error:  # Pillow's readers meet hostile bytes with many kinds of exception
        raise SadclError(f"The image is truncated or damaged: {_words(error)}") from None
    return rgb if turn is None else rgb.transpose(turn)


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Read the header only; its claim is checked before memory is taken for pixels."""
    try:
        with _quiet((max_pixels + 1) // 2):  # Pillow raises above twice its limit, inside some readers
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        number = re.search(r"\((\d+) pixels", str(error))
        raise _too_large(f"{int(number[1]):,}" if number else "more", max_pixels) from None
    except UnidentifiedImageError:
        kinds = ", ".join(FORMATS)
        raise SadclError(f"It is not an image of a known kind ({kinds}), or its header is damaged") from None
    except Exception as error:  # as above
        raise SadclError(f"The image's header is damaged: {_words(error)}") from None
    if image.width * image.height > max_pixels:
        raise _too_large(f"{image.width:,} x {image.height:,}", max_pixels)
    return image


def _too_large(claim: str, max_pixels: int) -> SadclError:
    return SadclError(f"Its header says {claim} pixels, and at most {max_pixels:,} are allowed")


def turned(data: bytes, max_pixels: int) -> int:
    """EXIF orientation of a JPEG; most have none, and then no header is read a second time."""
    end = jpeg.head(data)
    says = any(data.find(words, 0, end) >= 0 for words in _ORIENTATION)
    return _orientation(_open(data, max_pixels)) if says else 1


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where it is absent or unreadable."""
    try:
        with _quiet(Image.MAX_IMAGE_PIXELS):
            return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block does not spoil the pixels
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(_DEEP):
        return _eight_bits(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey with 16 bits keeps its upper eight; 32 bits and floats are stretched between their ends."""
    grey = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(grey.min()), float(grey.max())
    if image.mode == "F" or low < 0 or high > 65535:
        grey = (grey - low) * (65535 / max(high - low, 1e-12))
    return Image.fromarray((grey / 256).astype(np.uint8))


def _words(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


@contextmanager
def _quiet(limit: int | None) -> Iterator[None]:
    """Hold Pillow's pixel limit at ``limit`` and its warnings back; both are global, hence the lock."""
    with _pillow, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, limit
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
