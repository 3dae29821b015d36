"""A folder tree: each folder on the way to a photo is a label of it.

``cat/1.jpg`` shows a cat; ``cat/sofa/2.jpg`` and ``cat;sofa/2.jpg`` both a cat and a sofa; a photo that lies in no
folder has no label. A photo of which a copy lies in a second folder counts as two. ``ingest.annotations`` is empty;
``ingest.images`` gives one folder, or one a split.
"""

from pathlib import Path

from sadcl import params
from sadcl.data.sources import Source
from sadcl.data.sources.photo_files import photos
from sadcl.data.sources.rows import Row, source
from sadcl.errors import SadclError


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the folders that the settings name.

    Raises:
        SadclError: a folder is missing, or holds no photo in a folder of its own.
    """
    if "train" not in settings.images:
        raise SadclError("A folder tree needs a folder for train", where="ingest.images", fix="Name it")
    rows = []
    for split, folder in settings.images.items():
        found = photos(root, folder)
        within = len(Path(folder.strip("/")).parts)
        rows += [Row(name, "" if len(settings.images) == 1 else split, labels(name, within)) for name in found]
    if not rows:
        raise SadclError("There is no photo", where=root, fix="Put photos into folders that are named after labels")
    return source(rows, root)


def labels(name: str, within: int) -> frozenset[str]:
    """The labels that a photo's folders give, but for the first ``within`` of them."""
    parts = [label.strip() for part in name.split("/")[within:-1] for label in part.split(";")]
    return frozenset(part for part in parts if part)
