"""Cache of registry files and computed values under ``.sadcl/review``, by digest."""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sadcl import files, layout
from sadcl.errors import SadclError


class Cache:
    """Files, JSON values and images of a project; a damaged entry counts as missing.

    Args:
        root: the project's folder.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / layout.REVIEW_CACHE
        self._lock = threading.Lock()

    def file(self, digest: str, name: str, download: Callable[[Path], Path]) -> Path:
        """A file by the SHA-256 of its bytes.

        Args:
            digest: the SHA-256.
            name: file name, with the suffix that readers need.
            download: writes the file into a folder and returns its path; called on a miss.
        """
        path = self.folder / "files" / digest / name
        if not path.is_file() or files.digest(path) != digest:
            self._store(path, download)
        return path

    def file_by_key(self, key: str, name: str, download: Callable[[Path], Path]) -> Path:
        """A file without a pinned digest, by a key that changes with its content."""
        path = self.folder / "shown" / key / name
        if not path.is_file():
            self._store(path, download)
        return path

    def value(self, key: str, compute: Callable[[], Any]) -> Any:
        """A JSON value, computed once; concurrent callers wait for it."""
        path = self.folder / "values" / f"{key}.json"
        with self._lock:
            try:
                return files.read_json(path)
            except SadclError:
                value = compute()
                files.write_json(path, value)
                return value

    def image(self, key: str, draw: Callable[[], bytes]) -> bytes:
        """A JPEG, drawn once."""
        path = self.folder / "pictures" / f"{key}.jpg"
        if not path.is_file():
            content = draw()
            with files.atomic_write(path) as temporary_path:
                temporary_path.write_bytes(content)
        return path.read_bytes()

    def _store(self, path: Path, download: Callable[[Path], Path]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # the download lies on the cache's own disk, so that the rename is atomic
        with tempfile.TemporaryDirectory(dir=self.folder) as folder, files.atomic_write(path) as temporary_path:
            download(Path(folder)).replace(temporary_path)
