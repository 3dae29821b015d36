"""Comparison of weights files in a folder with the digests that a bundle pins."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sadcl import files
from sadcl.errors import SadclError
from sadcl.progress import printable, track
from sadcl.registry import artifacts
from sadcl.registry.audit.replay import Model

SUFFIXES = (".safetensors", ".onnx")


@dataclass(frozen=True)
class FilesReport:
    """Result of a comparison.

    Attributes:
        matches: a sentence for each file that a version pins.
        problems: a sentence for each weights file that no version pins, or that can't be read.
    """

    matches: list[str]
    problems: list[str]


def compare(folder: Path, models: Mapping[str, Model]) -> FilesReport:
    """Compare the weights files below a folder with the pins of all versions.

    Raises:
        SadclError: there is no such folder, or no weights file in it.
    """
    unread: list[tuple[str, str]] = []
    paths = sorted(_weights(folder, unread))
    if not folder.is_dir() or not (paths or unread):
        raise SadclError(
            f"There are no weights files ({' or '.join(SUFFIXES)})", where=folder, fix="Name the folder that has them"
        )
    pinned = _pinned(models)
    matches, problems = [], [printable(f"{path} is not read: {reason}.") for path, reason in unread]
    for path in track(paths, "reading weights", unit="files"):
        try:
            names = pinned.get(files.digest(path), [])
        except OSError as error:
            problems.append(printable(f"{path} can't be read: {error.strerror}."))
            continue
        if names:
            matches.append(printable(f"{path} is {', '.join(names)}."))
        else:
            problems.append(printable(f"{path} is the file of no version in the bundle."))
    return FilesReport(matches, problems)


def _weights(folder: Path, unread: list[tuple[str, str]]) -> Iterator[Path]:
    """Weights files below a folder; folders that are not read go into ``unread`` with the reason."""

    def refuse(error: OSError) -> None:
        unread.append((str(error.filename), str(error.strerror)))

    for parent, folders, names in os.walk(folder, onerror=refuse):
        links = [link for name in folders if (link := Path(parent, name)).is_symlink()]
        outside = [link for link in links if not link.resolve().is_relative_to(folder.resolve())]
        unread += [(str(link), "it is a link to a folder outside") for link in outside]
        for name in names:
            path = Path(parent, name)
            if path.suffix in SUFFIXES and path.is_file():
                yield path


def _pinned(models: Mapping[str, Model]) -> dict[str, list[str]]:
    """Addresses of versions, with the names of their files, by digest."""
    pinned: dict[str, list[str]] = {}
    for model, entity in models.items():
        for number, version in entity.versions.items():
            aliases = sorted(alias for alias, holder in entity.aliases.items() if holder == number)
            holder = f" ({', '.join(aliases)})" if aliases else ""
            for name, digest in (artifacts.read_pins(version.tags) or {}).items():
                pinned.setdefault(digest, []).append(f"{name} of models:/{model}/{number}{holder}")
    return pinned
