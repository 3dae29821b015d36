"""Inspection of a photo's file: size, digest, image statistics, or the reason why it is unusable."""

import hashlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from sadcl import s3
from sadcl.data.images import decode, jpeg
from sadcl.data.images.statistics import SIDE, Thumbnail, image_statistics
from sadcl.errors import SadclError

MISSING = "The file is missing"
"""Problem of a photo without a file."""


class Photo(Protocol):
    """A file, or an object on S3."""

    def read_bytes(self) -> bytes: ...


@dataclass(frozen=True)
class PhotoInfo:
    """Facts of a photo's file, as its row in the annotation table has them, and its thumbnail.

    Attributes:
        width, height: in pixels, after EXIF rotation; 0 for an unusable photo.
        bytes: size of the file; 0 for an unreadable one.
        sha256: of the file, in hexadecimal; empty for an unreadable one.
        brightness, sharpness, phash, thumbnail: see ``statistics.ImageStatistics``; 0 or empty for an unusable photo.
        problem: why the photo is unusable, a sentence without a full stop; None for a usable one.
    """

    width: int
    height: int
    bytes: int
    sha256: str
    brightness: float = 0.0
    sharpness: float = 0.0
    phash: int = 0
    thumbnail: Thumbnail = b""
    problem: str | None = None


def inspect(
    photo: Photo, max_pixels: int = decode.MAX_PIXELS, known: Mapping[str, PhotoInfo] | None = None
) -> PhotoInfo:
    """Read a photo once, take its digest and decode it.

    Args:
        photo: the path of its file, or its object.
        max_pixels: most pixels that a header may claim.
        known: facts by digest; a photo with a known digest is not decoded again.

    Returns:
        Facts of the photo; an unusable photo has a ``problem`` and raises nothing.

    Raises:
        RefusedError: S3 gives no answer, or refuses.
    """
    try:
        data = _read(photo)
    except s3.RefusedError:  # it says nothing about the photo
        raise
    except SadclError as error:
        return PhotoInfo(0, 0, 0, "", problem=error.what)
    sha256 = hashlib.sha256(data).hexdigest()
    if known and sha256 in known:
        return known[sha256]
    try:
        jpeg_size = jpeg.size(data)  # a JPEG decodes fast at reduced size, and is still read to its end
        pixels = decode.pixels(data, at_least=SIDE if jpeg_size else None, max_pixels=max_pixels)
        width, height = jpeg_size or pixels.shape[1::-1]
        if jpeg_size and decode.jpeg_orientation(data, max_pixels) >= 5:  # rotated by 90 degrees
            width, height = height, width
    except SadclError as error:
        return PhotoInfo(0, 0, len(data), sha256, problem=error.what)
    return PhotoInfo(width, height, len(data), sha256, *astuple(image_statistics(Image.fromarray(pixels))))


def _read(photo: Photo) -> bytes:
    try:
        if isinstance(photo, Path) and photo.exists() and not photo.is_file():
            raise SadclError("It is not a file")
        return photo.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise SadclError(MISSING) from None
    except (OSError, ValueError) as error:
        raise SadclError(f"The file can't be read: {getattr(error, 'strerror', None) or error}") from None
