"""Thumbnails of test photos, and attention maps over them."""

import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import files, layout
from sadcl.data import listed_photos
from sadcl.data.sources import safe_join
from sadcl.errors import SadclError
from sadcl.review.cache import Cache

if TYPE_CHECKING:
    from PIL import Image

    from sadcl.data.shards.reader import Shards
    from sadcl.model.tagger import Tagger

SIDE = 360
"""Pixels of the long side."""
MAX_MODELS = 2
"""Models in memory: a version and the champion."""


class NoPhotoError(SadclError):
    """The test split has no such photo."""


class Thumbnails:
    """Images for the pages of one project.

    Args:
        root: the project's folder.
        cache: stores the images.
    """

    def __init__(self, root: Path, cache: Cache) -> None:
        self.root, self.cache = root, cache
        self._lock = threading.Lock()  # one inference at a time: it uses all processors
        self._opened: tuple[str, Shards] | None = None
        self._models: OrderedDict[Path, Tagger] = OrderedDict()

    def problem(self, digest: str) -> str | None:
        """A sentence why the test photos of a version can't be shown, or None."""
        try:
            with self._lock:
                self._shards(digest)
        except SadclError as error:
            return str(error)
        return None

    def photo(self, digest: str, image_id: str) -> bytes:
        """A photo as JPEG.

        Args:
            digest: of the version's test shards.
            image_id: of the photo.

        Raises:
            NoPhotoError: the test split has no such photo.
            SadclError: the project's shards are missing or have another digest.
        """
        key = files.digest_of([digest, image_id, SIDE])
        return self.cache.image(key, lambda: _jpeg(_thumbnail(self._encoded(digest, image_id), image_id)))

    def source_photo(self, path: str, sha256: str) -> bytes:
        """A photo of the project's sources as JPEG.

        Args:
            path: relative to the project.
            sha256: of its bytes.

        Raises:
            SadclError: the photo is missing, or has other bytes.
        """

        def draw() -> bytes:
            photo = listed_photos.find(self.root, safe_join("", path, "the table of photos"))
            missing = SadclError("The photo is not in this project", where=path, fix="Run `dvc pull`")
            try:
                encoded = photo.read_bytes()
            except OSError:
                raise missing from None
            # the path comes from a table that somebody else may have written; the digest does not
            if hashlib.sha256(encoded).hexdigest() != sha256:
                raise missing
            return _jpeg(_thumbnail(encoded, path))

        return self.cache.image(files.digest_of([sha256, "source", SIDE]), draw)

    def attention(
        self, digest: str, image_id: str, weights: Callable[[], Path], weights_digest: str, label: int
    ) -> bytes:
        """The attention map of a label over a photo, as JPEG.

        Args:
            digest: of the version's test shards.
            image_id: of the photo.
            weights: downloads the model file and returns its path; called on a miss of the cache.
            weights_digest: SHA-256 of that file.
            label: index of the class.

        Raises:
            NoPhotoError: the test split has no such photo.
            SadclError: the project's shards are missing or have another digest, or the model has no attention.
        """

        def draw() -> bytes:
            from sadcl.report.overlay import overlay

            encoded = self._encoded(digest, image_id)
            weights_path = weights()
            with self._lock:
                maps = self._model(weights_path).attention(encoded)
            return _jpeg(overlay(_thumbnail(encoded, image_id), maps[label]))

        return self.cache.image(files.digest_of([digest, image_id, SIDE, weights_digest, label]), draw)

    def _encoded(self, digest: str, image_id: str) -> bytes:
        with self._lock:
            shards = self._shards(digest)
        try:
            row = shards.ids.index(image_id)
        except ValueError:
            message = "The photo is not in the test split"
            raise NoPhotoError(message, where=image_id, fix="Run `dvc repro prepare`") from None
        return shards.jpeg(row)

    def _shards(self, digest: str) -> "Shards":
        from sadcl.data.shards.reader import Shards

        if self._opened is None or self._opened[0] != digest:
            shards = Shards(self.root / layout.TEST_SHARDS)
            if shards.digest != digest:
                raise SadclError(
                    "The project's test photos differ from those that this version was judged on",
                    where=layout.TEST_SHARDS,
                    fix="Restore an earlier commit's with `dvc checkout`",
                )
            self._opened = digest, shards
        return self._opened[1]

    def _model(self, weights_path: Path) -> "Tagger":
        from sadcl.weights import loader

        if weights_path not in self._models:
            while len(self._models) >= MAX_MODELS:
                self._models.popitem(last=False)
            self._models[weights_path] = loader.load_tagger(weights_path)
        self._models.move_to_end(weights_path)
        return self._models[weights_path]


def _thumbnail(encoded: bytes, image_id: str) -> "Image.Image":
    from sadcl.data.images import decode

    image: Any = decode.decode(encoded, at_least=SIDE, where=f"image {image_id}")
    image.thumbnail((SIDE, SIDE))
    return image  # type: ignore[no-any-return]


def _jpeg(image: "Image.Image") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
