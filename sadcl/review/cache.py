"""What the page brought or worked out once: files and values by digest under ``.sadcl/review``."""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sadcl import files, layout
from sadcl.errors import SadclError


class Cache:
    """Files and JSON values of a project; what is damaged counts as not there.

    Args:
        root: the project's folder.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / layout.REVIEW_CACHE
        self._one_at_a_time = threading.Lock()

    def file(self, digest: str, name: str, bring: Callable[[Path], Path]) -> Path:
        """A file whose SHA-256 is ``digest``.

        Args:
            digest: of its bytes.
            name: that it has, with the suffix that its readers look at.
            bring: puts it into a folder and says where; called where it is not there yet.
        """
        path = self.folder / "files" / digest / name
        if not path.is_file() or files.digest(path) != digest:
            self._bring(path, bring)
        return path

    def shown(self, key: str, name: str, bring: Callable[[Path], Path]) -> Path:
        """A file that has no digest of its own, by a key that changes when it does."""
        path = self.folder / "shown" / key / name
        if not path.is_file():
            self._bring(path, bring)
        return path

    def value(self, key: str, make: Callable[[], Any]) -> Any:
        """A value that JSON can hold, worked out once: who asks meanwhile waits for it."""
        path = self.folder / "values" / f"{key}.json"
        with self._one_at_a_time:
            try:
                return files.read_json(path)
            except SadclError:
                value = make()
                files.write_json(path, value)
                return value

    def picture(self, key: str, make: Callable[[], bytes]) -> bytes:
        """A JPEG, drawn once."""
        path = self.folder / "pictures" / f"{key}.jpg"
        if not path.is_file():
            drawn = make()
            with files.atomic_write(path) as beside:
                beside.write_bytes(drawn)
        return path.read_bytes()

    def _bring(self, path: Path, bring: Callable[[Path], Path]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as bench, files.atomic_write(path) as beside:
            bring(Path(bench)).replace(beside)
