"""People's own photos brought into a project: looked at, copied, described by a recipe, tracked by DVC.

They are copied and not linked: DVC makes what it keeps read-only, and a link would make the originals so, too.
"""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from sadcl import files, graph, params
from sadcl.data.recognition import Found, recognise
from sadcl.errors import SadclError
from sadcl.progress import track

RAW = Path("data/raw")
BASE = graph.STARTER / "own.yaml"
SPARE = 64_000_000
"""Bytes that stay free on the disk."""
STEPS = 8
"""Batches an epoch, at least; few photos would otherwise make one step of it."""
ABOUT = ("README.md", "dataset_info.json")
"""Files beside a list of labels that may hold the names of its classes."""
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]*$")


def add(given: Path, name: str, like: str | None = None, root: Path = Path(".")) -> list[str]:
    """Bring photos with their labels into a project, which an empty folder becomes.

    Args:
        given: a folder, or a file of labels beside its photos; it is left as it is.
        name: of source, recipe and registered model.
        like: the recipe that the new one is made from; by default a small one.
        root: the project's folder.

    Returns:
        What was done and what comes next, a sentence a line.

    Raises:
        SadclError: the name is taken, the source is not whole, or there is no room. Nothing was changed.
    """
    if not _NAME.match(name):
        fix = "Use letters, digits, - and _, and begin with a letter or digit"
        raise SadclError(f"{name!r} can't be the name of a source", where="--name", fix=fix)
    folder, recipe = root / RAW / name, root / params.RECIPES / f"{name}.yaml"
    _refuse_taken((folder, folder.with_name(f"{name}.dvc"), recipe, folder.with_name(f"{name}.splits.csv")))
    found = recognise(given)
    text = _recipe(name, found, root, like)
    copied = _files(found)
    _require_room(copied, found.root, root)
    said = [line for line in [graph.start(root, besides=[given, found.root])] if line]
    graph.require_project(root)
    fresh = not (root / params.FILE).exists()
    try:
        _copy(copied, found.root, folder)
        files.write_text(recipe, text)
        if fresh:
            files.write_text(root / params.FILE, text)  # DVC can't read the graph without it
        graph.add(folder)
    except BaseException:
        for path in (recipe, *([root / params.FILE] if fresh else [])):
            path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return [*said, *_sentences(name, found, folder, fresh)]


def _refuse_taken(places: tuple[Path, ...]) -> None:
    for place in places:
        if place.exists() or place.is_symlink():
            raise SadclError("This is there already", where=place, fix="Take another name; nothing is overwritten")


def _files(found: Found) -> list[str]:
    """All that is copied, relative to the source's folder."""
    named = {image.file for image in found.source.images} | set(found.ingest["annotations"].values())
    beside = {(found.root / name).parent / about for name in found.ingest["annotations"].values() for about in ABOUT}
    for path in found.root.rglob("*") if found.whole else beside:
        inner = path.relative_to(found.root)
        if path.is_file() and not any(part.startswith(".") for part in inner.parts):
            named.add(inner.as_posix())
    return sorted(named)


def _require_room(names: list[str], source: Path, root: Path) -> None:
    need, free = sum((source / name).stat().st_size for name in names), shutil.disk_usage(root).free
    if need + SPARE > free:
        raise SadclError(
            f"The photos take {need / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free",
            where=root.resolve(),
            fix="Free some space (`sadcl clean`)",
        )


def _copy(names: list[str], source: Path, folder: Path) -> None:
    with files.writing_directory(folder) as beside:
        for name in track(names, "copying", unit="files"):
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(source / name, beside / name)
            except (PermissionError, FileNotFoundError) as error:
                raise SadclError(f"The file can't be read: {error.strerror}", where=source / name) from None


