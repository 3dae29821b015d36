"""A source becomes the annotation table: labels from its files, facts from its photos.

Each photo is read once, in parallel, and remembered: by path, size and time of change, so that the
next run need not open it, and by digest, so that a moved one is not decoded again.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sadcl import files, params
from sadcl.data import sources
from sadcl.data.images.inspect import PhotoInfo
from sadcl.data.photo_cache import PhotoCache
from sadcl.data.splits import assign, near_duplicates, protocols
from sadcl.data.table import SPLITS, Table, column, targets
from sadcl.errors import SadclError
from sadcl.progress import say, track


def ingest(root: Path, source: str, settings: params.Ingest, seed: int, cache: Path, workers: int) -> Table:
    """Make the annotation table of a source.

    Args:
        root: the repository.
        source: the source's folder, relative to it.
        settings: format, files, and how `select` is cut.
        seed: of the assignment to splits where the source has none.
        cache: a folder for what is known about photos; it may be lost or damaged at any time.
        workers: how many photos to read at a time.

    Raises:
        SadclError: the annotations can't be used, they are not those of the protocol that the settings name, or
            there is not one image. A photo that can't be used is no error here: its row says so, and validation
            refuses it.
    """
    found = sources.read_source(root / source, settings)
    images, gone = (
        [image for image in those if settings.keep_unlabelled or image.labels] for those in (found.images, found.gone)
    )
    if not images:
        raise SadclError("The source holds no image", where=root / source, fix="Check ingest.annotations")
    own = all(image.split for image in images)
    if own:
        images = _with_select(images, len(found.classes), settings, seed)
        protocols.check(_ids([*images, *gone]), settings.protocol)
    else:
        assign.check_shares(settings.select_fraction)
    if gone:
        say(f"  {_left_out(gone, len(images) + len(gone))}")
    images.sort(key=lambda image: image.image_id)
    facts = _read_photos(root, source, images, settings.max_pixels, cache, workers)
    if not own:
        images = _dealt(images, facts, len(found.classes), settings, seed, root / f"{source}.splits.csv")
    order = sorted(range(len(images)), key=lambda i: (SPLITS.index(images[i].split), images[i].image_id))
    images, facts = [images[i] for i in order], [facts[i] for i in order]
    return Table(_frame(images, facts), found.classes, source, _protocol(images))


def _dealt(
    images: list[sources.Image],
    facts: Sequence[PhotoInfo],
    classes: int,
    settings: params.Ingest,
    seed: int,
    kept: Path,
) -> list[sources.Image]:
    """Give a split to each image that has none, near-duplicates together."""
    unsure = np.array([fact.problem is not None for fact in facts])
    clear = ~unsure & np.array([fact.sharpness >= near_duplicates.FLAT for fact in facts])
    hashes = np.array([fact.phash for fact in facts], np.uint64)
    groups = near_duplicates.groups(hashes, clear, [fact.sha256 for fact in facts])
    assigned = assign.assign(
        [image.image_id for image in images],
        targets((image.labels for image in images), classes),
        settings.select_fraction,
        seed,
        kept,
        groups=groups,
        given=[image.split for image in images],
        unsure=unsure,
        digests=[fact.sha256 for fact in facts],
    )
    return [replace(image, split=split) for image, split in zip(images, assigned, strict=True)]


def _with_select(images: list[sources.Image], classes: int, settings: params.Ingest, seed: int) -> list[sources.Image]:
    """Cut `select` from `train` where there is none."""
    if "select" in settings.annotations or any(image.split == "select" for image in images):
        return images
    train = [i for i, image in enumerate(images) if image.split == "train"]
    matrix = targets([images[i].labels for i in train], classes)
    mask = assign.select_mask([images[i].image_id for i in train], matrix, settings.select_fraction, seed)
    select = {i for i, chosen in zip(train, mask, strict=True) if chosen}
    return [replace(image, split="select") if i in select else image for i, image in enumerate(images)]


def _read_photos(
    root: Path, source: str, images: Sequence[sources.Image], max_pixels: int, cache: Path, workers: int
) -> list[PhotoInfo]:
    memory = PhotoCache(cache / "photos.parquet", max_pixels)
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        look = pool.map(lambda image: memory.facts(root, f"{source}/{image.file}"), images)
        return list(track(look, "reading photos", total=len(images)))
    finally:
        pool.shutdown(cancel_futures=True)
        memory.keep()


def _frame(images: Sequence[sources.Image], facts: Sequence[PhotoInfo]) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {}
    for name in ("image_id", "file", "split"):
        columns[name] = [getattr(image, name) for image in images]
    for name in ("labels", "ignored"):
        columns[name] = [list(getattr(image, name)) for image in images]
    for name in (field.name for field in fields(PhotoInfo)):
        columns[name] = [getattr(fact, name) for fact in facts]
    for name in sorted({name for image in images for name in image.slices}):
        columns[name] = [image.slices.get(name) for image in images]
    return pd.DataFrame({name: column(values) for name, values in columns.items()})


def _protocol(images: Sequence[sources.Image]) -> dict[str, Any]:
    """By split, how many images and the digest of their ids."""
    return {split: {"images": len(ids), "ids": files.digest_of_ids(ids)} for split, ids in _ids(images).items()}


def _ids(images: Sequence[sources.Image]) -> dict[str, list[str]]:
    return {split: [image.image_id for image in images if image.split == split] for split in SPLITS}


def _left_out(gone: Sequence[sources.Image], listed: int) -> str:
    names = ", ".join(image.file for image in gone[:3])
    more = ", ..." if len(gone) > 3 else ""
    return f"{len(gone):,} of {listed:,} photos are not there and are left out: {names}{more}"
