"""A folder tree: the folders above a photo are its labels.

``cat/1.jpg`` shows a cat; ``cat/sofa/2.jpg`` and ``cat;sofa/2.jpg`` show a cat and a sofa. A photo outside any folder
has no label. Two copies of a photo in two folders count as two photos. ``ingest.annotations`` is empty;
``ingest.images`` names one folder, or one per split.
"""

from pathlib import Path

from sadcl import params
from sadcl.data.sources import Source
from sadcl.data.sources.photo_files import list_photos
from sadcl.data.sources.rows import Row, build_source
from sadcl.errors import SadclError


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the folders that ``ingest.images`` names.

    Raises:
        SadclError: a folder is missing, or no photo in it has a label.
    """
    if "train" not in settings.images:
        raise SadclError("A folder tree needs a folder for train", where="ingest.images", fix="Name the folder there")
    rows = []
    for split, folder in settings.images.items():
        depth = len(Path(folder.strip("/")).parts)
        split_name = "" if len(settings.images) == 1 else split
        rows += [Row(name, split_name, labels(name, depth)) for name in list_photos(root, folder)]
    if not rows:
        raise SadclError("There are no photos", where=root, fix="Put photos into folders named after their labels")
    return build_source(rows, root)


def labels(name: str, depth: int) -> frozenset[str]:
    """Labels of a photo from the names of its folders, without the first ``depth`` folders of its path."""
    parts = [label.strip() for part in name.split("/")[depth:-1] for label in part.split(";")]
    return frozenset(part for part in parts if part)
