"""Submission to the PASCAL VOC evaluation server: a text file for each class, with an image and its score a line."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sadcl import files
from sadcl.data.sources import voc
from sadcl.errors import SadclError
from sadcl.model.tagger import BATCH, Tagger
from sadcl.progress import track


def submission(
    ids: Sequence[str], scores: npt.NDArray[np.float32], classes: Sequence[str], competition: str
) -> dict[str, str]:
    """Format the files of a submission to the classification task.

    Args:
        ids: N images, as in the list of test images.
        scores: [N, C], logits or probabilities: the server uses their order only.
        classes: C names, VOC's twenty among them, in any order.
        competition: ``comp1`` for a model trained on VOC's data only, ``comp2`` for any other.

    Returns:
        Content by file name (``comp2_cls_test_aeroplane.txt``).

    Raises:
        SadclError: a class is missing, or a score is not finite.
    """
    missing = [name for name in voc.CLASSES if name not in classes]
    if missing:
        raise SadclError(
            f"The model has no class {missing[0]!r}", where="VOC's classes", fix="Use a model trained on VOC"
        )
    if not np.isfinite(scores).all():
        row = int(np.argmin(np.isfinite(scores).all(axis=1)))
        raise SadclError(f"A score of image {ids[row]} is not finite", fix="Train the model again")
    columns = {name: scores[:, list(classes).index(name)] for name in voc.CLASSES}
    return {
        f"{competition}_cls_test_{name}.txt": "".join(
            f"{image} {score:.8g}\n" for image, score in zip(ids, column, strict=True)
        )
        for name, column in columns.items()
    }


def write_submission(tagger: Tagger, listed: Path, photos: Path, out: Path, competition: str) -> str:
    """Score the photos of a list and write a submission.

    Args:
        tagger: the model.
        listed: text file with the list of images (``VOCdevkit/VOC2012/ImageSets/Main/test.txt``).
        photos: the folder with ID.jpg.
        out: the folder for the twenty files; an earlier submission in it is replaced.
        competition: ``comp1`` for a model trained on VOC's data only, ``comp2`` for any other.

    Returns:
        A sentence for the user.

    Raises:
        SadclError: the list or a photo can't be read, the model has other classes, or the folder contains other files.
    """
    files.require_folder(out)
    others = [path for path in out.glob("*") if not path.match("comp?_cls_test_*.txt")] if out.exists() else []
    if others:
        raise SadclError(
            "The folder for the submission contains other files", where=out, fix="Name a new or empty folder"
        )
    ids = [image for _, image in voc.ids(listed)]
    if not ids:
        raise SadclError("The list of images is empty", where=listed, fix="Name ImageSets/Main/test.txt")
    parts = [ids[i : i + BATCH] for i in range(0, len(ids), BATCH)]
    logits = [
        tagger.logits([photos / f"{image}.jpg" for image in part]) for part in track(parts, "scoring", each=BATCH)
    ]
    contents = submission(ids, np.concatenate(logits), tagger.classes, competition)
    with files.atomic_directory(out) as folder:
        for name, content in contents.items():
            (folder / name).write_text(content, encoding="utf-8")
    return (
        f"{len(contents)} files with {len(ids):,} images each in {out}; the server takes them as results/VOC2012/Main"
    )
