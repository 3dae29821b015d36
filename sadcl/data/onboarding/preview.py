"""Preview of a source before anything is copied: how it is read, its classes, and what is left out."""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from sadcl.data.onboarding.detect import DetectedSource
from sadcl.data.onboarding.recipe import max_unlabelled
from sadcl.data.onboarding.unlabelled import meaning_of
from sadcl.data.sources.photo_lookup import describe
from sadcl.data.sources.text import short_repr
from sadcl.data.table import SPLITS
from sadcl.names import counted
from sadcl.progress import printable

SHOWN = 20
"""Most classes that are listed; with more, the most frequent ones and the rarest."""
RAREST = 5
EXAMPLES = 3
WIDEST = 100
NO_LABEL = frozenset(("none", "na", "n/a", "null", "nan", "-", "?", "[]", "unlabeled", "unlabelled", "undefined"))
"""Names of classes that may mean that there is no label, in lower case."""
_LABEL = 12


def preview(detected: DetectedSource, unused: Sequence[str], width: int = 0) -> list[str]:
    """Lines that describe a source.

    Args:
        detected: the source.
        unused: files of its folder that are not copied.
        width: of the terminal, in columns; by default that of the present one, or 80.
    """
    width = min(width or shutil.get_terminal_size((80, 24)).columns, WIDEST)
    lines = [*_reading(detected), *_splits(detected)]
    source = detected.source
    notes = [*detected.notes, *source.notes, *([describe(source.substitutions)] if source.substitutions else [])]
    lines += [("Note" if i == 0 else "", note) for i, note in enumerate(notes)]
    lines += [*_unlabelled(detected), *_left_out(unused)]
    warnings = [("Attention" if i == 0 else "", text) for i, text in enumerate(warn(detected))]
    table = [f"{'Classes':<{_LABEL}}{len(detected.source.classes):,}", *_classes(detected, width)]
    return [
        *(line for label, text in lines for line in _wrapped(label, text, width)),
        *(shorten(line, width) for line in table),
        *(line for label, text in warnings for line in _wrapped(label, text, width)),
    ]


def warn(detected: DetectedSource) -> list[str]:
    """Sentences about decisions against the evidence, classes that nothing can be learned about, and odd names."""
    images, classes = detected.usable_images, detected.source.classes
    if not any(image.labels for image in images):
        return [*detected.attention, "No photo has a label; `dvc repro` will stop at validate"]
    present = Counter(label for image in images for label in image.labels)
    known = Counter({i: len(images) for i in range(len(classes))})
    known.subtract(label for image in images for label in image.ignored)
    if detected.ingest.get("keep_unlabelled") == "unknown":
        blank = sum(not image.labels for image in images)
        known.subtract(dict.fromkeys(range(len(classes)), blank))
    none = [name for i, name in enumerate(classes) if not present[i]]
    every = [name for i, name in enumerate(classes) if present[i] and present[i] >= known[i]]
    folded = Counter(name.casefold() for name in classes)
    alike = [name for name in classes if folded[name.casefold()] > 1]
    empty = [name for name in classes if name.casefold() in NO_LABEL]
    return [
        *detected.attention,
        *([f"No photo has the label {_names(none)}: validate will refuse it"] if none else []),
        *(
            [f"Every photo has the label {_names(every)}: there is nothing to tell apart, and validate will refuse it"]
            if every
            else []
        ),
        *([f"Labels that differ in letter case alone are classes of their own: {_names(alike)}"] if alike else []),
        *([f"{_names(empty)} is a class; if it means no label, clear these cells"] if empty else []),
    ]


