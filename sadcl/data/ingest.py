"""Ingest: a source becomes the annotation table, with labels from its files and facts from its photos."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sadcl import files, params
from sadcl.data import listed_photos, sources
from sadcl.data.images.inspect import MISSING, PhotoInfo
from sadcl.data.photo_cache import PhotoCache
from sadcl.data.sources.photo_lookup import PhotoLookup, describe
from sadcl.data.sources.text import short_repr
from sadcl.data.splits import assign, leaks, protocols
from sadcl.data.table import SCHEMA, SPLITS, Table, column, targets
from sadcl.errors import SadclError
from sadcl.names import counted
from sadcl.processes import read_ahead
from sadcl.progress import say, track

SAVE_SECONDS = 120.0
"""Seconds between two saves of the facts of photos."""
AHEAD = 1_000
"""Photos that are read or wait for their turn: a task for each of millions would fill the memory."""


def ingest(root: Path, source: str, settings: params.Ingest, seed: int, cache: Path, workers: int) -> Table:
    """Compute the annotation table of a source.

    Args:
        root: the project's folder.
        source: the source's folder, relative to ``root``.
        settings: format, files, and the fraction of `select`.
        seed: of the assignment to splits.
        cache: folder for facts of photos between runs; it may be lost or damaged at any time.
        workers: threads that read photos.

    Raises:
        SadclError: the annotations are unusable or contradict the protocol of the settings, there is no image, or S3
            gives no answer. An unusable photo raises nothing: its row has a problem, and validation fails.
    """
    annotations = sources.read_source(root / source, settings)
    for note in annotations.notes:
        say(f"  {note}")
    images, gone = (
        [
            _usable(image, settings, len(annotations.classes))
            for image in group
            if settings.keep_unlabelled or image.labels
        ]
        for group in (annotations.images, annotations.gone)
    )
    if not images:
        raise SadclError("The source has no image", where=root / source, fix="Check ingest.annotations")
    has_splits = all(image.split for image in images)
    if has_splits:
        images = _with_select(images, len(annotations.classes), settings, seed)
        protocols.check(_ids([*images, *gone]), settings.protocol)
    else:
        assign.check_shares(settings.select_fraction)
    if annotations.substitutions:
        say(f"  {describe(annotations.substitutions)}")
    if gone:
        say(f"  {_skipped(gone, len(images) + len(gone))}")
    images.sort(key=lambda image: image.image_id)
    facts = _read_photos(root, source, images, settings.max_pixels, cache, workers)
    if settings.format not in sources.PUBLISHED:
        facts = _with_candidates(images, facts, root / source)
    if not has_splits:
        path = root / f"{source}.splits.csv"
        images = _assign_splits(images, facts, len(annotations.classes), settings, seed, path, workers)
    order = sorted(range(len(images)), key=lambda i: (SPLITS.index(images[i].split), images[i].image_id))
    images, facts = [images[i] for i in order], [facts[i] for i in order]
    pairs = leaks.look_alikes([image.image_id for image in images], [image.split for image in images], facts, workers)
    return Table(_frame(images, facts), annotations.classes, source, _protocol(images), pairs)


def _usable(image: sources.Image, settings: params.Ingest, classes: int) -> sources.Image:
    """The image, with every class ignored if nothing is known of it and the settings call such labels unknown."""
    unknown = settings.keep_unlabelled == "unknown" and not image.labels and not image.ignored
    return replace(image, ignored=tuple(range(classes))) if unknown else image


def _assign_splits(
    images: list[sources.Image],
    facts: Sequence[PhotoInfo],
    classes: int,
    settings: params.Ingest,
    seed: int,
    path: Path,
    workers: int,
) -> list[sources.Image]:
    """Give a split to each image without one, look-alikes together; ``path`` keeps the choice."""
    unreadable = np.array([fact.problem is not None for fact in facts])
    groups = leaks.groups(facts, workers)
    assigned = assign.assign(
        [image.image_id for image in images],
        targets((image.labels for image in images), classes),
        settings.select_fraction,
        seed,
        path,
        groups=groups,
        fixed=[image.split for image in images],
        unreadable=unreadable,
        digests=[fact.sha256 for fact in facts],
    )
    return [replace(image, split=split) for image, split in zip(images, assigned, strict=True)]


def _with_select(images: list[sources.Image], classes: int, settings: params.Ingest, seed: int) -> list[sources.Image]:
    """Move a fraction of `train` to `select` where the source has no `select`."""
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
    photo_cache, locate = PhotoCache(cache / "photos.parquet", max_pixels), listed_photos.locator(root / source)

    def read(image: sources.Image) -> PhotoInfo:
        return photo_cache.facts(f"{source}/{image.file}", locate(image.file))

    pool = ThreadPoolExecutor(listed_photos.threads(root / source, workers))
    facts, saved = [], time.monotonic()
    try:
        for fact in track(read_ahead(pool, read, images, AHEAD), "reading photos", total=len(images)):
            facts.append(fact)
            if time.monotonic() - saved > SAVE_SECONDS:  # a killed process keeps what it has read, too
                photo_cache.save()
                saved = time.monotonic()
        return facts
    finally:
        pool.shutdown(cancel_futures=True)
        photo_cache.save()  # also after an interruption: the next run begins with what this one has read


def _with_candidates(images: Sequence[sources.Image], facts: Sequence[PhotoInfo], folder: Path) -> list[PhotoInfo]:
    """Facts in which the problem of a missing photo names the photos that its name fits equally well."""
    lookup, explained = PhotoLookup(folder), list(facts)
    for i, fact in enumerate(facts):
        candidates = lookup.candidates(images[i].file) if fact.problem == MISSING else []
        if len(candidates) > 1:
            names = ", ".join(map(short_repr, candidates[:3]))
            explained[i] = replace(fact, problem=f"{MISSING}, and several fit its name: {names}")
    return explained


def _frame(images: Sequence[sources.Image], facts: Sequence[PhotoInfo]) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {}
    for name in ("image_id", "file", "split"):
        columns[name] = [getattr(image, name) for image in images]
    for name in ("labels", "ignored"):
        columns[name] = [list(getattr(image, name)) for image in images]
    for name in (field.name for field in fields(PhotoInfo) if field.name in SCHEMA):
        columns[name] = [getattr(fact, name) for fact in facts]
    for name in sorted({name for image in images for name in image.slices}):
        columns[name] = [image.slices.get(name) for image in images]
    return pd.DataFrame({name: column(values) for name, values in columns.items()})


def _protocol(images: Sequence[sources.Image]) -> dict[str, Any]:
    """Number of images and digest of their ids, by split."""
    return {split: {"images": len(ids), "ids": files.digest_of_ids(ids)} for split, ids in _ids(images).items()}


def _ids(images: Sequence[sources.Image]) -> dict[str, list[str]]:
    return {split: [image.image_id for image in images if image.split == split] for split in SPLITS}


def _skipped(gone: Sequence[sources.Image], listed: int) -> str:
    names = ", ".join(image.file for image in gone[:3])
    more = ", ..." if len(gone) > 3 else ""
    verb = "is" if len(gone) == 1 else "are"
    return f"{len(gone):,} of {counted(listed, 'photo')} {verb} missing and skipped: {names}{more}"
