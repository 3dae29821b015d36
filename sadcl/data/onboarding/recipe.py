"""Recipe for the user's own photos, with bounds computed from them."""

from collections import Counter
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

from sadcl import params, pipeline
from sadcl.data.onboarding.detect import DetectedSource
from sadcl.data.sources.text import short_repr
from sadcl.names import counted

BASE = pipeline.STARTER / "own.yaml"
MIN_STEPS = 8
"""Least number of batches per epoch: with few photos, an epoch would otherwise be a single step."""


def completed(detected: DetectedSource, root: Path, like: str | None) -> DetectedSource:
    """A source whose settings say what photos without labels mean, by the recipe to start from if by nothing else.

    Raises:
        SadclError: ``like`` is missing or invalid.
    """
    base = params.parse(params.read_settings(_base(root, like)), where=_base(root, like))
    return replace(detected, ingest={"keep_unlabelled": base.ingest.keep_unlabelled, **detected.ingest})


def _base(root: Path, like: str | None) -> Path:
    return BASE if like is None else params.recipe(like, root)


def recipe(name: str, detected: DetectedSource, root: Path, like: str | None) -> str:
    """Text of a recipe for a source.

    Args:
        name: of source and registered model.
        detected: the source, with settings that ``completed`` has completed.
        root: the project's folder.
        like: recipe to start from; a small one by default.

    Raises:
        SadclError: ``like`` is missing or invalid.
    """
    from ruamel.yaml import YAML
    from yaml import safe_load as load

    base = _base(root, like)
    params.parse(params.read_settings(base), where=base)
    yaml = YAML()
    yaml.width = 120
    yaml.preserve_quotes = True
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    raw: Any = yaml.load(base.read_text(encoding="utf-8"))
    share = raw["ingest"].get("select_fraction", 0.2)
    raw["ingest"] = {
        "source": _quoted(name),
        **_quoted(detected.ingest),
        "select_fraction": share if 0 < share < 0.5 else 0.2,
        "keep_unlabelled": detected.ingest.get("keep_unlabelled", True),
        "max_pixels": raw["ingest"].get("max_pixels", 100_000_000),
    }
    raw["validate"]["min_positives"] = _min_positives(detected, raw["ingest"]["select_fraction"])
    raw["validate"]["max_unlabelled"] = max_unlabelled(detected)
    for stage in ("pretrain", "train"):
        raw[stage]["batch"] = min(raw[stage]["batch"], max(2, _training_photos(detected, raw) // MIN_STEPS))
    raw["gate"] = {"rules": _rules(detected), "published": None}
    raw["register"]["name"] = _quoted(name)
    raw.yaml_set_start_comment(_head(name, detected, like))
    out = StringIO()
    yaml.dump(raw, out)
    text = out.getvalue()
    params.parse(load(text), where=base)
    return text


def _quoted(value: Any) -> Any:
    """Copy of a value with quotes around strings, which YAML may read as another type (`no`, `1e3`)."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, dict):
        return {key: _quoted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_quoted(inner) for inner in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) else value


def _min_positives(detected: DetectedSource, share: float) -> dict[str, int]:
    """Half the photos of the rarest class in each split, rounded down: detects a loss of photos, tolerates chance."""
    shares = {"train": 1 - 2 * share, "select": share, "test": share}
    counts = {split: _counts(detected, split) for split in ("", *shares)}
    rarest = {split: min(photos) for split, photos in counts.items() if split}
    if not has_splits(detected):
        return {split: int(min(counts[""]) * fraction / 2) for split, fraction in shares.items()}
    if not any(image.split == "select" for image in detected.usable_images):
        rarest["select"], rarest["train"] = int(rarest["train"] * share), int(rarest["train"] * (1 - share))
    return {split: rarest[split] // 2 for split in shares}


def _training_photos(detected: DetectedSource, raw: Any) -> int:
    train = sum(image.split == "train" for image in detected.usable_images)
    if has_splits(detected):
        return train
    return int(len(detected.usable_images) * (1 - 2 * raw["ingest"]["select_fraction"]))


def _counts(detected: DetectedSource, split: str) -> list[int]:
    """Number of photos of each class in a split."""
    counts = Counter(label for image in detected.usable_images if image.split == split for label in image.labels)
    return [counts[i] for i in range(len(detected.source.classes))]


def has_splits(detected: DetectedSource) -> bool:
    """Whether the source names the split of every photo."""
    return all(image.split for image in detected.usable_images)


def max_unlabelled(detected: DetectedSource) -> float:
    """Bound of `validate.max_unlabelled`: the largest share of a split now, and a tenth."""
    sizes = Counter(image.split for image in detected.usable_images)
    without = Counter(image.split for image in detected.usable_images if not image.labels)
    return min(1.0, round(max((without[split] / size for split, size in sizes.items()), default=0.0) + 0.1, 2))


def _rules(detected: DetectedSource) -> list[dict[str, Any]]:
    """Gate rules: the first model has to beat guessing, and a later one must not be worse than the champion."""
    labels = sum(len(image.labels) for image in detected.usable_images)
    guessing = 100 * labels / (len(detected.usable_images) * len(detected.source.classes))
    return [
        {"kind": "absolute", "metric": "mAP", "at_least": round(guessing, 1), "by": "value"},
        {"kind": "relative", "metric": "mAP", "margin": 2.0},
        {"kind": "relative", "metric": "in_use.OF1", "margin": 3.0},
        {"kind": "per class", "margin": 10.0},
    ]


def _head(name: str, detected: DetectedSource, like: str | None) -> str:
    counts = Counter(label for image in detected.source.images for label in image.labels)
    rarest = min(range(len(detected.source.classes)), key=lambda i: counts[i])
    others = f"are those of the recipe {like}" if like else "suit a small computer"
    return "\n".join(
        [
            f"{name}: {counted(len(detected.usable_images), 'photo')} of "
            f"{counted(len(detected.source.classes), 'class', 'classes')}, read as "
            f"{detected.ingest['format']}; the other settings {others}.",
            "",
            f"The rarest class has {counted(counts[rarest], 'photo')}: {short_repr(detected.source.classes[rarest])}.",
            "validate: min_positives is half of what the rarest class has in each split,",
            f"max_unlabelled ({max_unlabelled(detected)}) what a split has without labels now, and a tenth; lower it",
            "if photos are not labelled yet.",
            "gate: at_least is the mAP of guessing. Raise it when you know the mAP of your model.",
            "Cost: not yet measured. Expected: not yet measured.",
        ]
    )