def shorten(text: str, width: int) -> str:
    """Text of at most ``width`` characters, with an ellipsis in place of the middle."""
    text = printable(text)
    if len(text) <= width:
        return text
    head = (width - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def _reading(detected: DetectedSource) -> Iterator[tuple[str, str]]:
    ingest, files = detected.ingest, detected.annotation_files
    yield "Format", f"{ingest['format']}: {detected.format.title}"
    if files:
        more = f" and {len(files) - 3:,} more" if len(files) > 3 else ""
        labels = ingest.get("labels", "")
        column = f", column {labels}" if isinstance(labels, str) else f", columns {', '.join(labels)}"
        column = column if labels else ""
        yield "Labels in", ", ".join(files[:3]) + more + column
    elif ingest["format"] == "folder":
        yield "Labels in", "the names of folders; there is no annotation file"
    folders = Counter(Path(image.file).parent.as_posix() for image in detected.source.images)
    places = ", ".join("the folder itself" if name == "." else f"{name}/" for name, _ in folders.most_common(3))
    more = ", ..." if len(folders) > 3 else ""
    on = f" on {detected.photos.place}" if detected.photos else ""
    yield "Photos", f"{len(detected.source.images):,} in {places}{more}{on}"
    columns = sorted({name for image in detected.source.images for name in image.slices} | {*ingest.get("slices", ())})
    if columns:
        yield "No classes", f"{'column' if len(columns) == 1 else 'columns'} {', '.join(columns)}"


def _splits(detected: DetectedSource) -> Iterator[tuple[str, str]]:
    sizes = Counter(image.split for image in detected.usable_images)
    named = ", ".join(f"{split} {sizes[split]:,}" for split in SPLITS if sizes[split])
    if sizes[""]:
        named += f"{', and ' if named else ''}{sizes['']:,} that the first run assigns"
    yield "Splits", named


def _unlabelled(detected: DetectedSource) -> Iterator[tuple[str, str]]:
    images = detected.source.images
    without = [image.file for image in images if not image.labels and not image.ignored]
    if not without:
        return
    meaning = meaning_of(detected.ingest.get("keep_unlabelled", True), len(without))
    size = f"{counted(len(without), 'photo')} ({_percent(len(without) / len(images))})"
    yield "No label", f"{size}, {meaning}: {_first(without)}"
    if len(detected.usable_images) == len(images):
        yield "", f"The recipe allows a split {_percent(max_unlabelled(detected))} of them (validate.max_unlabelled)"


def _left_out(unused: Sequence[str]) -> Iterator[tuple[str, str]]:
    if unused:
        kinds = Counter(Path(file).suffix.lower() for file in unused)
        suffixes = ", ".join(f"{count:,} {kind or 'without a suffix'}" for kind, count in kinds.most_common(5))
        yield "Left out", f"{counted(len(unused), 'file')} without labels, or no photos ({suffixes}): {_first(unused)}"


def _classes(detected: DetectedSource, width: int) -> Iterator[str]:
    """A line per class: name, number of photos, and the first photos."""
    classes = detected.source.classes
    photos: list[list[str]] = [[] for _ in classes]
    counts, ignored = Counter[int](), Counter[int]()
    for image in detected.source.images:
        ignored.update(image.ignored)
        counts.update(image.labels)
        for label in image.labels:
            if len(photos[label]) < EXAMPLES:
                photos[label].append(PurePosixPath(image.file).name)
    order = sorted(range(len(classes)), key=lambda i: (-counts[i], classes[i]))
    if len(order) > SHOWN:
        left = len(order) - SHOWN
        yield from (_class(classes[i], counts[i], ignored[i], photos[i], width) for i in order[: SHOWN - RAREST])
        yield f"  ... {left:,} more ..."
        order = order[-RAREST:]
    yield from (_class(classes[i], counts[i], ignored[i], photos[i], width) for i in order)


def _class(name: str, count: int, ignored: int, photos: list[str], width: int) -> str:
    column = max(12, width // 4)
    unsure = f" ({ignored:,} unsure)" if ignored else ""
    start = f"  {shorten(name, column):<{column}} {count:>7,}{unsure}"
    room = (width - len(start) - 2 * len(photos)) // max(1, len(photos))
    return f"{start}  {', '.join(shorten(photo, max(room, 8)) for photo in photos)}".rstrip()


def _wrapped(label: str, text: str, width: int) -> Iterator[str]:
    """Label and text in lines of at most ``width`` columns; long words are cut in the middle."""
    line, room = "", width - _LABEL
    for word in printable(text).split():
        word = shorten(word, room)
        if line and len(line) + 1 + len(word) > room:
            yield f"{label:<{_LABEL}}{line}"
            label, line = "", word
        else:
            line = f"{line} {word}".strip()
    yield f"{label:<{_LABEL}}{line}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(short_repr, names[:5])) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(short_repr, names[:EXAMPLES])) + (", ..." if len(names) > EXAMPLES else "")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.1g} %"
