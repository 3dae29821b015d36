"""Folders of photos with lists of labels, for tests of `sadcl data add`."""

from collections.abc import Sequence
from pathlib import Path

JPEG = b"\xff\xd8\xff\xd9"
"""Photos are only looked for here, not decoded."""


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
