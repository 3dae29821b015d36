"""Cache of registry files and computed values under ``.sadcl/review``, by digest."""

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sadcl import files, layout
from sadcl.errors import SadclError


class Cache:
    """Files, JSON values and images of a project; a damaged entry counts as missing.

    Each entry is downloaded or computed once: concurrent callers wait for it, and callers for other entries do not.

    Args:
        root: the project's folder.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / layout.REVIEW_CACHE
        self._lock = threading.Lock()
        self._writing: dict[Path, tuple[threading.Lock, int]] = {}  # by entry: its lock, and how many use it

    def file(self, digest: str, name: str, download: Callable[[Path], Path]) -> Path:
        """A file by the SHA-256 of its bytes.

        Args:
            digest: the SHA-256.
            name: file name, with the suffix that readers need.
            download: writes the file into a folder and returns its path; called on a miss.
        """
        path = self.folder / "files" / digest / name
        with self._entry(path):
            if not path.is_file() or files.digest(path) != digest:
                self._store(path, download)
        return path

    def file_by_key(self, key: str, name: str, download: Callable[[Path], Path]) -> Path:
        """A file without a pinned digest, by a key that changes with its content."""
        path = self.folder / "shown" / key / name
        if not path.is_file():
            with self._entry(path):
                if not path.is_file():
                    self._store(path, download)
        return path

    def value(self, key: str, compute: Callable[[], Any]) -> Any:
        """A JSON value, computed once."""
        path = self._value_path(key)
        with self._entry(path):
            value = self.known_value(key)
            if value is None:
                value = compute()
                files.write_json(path, value)
            return value

    def known_value(self, key: str) -> Any:
        """A JSON value that was computed before; None where there is none."""
        try:
            return files.read_json(self._value_path(key))
        except SadclError:
            return None

    def image(self, key: str, draw: Callable[[], bytes]) -> bytes:
        """A JPEG, drawn once."""
        path = self.folder / "pictures" / f"{key}.jpg"
        if not path.is_file():
            with self._entry(path):
                if not path.is_file():
                    content = draw()
                    with files.atomic_write(path) as temporary_path:
                        temporary_path.write_bytes(content)
        return path.read_bytes()

    @contextmanager
    def _entry(self, path: Path) -> Iterator[None]:
        """Let one thread at a time write an entry."""
        with self._lock:
            lock, users = self._writing.get(path, (threading.Lock(), 0))
            self._writing[path] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                users = self._writing.pop(path)[1] - 1
                if users:
                    self._writing[path] = lock, users

    def _value_path(self, key: str) -> Path:
        return self.folder / "values" / f"{key}.json"

    def _store(self, path: Path, download: Callable[[Path], Path]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # the download lies on the cache's own disk, so that the rename is atomic
        with tempfile.TemporaryDirectory(dir=self.folder) as folder, files.atomic_write(path) as temporary_path:
            download(Path(folder)).replace(temporary_path)
