"""Photos on S3 for a folder of labels: listed once into a manifest."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sadcl import s3
from sadcl.data import listed_photos, manifest
from sadcl.data.listed_photos import FILE, ListedPhotos
from sadcl.data.tree_listing import list_bucket
from sadcl.errors import SadclError
from sadcl.progress import track


@contextmanager
def listed(labels: Path, address: str) -> Iterator[None]:
    """List photos on S3, and let a folder of labels have them until the block ends.

    Args:
        labels: the folder, or a file in it.
        address: of the folder of photos.

    Raises:
        SadclError: the address is none of S3, has no photos, or S3 gives no answer; or the folder has a table of the
            manifest's name.
    """
    if not s3.is_address(address):
        raise SadclError(f"{address} is no address of S3", where="--photos", fix="Write s3://BUCKET/FOLDER")
    folder = labels if labels.is_dir() else labels.parent
    if (folder / FILE).exists() and listed_photos.of_source(folder) is None:
        raise SadclError("The manifest of photos needs this name", where=folder / FILE, fix="Rename your file")
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / FILE
        write_manifest(path, address)
        with listed_photos.assumed(folder, path):
            yield


def write_manifest(path: Path, address: str) -> ListedPhotos:
    """List the photos below an address into a manifest.

    Raises:
        SadclError: there is no photo, or S3 gives no answer.
    """
    s3.split(address)
    root = f"{address.rstrip('/')}/"
    manifest.write(path, root, track(list_bucket(root), "listing photos", unit="photos"))
    photos = ListedPhotos(path, "")
    if not len(photos):
        raise SadclError("There are no photos", where=root, fix="Check the address")
    return photos
