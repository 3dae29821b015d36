"""Part of a version's page about its data: photos and labels since the champion, validation, look-alikes."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from sadcl import bounded_json, files, layout
from sadcl.errors import SadclError
from sadcl.registry import artifacts
from sadcl.review import data_changes, schemas
from sadcl.review.compare_worker import MAX_IMMEDIATE, compare_tables, count_photos
from sadcl.review.context import AppContext
from sadcl.review.sessions import Session
from sadcl.review.snapshot import Version

Cached = Callable[[str, int, Callable[[], dict[str, Any]]], dict[str, Any]]
"""Key of a value, number of photos, and its computation; the value."""
MISSING = "This version was registered without its table of photos"


class DataPart:
    """Data behind a version.

    Args:
        context: of the application.
        session: of the person who reads the page.
        version: the version.
        champion: the champion to compare with; None without one.
        cached: gives the value of a key from the cache, or computes it.
    """

    def __init__(
        self, context: AppContext, session: Session, version: Version, champion: Version | None, cached: Cached
    ) -> None:
        self._context, self._session, self._version, self._cached = context, session, version, cached
        self.champion = champion if champion is not None and self._digest(champion) else None
        self.digest = self._digest(version)

    def changes(self) -> dict[str, Any]:
        """The result of ``data_changes.compare``, from the cache after the first call.

        Raises:
            InProgressError: it is being computed in the background.
            SadclError: the version has no table, or it is damaged.
        """
        if not self.digest:
            raise SadclError(MISSING, fix="Register it again, with a present version of sadcl")
        registry, session, champion = self._context.registry, self._session, self.champion
        project = registry.root / layout.TABLE

        def compute() -> dict[str, Any]:
            rival = None if champion is None else registry.pinned_file(session, champion, artifacts.PHOTOS)
            own = registry.pinned_file(session, self._version, artifacts.PHOTOS)
            return compare_tables(own, rival, project if project.is_file() else None)

        # the project's own table tells how large the others are before they are downloaded
        photos = count_photos(project) if project.is_file() else MAX_IMMEDIATE + 1
        return self._cached(self._key, photos, compute)

    @cached_property
    def _key(self) -> str:
        """Of the cached value: it changes with each of the three tables."""
        project = self._context.registry.root / layout.TABLE
        here = files.digest(project) if project.is_file() else ""
        rival = "" if self.champion is None else self._digest(self.champion)
        return files.digest_of([data_changes.FORMAT, self.digest, rival, here])

    def validation(self) -> schemas.Validation:
        """Results of the rules of the data, as the version's author registered them.

        Raises:
            SadclError: the file is missing, was changed, or has another form.
        """
        path = self._context.registry.pinned_file(self._session, self._version, artifacts.VALIDATION)
        where = f"{self._version.model} version {self._version.number}"
        return schemas.parse(schemas.Validation, bounded_json.read(path), artifacts.VALIDATION, where)

    def picture(self, kind: str, index: int) -> bytes:
        """A photo of a change or of a pair of look-alikes, as JPEG.

        Raises:
            LookupError: there is no such photo.
            SadclError: the project does not have it.
        """
        photo = data_changes.photo_of(self.changes(), kind, index)
        if not photo["path"]:
            raise LookupError(photo["file"])
        return self._context.thumbnails.source_photo(photo["path"], photo["sha256"])

    @staticmethod
    def _digest(version: Version) -> str:
        digest = (artifacts.read_pins(version.tags) or {}).get(artifacts.PHOTOS, "")
        return digest if files.is_digest(digest) else ""
