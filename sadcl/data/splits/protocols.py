"""Protocols: lists of images that published results trained and tested on, identified by digests of their ids."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sadcl import files
from sadcl.errors import SadclError
from sadcl.params import ImageList

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Protocol:
    """Train and test list of a published protocol."""

    name: str
    train: ImageList
    test: ImageList


def _list(images: int, ids: str | None = None) -> ImageList:
    return ImageList(images=images, ids=ids)


_VOC07_TEST = _list(4_952, "e14f93dac92f03b31afd79b82a98589e371f754067c026b2b20ab512afb9dd07")

KNOWN = (
    Protocol(
        "COCO 2014 with unlabelled images",
        _list(82_783, "86123ec910e2598d4456353db5aa4a4f3bd4f108c9f912878ad6f6da7ca18c87"),
        _list(40_504, "d0eb790e489de32b8caa83a266f1ee284addd2ef0e10cb788ab66557447884aa"),
    ),
    Protocol(
        "COCO 2014 without unlabelled images",
        _list(82_081, "fb685464bf24a5f6ae939901e1454869743003d975d18f6f210129e9384929ce"),
        _list(40_137, "25effba4592ebd7b106693966846397e604eea7d4aaf79420f40e02679d9a466"),
    ),
    Protocol("COCO 2017 with unlabelled images", _list(118_287), _list(5_000)),
    Protocol(
        "VOC 2007 (trainval)",
        _list(5_011, "03ed77dae14e62ddd1f986ee026261d4ae581adcc04f5c382603d1484de59cf0"),
        _VOC07_TEST,
    ),
    Protocol(
        "VOC 2007 (train and val apart)",
        _list(2_501, "0e24e27bfd090a2bbf1e57e3ed479360a775c916df040c14f4814b75ac22d86d"),
        _list(2_510, "9b15e4111709a30869c168d9e468e296c4b677522ec829f7b9550e1c1ccac63d"),
    ),
    Protocol("VOC 2012 (trainval)", _list(11_540), _list(10_991)),
    Protocol("VOC 2012, watched on VOC 2007", _list(11_540), _VOC07_TEST),
    Protocol("NUS-WIDE, official with unlabelled images", _list(161_789), _list(107_859)),
    Protocol("NUS-WIDE, official without unlabelled images", _list(125_449), _list(83_898)),
    Protocol("NUS-WIDE, the CSV form", _list(119_103), _list(50_720)),
    Protocol("NUS-WIDE, drawn at random", _list(150_000), _list(59_347)),
    Protocol("VG500", _list(82_904), _list(10_000)),
)
"""Published lists (method, section 6). Digests are computed from the lists themselves; of a list that is not available
only the number of images is checked."""


def check(ids: Mapping[str, Iterable[str]], protocol: Mapping[Split, ImageList]) -> None:
    """Check the ids of a source against the protocol in its settings.

    Args:
        ids: by split (`train`, `select`, `test`), ids of missing photos included.
        protocol: list of `train` (which includes `select`), of `test`, of both or of none.

    Raises:
        SadclError: the settings mix two protocols, or a list differs from the protocol's.
    """
    _refuse_mixtures(protocol)
    for split, expected in protocol.items():
        names = [name for part in _PARTS[split] for name in ids.get(part, ())]
        actual = ImageList(images=len(names), ids=files.digest_of_ids(names))
        if actual.images != expected.images or expected.ids not in (None, actual.ids):
            raise SadclError(
                f"The {split} images are not those of the protocol: expected {_describe(expected)}, but the source has "
                f"{_describe(actual)}",
                where=f"ingest.protocol.{split}",
                fix="Check ingest.annotations and ingest.keep_unlabelled; if these images are the right ones, "
                f"set images: {actual.images}, ids: {actual.ids}",
            )


_PARTS: dict[Split, tuple[str, ...]] = {"train": ("train", "select"), "test": ("test",)}


def _refuse_mixtures(protocol: Mapping[Split, ImageList]) -> None:
    if set(protocol) != {"train", "test"}:
        return
    trained = [known.name for known in KNOWN if _agrees(known.train, protocol["train"])]
    tested = [known.name for known in KNOWN if _agrees(known.test, protocol["test"])]
    if trained and tested and not set(trained) & set(tested):
        raise SadclError(
            f"The protocol trains on a list of {trained[0]!r} and tests on one of {tested[0]!r}",
            where="ingest.protocol",
            fix="Take both lists from one protocol; no published result can be compared with a mixture",
        )


def _describe(images: ImageList) -> str:
    """Number of images, and the known list with the same ids, or at least the same number."""
    lists = [(part, getattr(known, part), known.name) for known in KNOWN for part in ("train", "test")]
    matches = [(part, name) for part, known, name in lists if _agrees(known, images)]
    if matches:
        part, name = matches[0]
        return f"{images.images:,} (the {part} images of {name!r})"
    same_size = [(part, name) for part, known, name in lists if known.images == images.images]
    if same_size:
        part, name = same_size[0]
        return f"{images.images:,} (as many as the {part} images of {name!r}, but different ones)"
    return f"{images.images:,} (of no known protocol)"


def _agrees(known: ImageList, images: ImageList) -> bool:
    """Whether two lists have the same ids, or the same number of images where the ids of one are unknown."""
    return known.images == images.images and (known.ids is None or images.ids in (None, known.ids))
