"""Protocols: which images a published figure trained and was tested on, held by the digest of their ids."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sadcl import files
from sadcl.errors import SadclError
from sadcl.params import ImageList

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Protocol:
    """Two lists that belong together."""

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
"""Lists of the field (method, section 6). The digests are those of the lists themselves; where only a count stands,
the list is not known to us, and nothing more is held."""


def check(ids: Mapping[str, Iterable[str]], wanted: Mapping[Split, ImageList]) -> None:
    """Hold the ids of a source against the protocol that its settings name.

    Args:
        ids: by split (`train`, `select`, `test`), those that are gone among them.
        wanted: the lists of `train` (with what `select` takes of it) and `test`, or of one of them, or of none.

    Raises:
        SadclError: the settings mix two protocols, or a list is another than they say; the message tells which.
    """
    _refuse_mixtures(wanted)
    for split, expected in wanted.items():
        those = [name for part in _PARTS[split] for name in ids.get(part, ())]
        found = ImageList(images=len(those), ids=files.digest_of_ids(those))
        if found.images != expected.images or expected.ids not in (None, found.ids):
            raise SadclError(
                f"The {split} images are not those of the protocol: it has {_words(expected)}, and these are "
                f"{_words(found)}",
                where=f"ingest.protocol.{split}",
                fix="Check ingest.annotations and ingest.keep_unlabelled; if these are the images that you mean, "
                f"set images: {found.images}, ids: {found.ids}",
            )


_PARTS: dict[Split, tuple[str, ...]] = {"train": ("train", "select"), "test": ("test",)}


def _refuse_mixtures(wanted: Mapping[Split, ImageList]) -> None:
    if set(wanted) != {"train", "test"}:
        return
    trained = [known.name for known in KNOWN if _same(known.train, wanted["train"])]
    tested = [known.name for known in KNOWN if _same(known.test, wanted["test"])]
    if trained and tested and not set(trained) & set(tested):
        raise SadclError(
            f"The protocol trains on a list of {trained[0]!r} and tests on one of {tested[0]!r}",
            where="ingest.protocol",
            fix="Figures of a mixture stand in no published table: take both lists from one protocol",
        )


def _words(images: ImageList) -> str:
    """How many, and which known list has the same ids, or at least the same number of them."""
    lists = [(part, getattr(known, part), known.name) for known in KNOWN for part in ("train", "test")]
    alike = [(part, name) for part, known, name in lists if _same(known, images)]
    if alike:
        part, name = alike[0]
        return f"{images.images:,} (the {part} images of {name!r})"
    as_many = [(part, name) for part, known, name in lists if known.images == images.images]
    if as_many:
        part, name = as_many[0]
        return f"{images.images:,} (as many as the {part} images of {name!r}, but others)"
    return f"{images.images:,} (of no protocol that is known here)"


def _same(known: ImageList, images: ImageList) -> bool:
    """The same ids, or the same number where the ids of one are not known."""
    return known.images == images.images and (known.ids is None or images.ids in (None, known.ids))
