"""JPEG by libjpeg-turbo straight into arrays: Pillow's own pixels, in a third of its time.

Whatever is not plain (no JPEG, CMYK, damaged) gets None here, and Pillow has the say (``photos``).
"""

import numpy as np
import simplejpeg

_PLAIN = ("YCbCr", "Gray")
_MAGIC = b"\xff\xd8\xff"
_SCALES = (8, 4, 2)
"""Whole parts of its size at which a JPEG can be decoded fast."""


def size(data: bytes) -> tuple[int, int] | None:
    """Width and height by the header, before rotation; None where Pillow must look."""
    if not data.startswith(_MAGIC):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    return (width, height) if colours in _PLAIN else None


def decode(data: bytes, at_least: int | None = None, max_pixels: int | None = None) -> np.ndarray | None:
    """Decode, not rotated; safe in threads, which do not wait for each other.

    Args:
        data: the bytes of a file.
        at_least: pixels; the photo may come at a half, quarter or eighth, no side below this.
        max_pixels: with more by the header, None.

    Returns:
        uint8 [h, w, 3], or None where Pillow must look.
    """
    found = size(data)
    if found is None or (max_pixels is not None and found[0] * found[1] > max_pixels):
        return None
    width, height = found
    part = 1 if at_least is None else next((p for p in _SCALES if min(found) // p >= at_least), 1)
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, min_width=-(-width // part), min_height=-(-height // part)))
    except ValueError:
        return None


def head(data: bytes) -> int:
    """Bytes before the first scan, where everything stands that a JPEG says about itself; all where it is not plain."""
    at = 2
    while data[at : at + 1] == b"\xff":
        marker = data[at + 1 : at + 2]
        if marker == b"\xda":
            return at
        at += 1 if marker == b"\xff" else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return len(data)


def encode(pixels: np.ndarray, quality: int) -> bytes:
    """Encode uint8 [h, w, 3], colour at half the resolution, as Pillow does by default."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, colorsubsampling="420"))
