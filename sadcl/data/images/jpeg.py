"""Fast JPEG by libjpeg-turbo straight into arrays: Pillow's pixels in a third of its time.

Files of any other kind (no JPEG, CMYK, damaged) give None, and ``decode`` leaves them to Pillow.
"""

import numpy as np
import simplejpeg

_COLOUR_SPACES = ("YCbCr", "Gray")
_MAGIC = b"\xff\xd8\xff"
_SCALES = (8, 4, 2)
"""Divisors of a JPEG's size that its decoder supports."""


def size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels by the header, before EXIF rotation; None where Pillow has to decode."""
    if not data.startswith(_MAGIC):
        return None
    try:
        height, width, colour_space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    return (width, height) if colour_space in _COLOUR_SPACES else None


def decode(data: bytes, at_least: int | None = None, max_pixels: int | None = None) -> np.ndarray | None:
    """Decode a JPEG without EXIF rotation; threads run in parallel.

    Args:
        data: content of the file.
        at_least: in pixels; the photo may be decoded at a half, quarter or eighth, no side below this.
        max_pixels: most pixels that the header may claim.

    Returns:
        uint8 [h, w, 3]; None where the file is no plain JPEG, damaged or too large.
    """
    claimed = size(data)
    if claimed is None or (max_pixels is not None and claimed[0] * claimed[1] > max_pixels):
        return None
    width, height = claimed
    divisor = 1 if at_least is None else next((s for s in _SCALES if min(claimed) // s >= at_least), 1)
    try:
        return np.asarray(
            simplejpeg.decode_jpeg(data, min_width=-(-width // divisor), min_height=-(-height // divisor))
        )
    except ValueError:
        return None


def header_length(data: bytes) -> int:
    """Length in bytes of a JPEG's header, all segments before the first scan; of the data where no scan follows."""
    position = 2
    while data[position : position + 1] == b"\xff":
        marker = data[position + 1 : position + 2]
        if marker == b"\xda":
            return position
        position += 1 if marker == b"\xff" else 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return len(data)


def encode(pixels: np.ndarray, quality: int) -> bytes:
    """Encode uint8 [h, w, 3], colour at half the resolution, as Pillow does by default; quality 1 to 100."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, colorsubsampling="420"))
