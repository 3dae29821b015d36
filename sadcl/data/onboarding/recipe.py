"""The recipe for people's own photos, with bounds that follow from what they are."""

from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

from sadcl import params, pipeline
from sadcl.data.onboarding.detect import DetectedSource

BASE = pipeline.STARTER / "own.yaml"
STEPS = 8
"""Batches an epoch, at least; few photos would otherwise make one step of it."""


def recipe(name: str, found: DetectedSource, root: Path, like: str | None) -> str:
    """The text of a recipe for a source, made from ``like`` or from a small one."""
    from ruamel.yaml import YAML
    from yaml import safe_load as load

    base = BASE if like is None else params.recipe(like, root)
    params.parse(params.read_settings(base), where=base)
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


def _min_positives(found: DetectedSource, share: float) -> dict[str, int]:
    """Half of what the rarest class has in each split, rounded down: a loss is noticed, chance is not."""
    shares = {"train": 1 - 2 * share, "select": share, "test": share}
    counts = {split: _counts(found, split) for split in ("", *shares)}
    own = {split: min(those) for split, those in counts.items() if split}
    if not has_splits(found):
        return {split: int(min(counts[""]) * part / 2) for split, part in shares.items()}
    if not any(image.split == "select" for image in found.source.images):
        own["select"], own["train"] = int(own["train"] * share), int(own["train"] * (1 - share))
    return {split: own[split] // 2 for split in shares}


def _to_train_on(found: DetectedSource, raw: Any) -> int:
    own = sum(image.split == "train" for image in found.source.images)
    return own if has_splits(found) else int(len(found.source.images) * (1 - 2 * raw["ingest"]["select_fraction"]))


def _counts(found: DetectedSource, split: str) -> list[int]:
    """Photos of each class."""
    counts = Counter(label for image in found.source.images if image.split == split for label in image.labels)
    return [counts[i] for i in range(len(found.source.classes))]


def has_splits(found: DetectedSource) -> bool:
    """Whether the source itself says of each photo in which split it is."""
    return all(image.split for image in found.source.images)


def _most_unlabelled(found: DetectedSource) -> float:
    sizes = Counter(image.split for image in found.source.images)
    without = Counter(image.split for image in found.source.images if not image.labels)
    return max(without[split] / size for split, size in sizes.items())


def _rules(found: DetectedSource) -> list[dict[str, Any]]:
    """Rules that ask the first model for more than guessing, and every later one to be no worse than the champion."""
    labels = sum(len(image.labels) for image in found.source.images)
    guessing = 100 * labels / (len(found.source.images) * len(found.source.classes))
    return [
        {"kind": "absolute", "metric": "mAP", "at_least": round(guessing, 1), "by": "value"},
        {"kind": "relative", "metric": "mAP", "margin": 2.0},
        {"kind": "relative", "metric": "in_use.OF1", "margin": 3.0},
        {"kind": "per class", "margin": 10.0},
    ]


def _head(name: str, found: DetectedSource, like: str | None) -> str:
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
