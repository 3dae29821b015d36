"""Folders of photos with lists of labels, and how `sadcl data add` reads them, for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sadcl import params
from sadcl.data import sources
from sadcl.data.onboarding.detect import DetectedSource, detect_source
from sadcl.data.onboarding.questions import Options, Question, first

JPEG = b"\xff\xd8\xff\xd9"
"""Photos are only looked for here, not decoded."""


LABELS = (("scab",), ("scab", "spot"), ("rust", "spot"), ("rust",))
"""Labels of the photos 0.jpg, 1.jpg, ..., repeated."""


def photos(root: Path, names: Sequence[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(JPEG)
    return root


def numbered(root: Path, count: int = 12) -> Path:
    return photos(root, [f"{i}.jpg" for i in range(count)])


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def labels_column(root: Path, cells: Sequence[str], header: str = "file,labels") -> Path:
    lines = [f'{i}.jpg,"{cell.replace(chr(34), chr(34) * 2)}"' for i, cell in enumerate(cells)]
    return put(numbered(root, len(cells)), {"labels.csv": "\n".join([header, *lines])})


def half_labelled(root: Path) -> Path:
    return put(
        numbered(root),
        {"labels.csv": "file,labels\n" + "".join(f"{i}.jpg,{'cup' if i < 6 else ''}\n" for i in range(12))},
    )


def labels(detected: DetectedSource) -> list[set[str]]:
    """Labels of each photo, in the order of the files' names."""
    images = sorted(detected.source.images, key=lambda image: int(Path(image.file).stem))
    return [{detected.source.classes[i] for i in image.labels} for image in images]


def again(detected: DetectedSource) -> sources.Source:
    """The source as `ingest` reads it by the settings of the recipe."""
    return sources.read_source(detected.root, params.Ingest.model_validate({"source": "own", **detected.ingest}))


def asked(source: Path, **decided: Any) -> list[Question]:
    """Questions about a source, each answered by the first choice."""
    questions: list[Question] = []

    def ask(question: Question) -> str:
        questions.append(question)
        return first(question)

    detect_source(source, Options(ask=ask, **decided))
    return questions
