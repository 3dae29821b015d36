"""Photos of the test split, and where a model looked on them."""

import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import files, layout
from sadcl.errors import SadclError
from sadcl.review.cache import Cache

if TYPE_CHECKING:
    from PIL import Image

    from sadcl.data.shards.reader import Shards
    from sadcl.model.tagger import Tagger
SIDE = 360
"""Pixels of the long side of a picture."""
MODELS = 2
"""Loaded at a time: a version and the champion."""


class Pictures:
    """Pictures for the pages of one project.

    Args:
        root: the project's folder.
        cache: of what was drawn already.
    """

    def __init__(self, root: Path, cache: Cache) -> None:
        self.root, self.cache = root, cache
        self._one_at_a_time = threading.Lock()  # a model wants all processors
        self._opened: tuple[str, Shards, dict[str, int]] | None = None
        self._models: OrderedDict[Path, Tagger] = OrderedDict()

    def missing(self, digest: str) -> str | None:
        """Why the test photos of a version can't be shown, as a sentence; None where they can."""
        try:
            with self._one_at_a_time:
                self._shards(digest)
        except SadclError as error:
            return str(error)
        return None

    def photo(self, digest: str, image_id: str) -> bytes:
        """A photo as JPEG.

        Args:
            digest: of the test shards.
            image_id: of the photo.

        Raises:
            SadclError: the shards are not there, or hold other photos.
        """
        key = files.digest_of([digest, image_id, SIDE])
        return self.cache.picture(key, lambda: _jpeg(_small(self._encoded(digest, image_id), image_id)))

    def attention(self, digest: str, image_id: str, weights: Callable[[], Path], pin: str, label: int) -> bytes:
        """Where a label looked on a photo, as JPEG.

        Args:
            digest: of the test shards.
            image_id: of the photo.
            weights: brings the file of the model.
            pin: that file's digest.
            label: index of the class.

        Raises:
            SadclError: as ``photo``, or the model has no attention.
        """

        def draw() -> bytes:
            from sadcl.report.attention_maps import overlay

            encoded = self._encoded(digest, image_id)
            file = weights()
            with self._one_at_a_time:
                maps = self._model(file).attention(encoded)
            return _jpeg(overlay(_small(encoded, image_id), maps[label]))

        return self.cache.picture(files.digest_of([digest, image_id, SIDE, pin, label]), draw)

    def _encoded(self, digest: str, image_id: str) -> bytes:
        with self._one_at_a_time:
            shards, rows = self._shards(digest)
        if image_id not in rows:
            raise SadclError("The photo is not among the test photos", where=image_id, fix="Run `dvc repro prepare`")
        return shards.jpeg(rows[image_id])

    def _shards(self, digest: str) -> "tuple[Shards, dict[str, int]]":
        from sadcl.data.shards.reader import Shards

        if self._opened is None or self._opened[0] != digest:
            opened = Shards(self.root / layout.TEST_SHARDS)
            if opened.digest != digest:
                raise SadclError(
                    "The project's test photos are others than those that this version was judged on",
                    where=layout.TEST_SHARDS,
                    fix="`dvc checkout` brings those of an earlier commit back",
                )
            self._opened = digest, opened, {image_id: i for i, image_id in enumerate(opened.ids)}
        return self._opened[1:]

    def _model(self, file: Path) -> "Tagger":
        from sadcl.weights import loader

        if file not in self._models:
            while len(self._models) >= MODELS:
                self._models.popitem(last=False)
            self._models[file] = loader.load_tagger(file)
        self._models.move_to_end(file)
        return self._models[file]


def _small(encoded: bytes, image_id: str) -> "Image.Image":
    from sadcl.data.images import decode

    image: Any = decode.decode(encoded, at_least=SIDE, where=f"image {image_id}")
    image.thumbnail((SIDE, SIDE))
    return image  # type: ignore[no-any-return]


def _jpeg(image: "Image.Image") -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()
