"""COCO instances JSON: COCO 2014 and 2017, LVIS, and what tools export in this format.

Any annotation sets its label, crowd annotations and those of panoptic files too; boxes may be missing: ``image_id`` and
``category_id`` are enough. Classes are in ascending order of their ids (method, section 6). Categories of one name are
one class, and those of several files are matched by name. A category that no annotation uses is left out if it is the
supercategory of others, as Roboflow's first one.

Image ids are those of the files. Where two files use the same one, as Roboflow's do, the path of a photo is its id.

An image with ``neg_category_ids``, as in LVIS, has labels for some classes only: annotated ones are present, these are
absent, all others are neither.
"""

from pathlib import Path

from sadcl import params
from sadcl.data.sources import Image, Source, safe_join
from sadcl.data.sources.coco_file import CocoFile, read_file
from sadcl.data.sources.json_head import first_object, read_head
from sadcl.data.sources.rows import annotation_files
from sadcl.data.sources.text import listed_name, short_repr
from sadcl.errors import SadclError

CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""COCO's 80 class names, in ascending order of category ids."""


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the annotation files of each split.

    Raises:
        SadclError: a file is missing or damaged, an id occurs twice, or an annotation refers to an unknown id.
    """
    single = set(settings.annotations) == {"train"}  # one file for all images assigns no splits
    if "train" not in settings.annotations or not (single or "test" in settings.annotations):
        raise SadclError(
            "A COCO source needs an annotation file for train, and one for test if it has several files",
            where="ingest.annotations",
            fix="Name the files there",
        )
    parts = [(split, read_file(path), folder) for split, path, folder in annotation_files(root, settings)]
    roots = _roots([file for _, file, _ in parts])
    classes = _classes(parts, roots)
    index = {name: i for i, name in enumerate(classes)}
    ids = [image.image_id for _, file, _ in parts for image in file.images]
    unique = len(set(ids)) == len(ids)
    images = [image for split, file, folder in parts for image in _images(file, split, folder, index, unique)]
    notes = [
        f"The category {short_repr(name)} is left out: no annotation uses it, and it is the supercategory of others"
        for name in sorted(roots)
    ]
    return Source(tuple(classes), images, notes=notes)


def recognises(path: Path) -> bool:
    """Whether a JSON file is an object with images and annotations as COCO has them."""
    value = read_head(path)
    if not isinstance(value, dict):
        return False
    image, annotation = (first_object(value.get(key)) for key in ("images", "annotations"))
    lists = sum(isinstance(value.get(key), list) for key in ("images", "annotations", "categories"))
    return "caption" not in annotation and (
        lists == 3
        or {"image_id", "category_id"} <= set(annotation)
        or ("id" in image and not {"file_name", "coco_url"}.isdisjoint(image))
    )


def _roots(parts: list[CocoFile]) -> set[str]:
    """Names of categories that no annotation uses, and that are the supercategory of others."""
    used = {name for file in parts for name in file.used}
    names = {name for file in parts for name, _ in file.categories.values()}
    above = {above for file in parts for name, above in file.categories.values() if above != name}
    roots = (above & names) - used
    return roots if roots < names else set()


def _classes(parts: list[tuple[str, CocoFile, str]], roots: set[str]) -> list[str]:
    """Classes in ascending order of ids in the first file, then those that only further files of a split list.

    Raises:
        SadclError: a split's classes are not those of train.
    """
    by_split: dict[str, dict[str, None]] = {}
    for split, file, _ in parts:
        names = (name for _, (name, _) in sorted(file.categories.items()) if name not in roots)
        by_split.setdefault(split, {}).update(dict.fromkeys(names))
    first, *others = by_split.items()
    for split, other in others:
        missing, extra = sorted(set(first[1]) - set(other)), sorted(set(other) - set(first[1]))
        if missing or extra:
            words = (f"{verb} {short_repr(n[0])}" for verb, n in (("it lacks", missing), ("it adds", extra)) if n)
            problem = f"The categories differ from those of train: {' and '.join(words)}"
            where = next(file.path for name, file, _ in parts if name == split)
            raise SadclError(problem, where=where, fix="Correct the annotation file")
    return list(first[1])


def _images(file: CocoFile, split: str, folder: str, index: dict[str, int], unique: bool) -> list[Image]:
    """Images of a file; classes that it does not list are neither present nor absent."""
    every = frozenset(index.values())
    unlisted = every - {index[name] for name, _ in file.categories.values() if name in index}
    images = []
    for image in file.images:
        name = safe_join(folder, listed_name(image.name), f"{file.path}, image {image.image_id[:80]}")
        present = {index[label] for label in image.labels}
        unknown = unlisted if image.absent is None else every - {index[label] for label in image.absent}
        ids = tuple(sorted(present)), tuple(sorted(unknown - present))
        images.append(Image(image.image_id if unique else name, name, split, *ids))
    return images
