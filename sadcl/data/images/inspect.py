"""What ingest notes of a photo's file: size, digest, how it looks, or why it can't be used."""

import hashlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from PIL import Image

from sadcl.data.images import decode, jpeg
from sadcl.data.images.statistics import SIDE, looks
from sadcl.errors import SadclError


@dataclass(frozen=True)
class PhotoInfo:
    """What a table row says about a photo's file.

    Attributes:
        width, height: pixels, after EXIF rotation; 0 when the photo can't be used.
        bytes: size of the file; 0 when it can't be read.
        sha256: of the file's bytes; empty when it can't be read.
        brightness, sharpness, phash: how it looks (``looks.Looks``); 0 when the photo can't be used.
        problem: a sentence why the photo can't be used, without a full stop, or None.
    """

    width: int
    height: int
    bytes: int
    sha256: str
    brightness: float = 0.0
    sharpness: float = 0.0
    phash: int = 0
    problem: str | None = None


def inspect(path: Path, max_pixels: int = decode.MAX_PIXELS, known: Mapping[str, PhotoInfo] | None = None) -> PhotoInfo:
    """Read a file once, take its digest and decode it; a bad photo is an answer, not an error.

    Args:
        path: the file.
        max_pixels: a header that claims more is a problem.
        known: facts by digest; a photo found there is not decoded again.
    """
    try:
        data = _read(path)
    except SadclError as error:
        return PhotoInfo(0, 0, 0, "", problem=error.what)
    sha256 = hashlib.sha256(data).hexdigest()
    if known and sha256 in known:
        return known[sha256]
    try:
        plain = jpeg.size(data)  # such a photo may be decoded smaller, and is read to its end all the same
        seen = decode.pixels(data, at_least=SIDE if plain else None, max_pixels=max_pixels)
        width, height = plain or seen.shape[1::-1]
        if plain and decode.turned(data, max_pixels) >= 5:
            width, height = height, width
    except SadclError as error:
        return PhotoInfo(0, 0, len(data), sha256, problem=error.what)
    return PhotoInfo(width, height, len(data), sha256, *astuple(looks(Image.fromarray(seen))))


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise SadclError("It is not a file")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise SadclError("The file is missing") from None
    except (OSError, ValueError) as error:
        raise SadclError(f"The file can't be read: {getattr(error, 'strerror', None) or error}") from None
