"""Bytes of photos, checked against what the manifest says of them."""

import os
import stat
from pathlib import Path

from sadcl import s3
from sadcl.data.listed_photos import CHANGED, GONE, LARGEST, TOO_LARGE, read_object
from sadcl.errors import SadclError


def size_and_version(file: "Path | os.DirEntry[str]") -> tuple[int | None, str | None]:
    """Size in bytes and version of a local file, its time of modification in nanoseconds; None where it has none."""
    try:
        status = file.stat()
    except (OSError, ValueError):  # a link to nowhere: reading it gives the reason
        return None, None
    return status.st_size, str(status.st_mtime_ns)


class Photos:
    """Reads photos below a place; threads may share it.

    Args:
        root: folder or ``s3://`` address that paths are relative to.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def read(self, path: str, size: int | None, expected: str | None) -> bytes:
        """Read one photo.

        Args:
            path: relative to the root, absolute, or an ``s3://`` address.
            size: in bytes, as listed; None where it is unknown.
            expected: version as listed; None where it is unknown.

        Raises:
            CredentialsError: S3 takes the credentials for no photo.
            SadclError: the photo can't be read, or is not the one that was listed.
        """
        address = path if s3.is_address(path) else s3.join(self.root, path) if s3.is_address(self.root) else None
        if address is not None:
            try:
                return read_object(address, size, expected)
            except s3.CredentialsError:
                raise
            except s3.RefusedError as error:
                raise SadclError(error.what) from None
        return _read_file(Path(self.root, path), size, expected)


def _read_file(path: Path, size: int | None, expected: str | None) -> bytes:
    if size is not None and size > LARGEST:
        raise SadclError(TOO_LARGE)
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SadclError("The photo is no regular file")
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise SadclError(GONE) from None
    except (OSError, ValueError) as error:
        raise SadclError(f"The photo can't be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > LARGEST:
        raise SadclError(TOO_LARGE)
    # looked up after reading: a file that is written meanwhile has another time
    if expected is not None and (len(data), expected) != (size, size_and_version(path)[1]):
        raise SadclError(CHANGED)
    return data


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; a named pipe would else wait for a writer."""
    return os.open(path, flags | os.O_NONBLOCK)
