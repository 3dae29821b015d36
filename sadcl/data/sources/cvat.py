"""CVAT for images 1.1: an ``annotations.xml`` of a project, task or job.

Tags, boxes, polygons, masks and other shapes of a photo give its labels; attributes are ignored, and so are the points
of skeletons. The classes are the labels that the file's ``meta`` lists, also those that no photo has. The subset of a
photo is its split if it is named train, val, test or the like. A photo without labels stays a photo without labels. The
photos are in ``images`` or ``images/SUBSET`` next to the file, or below ``ingest.images``.
"""

from pathlib import Path

from sadcl import params
from sadcl.data.sources import Source, xml_events
from sadcl.data.sources.exports import Part, combined, photo_folders, photo_path, split_named
from sadcl.data.sources.rows import Row, annotation_files
from sadcl.data.sources.text import is_valid_text, short_repr

_FIX = "Export it again as CVAT for images 1.1"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the exports that the settings name.

    Raises:
        SadclError: a file is missing or damaged, or is an export of a video.
    """
    parts: list[Part] = []
    for split, path, folder in annotation_files(root, settings):
        export = _Export(path, _FIX)
        xml_events.parse(export)
        rows: list[Row] = []
        for name, subset, labels in export.images:
            folders = photo_folders(root, path, folder, ("images", f"images/{subset}") if subset else ("images",))
            rows.append(Row(photo_path(root, name, folders, path), split_named(subset, split), frozenset(labels)))
        parts.append((export.classes, rows))
    return combined(parts, settings, root / settings.files("train")[0])


def recognises(path: Path) -> bool:
    """Whether an XML file begins with ``annotations``, as CVAT's do."""
    return xml_events.head(path)[:1] == ["annotations"]


class _Export(xml_events.Handler):
    """Photos (name, subset, labels) and classes of a file."""

    def __init__(self, path: Path, fix: str) -> None:
        super().__init__(path, fix)
        self.images: list[tuple[str, str, set[str]]] = []
        self.classes: list[str] = []
        self._label, self._is_part = "", False

    def opened(self, name: str, attributes: dict[str, str]) -> None:
        depth = len(self.parents)
        if depth == 0 and name != "annotations":
            raise self.refuse(f"The root element is {short_repr(name)}, not 'annotations'")
        if depth == 1 and name == "track":
            raise self.refuse("The file is an export of a video, with tracks instead of photos")
        if depth == 1 and name == "image":
            if "name" not in attributes:
                raise self.refuse(f"Photo number {len(self.images) + 1} has no name")
            self.images.append((attributes["name"], attributes.get("subset", ""), set()))
        if depth == 2 and self.parents[1] == "image" and "label" in attributes:
            label = attributes["label"].strip()
            if not is_valid_text(label):
                raise self.refuse(f"A label of {short_repr(self.images[-1][0])} has no name")
            self.images[-1][2].add(label)
        if name == "label":
            self._label, self._is_part = "", False

    def closed(self, name: str, text: str) -> None:
        if self.parents[-2:] == ["labels", "label"] and name in ("name", "parent"):
            if name == "name":
                self._label = text
            else:
                self._is_part = bool(text)  # a point of a skeleton
        if name == "label" and self.parents[-1:] == ["labels"] and self._label and not self._is_part:
            self.classes.append(self._label)
