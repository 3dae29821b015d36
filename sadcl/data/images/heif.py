"""HEIC and HEIF, the photos of phones, through pillow-heif: a library of the extra ``heic``.

The file's own rotation (``irot``, ``imir``) is applied by the library, which sets the EXIF orientation to 1. Thumbnails
inside the file are not read: a network has to see the pixels that people see.
"""

import re
import struct
import threading
from importlib import metadata, util

from sadcl.errors import SadclError

FORMAT = "HEIF"
"""Name of the format in Pillow."""
DISTRIBUTION = "pillow-heif"
_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_MOST_BOXES = 1000
_LONGEST_BRANDS = 1000
"""Bytes of the box of brands that are read."""
_registration = threading.Lock()


def is_heif(data: bytes) -> bool:
    """Whether the first bytes of a file are those of HEIF; some AVIF files begin in the same way."""
    return data[4:8] == b"ftyp" and data[8:12] in _BRANDS


def lists_avif(data: bytes) -> bool:
    """Whether the compatible brands of a file include AVIF, which Pillow reads by itself."""
    length = int.from_bytes(data[:4])
    brands = data[16 : min(length, _LONGEST_BRANDS)]
    return any(brands[place : place + 4] == b"avif" for place in range(0, len(brands), 4))


def is_installed() -> bool:
    """Whether the library that reads HEIC and HEIF is installed."""
    return util.find_spec("pillow_heif") is not None


def uncropped_pixels(data: bytes) -> int:
    """Most pixels that the header claims for an image or a part of it, before crops, which Pillow's size hides.

    Raises:
        SadclError: the header has too many boxes.
    """
    header = _header(data)
    places = (match.end() + 4 for match in re.finditer(b"ispe", header))  # after version and flags
    sides = (struct.unpack_from(">II", header, place) for place in places if place + 8 <= len(header))
    return max((width * height for width, height in sides), default=0)


def register() -> None:
    """Let Pillow open HEIF.

    Raises:
        SadclError: pillow-heif is not installed.
    """
    if not is_installed():
        raise SadclError("It is a HEIC photo, whose reader is missing: run `pip install 'sadcl[heic]'`")
    from PIL import Image
    from pillow_heif import register_heif_opener

    with _registration:
        if FORMAT not in Image.OPEN:
            register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)


def _header(data: bytes) -> bytes:
    """Content of the box ``meta``; empty where it is missing.

    Raises:
        SadclError: more boxes come before it than in any photo.
    """
    start = 0
    for _ in range(_MOST_BOXES):
        if start + 16 > len(data):
            return b""
        length, kind, long = struct.unpack_from(">I4sQ", data, start)
        length = {0: len(data) - start, 1: long}.get(length, length)
        if kind == b"meta" or length < 8:
            return data[start : start + length] if kind == b"meta" else b""
        start += length
    raise SadclError(f"The image's header is damaged: more than {_MOST_BOXES:,} boxes precede its description")


def version() -> str:
    """Version of pillow-heif; empty where it is not installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return ""