def _recipe(name: str, found: Found, root: Path, like: str | None) -> str:
    from ruamel.yaml import YAML
    from yaml import safe_load as load

    base = BASE if like is None else params.recipe(like, root)
    params.parse(params.read(base), where=base)
    yaml = YAML()
    yaml.width = 120
    yaml.preserve_quotes = True
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    raw: Any = yaml.load(base.read_text(encoding="utf-8"))
    share = raw["ingest"].get("select_fraction", 0.2)
    raw["ingest"] = {
        "source": _quoted(name),
        **_quoted(found.ingest),
        "select_fraction": share if 0 < share < 0.5 else 0.2,
        "keep_unlabelled": raw["ingest"].get("keep_unlabelled", True),
        "max_pixels": raw["ingest"].get("max_pixels", 100_000_000),
    }
    raw["validate"]["min_positives"] = _min_positives(found, raw["ingest"]["select_fraction"])
    raw["validate"]["max_unlabelled"] = min(1.0, round(_most_unlabelled(found) + 0.1, 2))
    for stage in ("pretrain", "train"):
        raw[stage]["batch"] = min(raw[stage]["batch"], max(2, _to_train_on(found, raw) // STEPS))
    raw["gate"] = {"rules": _rules(found), "published": None}
    raw["register"]["name"] = _quoted(name)
    raw.yaml_set_start_comment(_head(name, found, like))
    out = StringIO()
    yaml.dump(raw, out)
    text = out.getvalue()
    params.parse(load(text), where=base)
    return text


def _quoted(value: Any) -> Any:
    """The same with quotes around words that YAML would take for something else (`no`, `1e3`)."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, dict):
        return {key: _quoted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_quoted(inner) for inner in value]
    return DoubleQuotedScalarString(value)


def _min_positives(found: Found, share: float) -> dict[str, int]:
    """Half of what the rarest class has in each split, rounded down: a loss is noticed, chance is not."""
    shares = {"train": 1 - 2 * share, "select": share, "test": share}
    counts = {split: _counts(found, split) for split in ("", *shares)}
    own = {split: min(those) for split, those in counts.items() if split}
    if not _has_splits(found):
        return {split: int(min(counts[""]) * part / 2) for split, part in shares.items()}
    if not any(image.split == "select" for image in found.source.images):
        own["select"], own["train"] = int(own["train"] * share), int(own["train"] * (1 - share))
    return {split: own[split] // 2 for split in shares}


def _to_train_on(found: Found, raw: Any) -> int:
    own = sum(image.split == "train" for image in found.source.images)
    return own if _has_splits(found) else int(len(found.source.images) * (1 - 2 * raw["ingest"]["select_fraction"]))


def _counts(found: Found, split: str) -> list[int]:
    """Photos of each class."""
    counts = Counter(label for image in found.source.images if image.split == split for label in image.labels)
    return [counts[i] for i in range(len(found.source.classes))]


def _has_splits(found: Found) -> bool:
    return all(image.split for image in found.source.images)


def _most_unlabelled(found: Found) -> float:
    sizes = Counter(image.split for image in found.source.images)
    without = Counter(image.split for image in found.source.images if not image.labels)
    return max(without[split] / size for split, size in sizes.items())


def _rules(found: Found) -> list[dict[str, Any]]:
    """Rules that ask the first model for more than guessing, and every later one to be no worse than the champion."""
    labels = sum(len(image.labels) for image in found.source.images)
    guessing = 100 * labels / (len(found.source.images) * len(found.source.classes))
    return [
        {"kind": "absolute", "metric": "mAP", "at_least": round(guessing, 1), "by": "value"},
        {"kind": "relative", "metric": "mAP", "margin": 2.0},
        {"kind": "relative", "metric": "in_use.OF1", "margin": 3.0},
        {"kind": "per class", "margin": 10.0},
    ]


def _head(name: str, found: Found, like: str | None) -> str:
    counts = Counter(label for image in found.source.images for label in image.labels)
    rarest = min(range(len(found.source.classes)), key=lambda i: counts[i])
    return "\n".join(
        [
            f"{name}: {len(found.source.images):,} photos of {len(found.source.classes)} classes, read as "
            f"{found.ingest['format']}; the rest is {f'the recipe {like}' if like else 'for a small computer'}.",
            "",
            f"The rarest class has {counts[rarest]:,} photos: {found.source.classes[rarest]!a}.",
            "validate: half of what the rarest class has now in each split, and the share of photos without a label.",
            "gate: at_least is what guessing reaches. Raise it when you know what your model can do.",
            "Cost: not yet measured. Expected: not yet measured.",
        ]
    )


def _sentences(name: str, found: Found, folder: Path, fresh: bool) -> Iterator[str]:
    images, classes = found.source.images, found.source.classes
    size = f"{len(images):,} photos of {len(classes)} class{'' if len(classes) == 1 else 'es'}"
    yield f"{size}, read as {found.ingest['format']}, are in {folder} now, and tracked by DVC"
    if not _has_splits(found):
        yield f"The first run deals them out to train, select and test, and keeps that in {folder}.splits.csv"
    yield f"The recipe is recipes/{name}.yaml{', and params.yaml is a copy of it' if fresh else ''}"
    yield "Next:"
    yield from [] if fresh else [f"    sadcl recipe {name}"]
    yield "    dvc repro"
    yield "    sadcl register"
    yield '    sadcl promote 1 --first --reason "..."'
