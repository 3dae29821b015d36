"""Sections of ``params.yaml`` about data: ``ingest``, ``validate``, ``prepare``."""

from typing import Literal

from pydantic import Field

from sadcl.errors import SadclError
from sadcl.params.section import Section
from sadcl.params.units import Images, Pixels, Share


class ImageList(Section):
    """Images of a split in a published protocol."""

    images: Images = Field(ge=0)
    """Length of the list."""
    ids: str | None = Field(pattern="^[0-9a-f]{64}$", default=None)
    """SHA-256 of the sorted ids, one per line; null if the list isn't available, then only its length is checked."""


class Ingest(Section):
    """Source of photos and labels."""

    source: str
    """A folder under `data/raw`."""
    format: str = "coco"
    """Name of a reader, such as `coco`, `csv` or `folder`; the page on annotation formats lists all."""
    annotations: dict[Literal["train", "select", "test"], str | tuple[str, ...]]
    """The annotation file of each split, or a list of files, relative to the source; without `select` it is cut from
    `train`."""
    images: dict[Literal["train", "select", "test"], str]
    """The folder of each split's photos, relative to the source."""
    labels: str | tuple[str, ...] = ""
    """Formats `csv`, `parquet` and `rows`: the column of labels, or a list of columns whose labels are joined; empty
    finds one by its usual names."""
    slices: tuple[str, ...] = ()
    """Formats `csv`, `parquet` and `rows`: the columns that are not classes, where each class has a column, and those
    that hold no labels although they are called `class` or the like."""
    separator: str = ";"
    """Formats `csv`, `parquet`, `rows`, `json` and `jsonl`: the text between two labels in a cell; empty for one label
    a cell, `[]` for lists such as `["cup", "plate"]`, a blank for any white space."""
    minus_one: Literal["unknown", "absent"] = "unknown"
    """Formats `csv` and `parquet` with one column per class: meaning of a cell of -1. `absent` suits tables of 1 and -1
    alone."""
    select_fraction: Share = Field(ge=0, lt=1, default=0.2)
    """Part of `train` that becomes `select` where the source has none; 0 trains on everything."""
    keep_unlabelled: bool | Literal["unknown"] = True
    """Photos without labels: `true` uses them as rows of zeros, `unknown` keeps them with every class neither present
    nor absent, which losses and metrics leave out, `false` drops them."""
    difficult: Literal["negative", "ignore", "positive"] = "negative"
    """Formats `voc` and `voc_xml`: state of a class in a photo whose objects of this class are all marked difficult:
    absent (the released code), neither present nor absent (VOC's classification task), or present."""
    index: str | None = None
    """Format `vg500`: the JSON file with the class numbers of each photo, relative to the source."""
    random_test: Images | None = Field(ge=1, default=None)
    """Format `nuswide`: number of images, drawn from both lists, in the test split; the rest is train. null keeps the
    lists. Images without labels are drawn only if `keep_unlabelled` is set."""
    random_seed: int = Field(ge=0, default=0)
    """Format `nuswide`: seed of this draw; part of the protocol, and therefore separate from `seed`."""
    protocol: dict[Literal["train", "test"], ImageList] = Field(default_factory=dict)
    """Image lists of a published protocol (`train` includes `select`); other lists are an error. Empty checks
    nothing."""
    max_pixels: Pixels = Field(ge=1, default=100_000_000)
    """Most pixels (width times height) of a photo; its header is checked before it is decoded."""

    @property
    def label_columns(self) -> tuple[str, ...]:
        """Columns of labels; none where they are to be found by their names."""
        return tuple(name for name in ((self.labels,) if isinstance(self.labels, str) else self.labels) if name)

    def files(self, split: str) -> tuple[str, ...]:
        """Annotation files of a split; none where the split has no entry."""
        names: str | tuple[str, ...] = {str(key): value for key, value in self.annotations.items()}.get(split, ())
        return (names,) if isinstance(names, str) else names

    def file(self, split: str) -> str:
        """The only annotation file of a split.

        Raises:
            SadclError: the split has several files, which its format can't read.
        """
        names = self.files(split)
        if len(names) != 1:
            problem = f"The format {self.format} reads one file of annotations for {split}, not {len(names)}"
            raise SadclError(problem, where="ingest.annotations", fix="Name one file")
        return names[0]


class Validate(Section):
    """Bounds that the data has to meet."""

    min_side: Pixels = Field(ge=1, default=32)
    """Minimum length of a photo's shorter side."""
    min_positives: dict[Literal["train", "select", "test"], Images]
    """Photos that each class needs in each split. In train, a class always needs one photo with it and one without it,
    or it can't be learnt; in select and test, a class without a photo is a warning where this asks for none."""
    max_unlabelled: Share = Field(ge=0, le=1)
    """Largest part of the photos of a split that may have no label."""
    max_near_duplicates: Share = Field(ge=0, le=1, default=0.01)
    """Largest part of the photos in train and select that may look like a photo in test, and of those in test that may
    look like one in train or select: nearly the same, or mirrored, rotated, cropped, shifted or as a negative."""
    max_shift: float = Field(gt=0, default=0.5)
    """Largest change of a class frequency from the last accepted data, relative to the accepted frequency. All three
    drift bounds ignore changes within sampling error, so that a small set causes no false alarm."""
    max_overlap_shift: Share = Field(gt=0, le=1, default=0.2)
    """Largest change of the overlap of two classes: photos with both, divided by photos with either."""
    max_drift: dict[Literal["labels", "side", "brightness", "sharpness"], Share] = Field(
        default={"labels": 0.15, "side": 0.15, "brightness": 0.15, "sharpness": 0.15}
    )
    """Largest change of labels per photo, shorter side, brightness and sharpness, each as the Kolmogorov-Smirnov
    distance from the last accepted data; a measure without a bound is not checked."""


class Prepare(Section):
    """Storage of photos in shards."""

    short_side: Pixels | None = Field(ge=1, default=None)
    """Re-encode photos to this short side; null keeps their bytes (the paper's recipes)."""
    quality: int = Field(ge=1, le=100, default=92)
    """JPEG quality of photos that are re-encoded."""
    shard_rows: Images = Field(ge=1, default=32)
    """Photos per shard, on average; with small shards, new photos change few bytes."""
    store: str | None = Field(default=None, pattern=r"^s3://[^/]+(/.*)?$")
    """`s3://BUCKET/FOLDER` for the shards of the training split; they are read through a cache on each machine."""
