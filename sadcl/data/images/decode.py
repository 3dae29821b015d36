"""Decoding of image files to upright RGB with 8 bits per channel.

Of an animation the first frame counts, of several images in one file the primary one; EXIF rotation is applied, alpha
is laid over white, 16 bits are scaled down.
The size that a header claims is checked before any pixel is decoded. Every other module decodes through this one.
"""

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from sadcl.data.images import heif, jpeg
from sadcl.errors import SadclError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", heif.FORMAT)
"""Formats that are decoded; Pillow reads others, some of which start external programs."""
_ALWAYS = tuple(name for name in FORMATS if name != heif.FORMAT)
"""Formats that Pillow reads by itself."""

MAX_PIXELS = 100_000_000
_CROPPED = 1_000_000
"""Pixels that a HEIF may store before it crops them, or twice the limit: encoders store whole blocks."""
MAX_SIDE = 65_535
"""Longest side of a photo, as long as a JPEG can have it; a longer one, of few pixels, is no photo."""
ROWS = 256
"""Rows of a photo with many bits that are converted at a time, since each takes eight bytes a pixel."""

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
"""One of these byte strings stands in the header of every JPEG with an orientation."""
_DEEP = ("I", "F")
"""First letters of Pillow's modes with more than 8 bits (`I;16`, `I`, `F`)."""

_pillow = threading.Lock()


def pixels(
    data: bytes, *, at_least: int | None = None, max_pixels: int = MAX_PIXELS, where: object = None
) -> np.ndarray:
    """Decode an image file to the pixels of an upright photo.

    Args:
        data: content of the file.
        at_least: in pixels; a JPEG may be decoded at a half, quarter or eighth of its size, no side below this. That
            changes pixels slightly, so training and prediction have to use the same value.
        max_pixels: most pixels that a header may claim.
        where: the photo's name, for the error.

    Returns:
        uint8 [h, w, 3].

    Raises:
        SadclError: the data is empty, truncated, damaged, too large, or not an image.
    """
    try:
        decoded = jpeg.decode(data, at_least, max_pixels)
        if decoded is None:
            return np.array(_decode(data, at_least, max_pixels))
        turn = _UPRIGHT.get(jpeg_orientation(data, max_pixels))
    except SadclError as error:
        raise SadclError(error.what, where=where, fix="Replace the file or remove it from the data") from None
    return decoded if turn is None else np.array(Image.fromarray(decoded).transpose(turn))


def decode(
    data: bytes, *, at_least: int | None = None, max_pixels: int = MAX_PIXELS, where: object = None
) -> Image.Image:
    """Decode an image file to an upright RGB image of Pillow.

    Args:
        data: content of the file.
        at_least: in pixels, least side of a JPEG decoded at reduced size.
        max_pixels: most pixels that a header may claim.
        where: the photo's name, for the error.

    Raises:
        SadclError: the data is empty, truncated, damaged, too large, or not an image.
    """
    return Image.fromarray(pixels(data, at_least=at_least, max_pixels=max_pixels, where=where))


def upright(image: Image.Image, where: object = None) -> Image.Image:
    """Convert an open image to RGB with 8 bits per channel, EXIF rotation applied, alpha over white.

    Args:
        image: of any mode.
        where: its name, for the error.

    Raises:
        SadclError: the image is truncated or damaged.
    """
    try:
        return _upright(image)
    except SadclError as error:
        raise SadclError(error.what, where=where, fix="Replace the image or leave it out") from None


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
    except Exception as error:  # hostile bytes raise many types in Pillow's readers
        raise SadclError(f"The image is truncated or damaged: {_reason(error)}") from None
    return rgb if turn is None else rgb.transpose(turn)


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Read the header only, so that its claim is checked before any memory is allocated for pixels."""
    formats: tuple[str, ...] = _ALWAYS
    if heif.is_heif(data):
        reads_heif = heif.is_installed() or not heif.lists_avif(data)
        if reads_heif:
            heif.register()
        if (claim := heif.uncropped_pixels(data)) > max(2 * max_pixels, _CROPPED):
            raise _too_large(f"{claim:,}", max_pixels)
        formats = ("AVIF", heif.FORMAT) if reads_heif else ("AVIF",)  # some files of either kind begin alike
    try:
        with _pixel_limit((max_pixels + 1) // 2):  # Pillow raises above twice its limit, inside some readers
            image = Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError as error:
        number = re.search(r"\((\d+) pixels", str(error))
        raise _too_large(f"{int(number[1]):,}" if number else "more", max_pixels) from None
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise SadclError(f"It is not an image of a known kind ({known}), or its header is damaged") from None
    except Exception as error:  # hostile headers raise many types, too
        raise SadclError(f"The image's header is damaged: {_reason(error)}") from None
    if image.width * image.height > max_pixels:
        raise _too_large(f"{image.width:,} x {image.height:,}", max_pixels)
    if max(image.size) > MAX_SIDE:
        raise SadclError(f"Its header says {image.width:,} x {image.height:,} pixels, and no photo is that long")
    return image


def _too_large(claim: str, max_pixels: int) -> SadclError:
    return SadclError(f"Its header says {claim} pixels, and at most {max_pixels:,} are allowed")


def jpeg_orientation(data: bytes, max_pixels: int) -> int:
    """EXIF orientation of a JPEG, 1 to 8.

    Raises:
        SadclError: it has an orientation, but Pillow can't open it.
    """
    end = jpeg.header_length(data)
    # most photos have none, and a search in the header costs less than a second reader
    mentioned = any(data.find(mark, 0, end) >= 0 for mark in _ORIENTATION)
    return _orientation(_open(data, max_pixels)) if mentioned else 1


def _orientation(image: Image.Image) -> int:
    """EXIF orientation of an open image, 1 to 8; 1 where it is absent or unreadable."""
    try:
        with _pixel_limit(Image.MAX_IMAGE_PIXELS):
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
    """Reduce grey to 8 bits: values from 0 to 65535 keep the upper eight of 16 bits.

    Floats, and integers beyond that range, are stretched from minimum to maximum.
    """
    deep = np.asarray(image)
    strips = [slice(first, first + ROWS) for first in range(0, len(deep), ROWS)]
    low, high = min(_grey(deep[s]).min() for s in strips), max(_grey(deep[s]).max() for s in strips)
    stretched = image.mode == "F" or low < 0 or high > 65535
    out = np.empty(deep.shape, np.uint8)
    for strip in strips:
        grey = _grey(deep[strip])
        out[strip] = ((grey - low) * (65535 / max(high - low, 1e-12)) if stretched else grey) / 256
    return Image.fromarray(out)


def _grey(deep: np.ndarray) -> np.ndarray:
    return np.nan_to_num(deep.astype(np.float64), posinf=0.0, neginf=0.0)


def _reason(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


@contextmanager
def _pixel_limit(limit: int | None) -> Iterator[None]:
    """Set Pillow's pixel limit and silence its warnings; both are global to the process, hence the lock."""
    with _pillow, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, limit
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
