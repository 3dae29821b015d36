"""Helpers of the readers' tests: write files, read a source, show it by file."""

from pathlib import Path
from typing import Any

import pytest

from sadcl import params
from sadcl.data import sources
from sadcl.data.sources.formats import FORMATS
from sadcl.errors import SadclError

Shown = dict[str, tuple[str, set[str], set[str]]]
"""By file: split, present and ignored classes."""


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def read(root: Path, kind: str, annotations: Any, **changes: Any) -> sources.Source:
    files = annotations if isinstance(annotations, dict) else {"train": annotations}
    settings = {"source": "own", "format": kind, "annotations": files, "images": {}, **changes}
    return sources.read_source(root, params.Ingest.model_validate(settings))


def by_file(source: sources.Source) -> Shown:
    return {
        image.file: (image.split, *({source.classes[i] for i in part} for part in (image.labels, image.ignored)))
        for image in source.images
    }


def labels_of(source: sources.Source) -> dict[str, set[str]]:
    return {name: present for name, (_, present, _) in by_file(source).items()}


def splits_of(source: sources.Source) -> dict[str, str]:
    return {image.file: image.split for image in source.images}


def refused(words: str, root: Path, kind: str, annotations: Any, **changes: Any) -> None:
    with pytest.raises(SadclError, match=words) as caught:
        read(root, kind, annotations, **changes)
    assert caught.value.fix
    assert len(str(caught.value)) < 900


def recognised(path: Path) -> str:
    """Name of the first format that recognises a file; empty if none does."""
    candidates = (known for known in FORMATS if path.suffix.lower() in known.suffixes)
    return next((known.name for known in candidates if known.recognises(path)), "")
