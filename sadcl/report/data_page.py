"""Data report: content, outliers and drift of the data, in one file that opens offline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sadcl import files, layout
from sadcl.data.table import SPLITS, Table, read_table
from sadcl.data.validation import baseline, drift, frames
from sadcl.data.validation.baseline import MEASURES, Baseline
from sadcl.progress import track
from sadcl.report import data_plots, html
from sadcl.report.class_table import ClassGroup, ClassRow, group_by_name
from sadcl.report.data_photos import (
    MAX_PAIRS,
    MAX_SAMPLES,
    PhotoAlbum,
    Picture,
    outliers,
    samples,
    usable,
)
from sadcl.report.model_plots import MANY

MAX_SUSPECTS = 24
"""Most likely label errors in the page."""
UNITS = {"side": ", px", "brightness": ", 0 to 255"}


@dataclass(frozen=True)
class Pair:
    """Two similar photos, and how similar they are."""

    duplicate: Picture
    test: Picture
    caption: str


def write_page(root: Path, path: Path) -> str:
    """Render the data report of a project, with or without a trained model, and write it.

    Returns:
        Path and size as text.

    Raises:
        SadclError: a file is missing or damaged.
    """
    text = render(root)
    files.write_text(path, text)
    return f"{path} ({len(text) / 1e6:.1f} MB)"


def render(root: Path) -> str:
    """Render the data report from the outputs of the stages; the same files give the same page.

    Label errors are shown where their list exists, since it needs a trained model.

    Raises:
        SadclError: a file is missing or damaged.
    """
    table = read_table(root / layout.TABLE)
    validation = files.read_json(root / layout.VALIDATION)
    accepted = baseline.parse_baseline(files.read_json(root / layout.BASELINE, fix="Run `sadcl data accept`"))
    album, usable_photos = PhotoAlbum(root, table), usable(table)
    labels = baseline.present_labels(table)
    not_test = (table.frame["split"] != "test").to_numpy()
    order = np.argsort(-labels.sum(axis=0), kind="stable")
    order = order[labels.sum(axis=0)[order] > 0]
    frequent = order[: data_plots.MAX_HEATMAP]
    return html.environment().get_template("data.html").render(
        source=table.source,
        images={split: len(table.split(split)) for split in SPLITS},
        classes=len(table.classes),
        density=float(labels.sum() / max(len(labels), 1)),
        unusable=len(table.frame) - len(usable_photos),
        validation=validation,
        frequencies=data_plots.frequencies(table.classes, _percent(labels[not_test]), _percent(labels[~not_test])),
        class_groups=_class_groups(table.classes, labels, not_test),
        without_photos=[table.classes[j] for j in np.flatnonzero(~labels.any(axis=0))],
        co_occurrence=_co_occurrence(table.classes, labels, frequent),
        frequent=len(frequent),
        samples=_samples(table, usable_photos, order[:MAX_SAMPLES], album),
        more_samples=max(len(order) - MAX_SAMPLES, 0),
        outliers={
            kind: [_picture(usable_photos, row, caption, album) for row, caption in rows]
            for kind, rows in outliers(usable_photos)
        },
        **_look_alikes(table, usable_photos, album),
        **_drift(table, accepted),
        suspects=_suspicious_labels(root / layout.LABEL_ERRORS, album, usable_photos),
    )  # fmt: skip


def _class_groups(classes: Sequence[str], labels: np.ndarray, not_test: np.ndarray) -> list[ClassGroup]:
    """Table of all classes with photos in train and select, and in test; none where the plots show all classes."""
    if len(classes) <= MANY:
        return []
    counts = zip(*(labels[rows].sum(axis=0).tolist() for rows in (not_test, ~not_test)), strict=True)
    return group_by_name([
        ClassRow(name, (f"{others:,}", f"{test:,}")) for name, (others, test) in zip(classes, counts, strict=True)
    ])  # fmt: skip


def _co_occurrence(classes: Sequence[str], labels: np.ndarray, frequent: np.ndarray) -> tuple[str, float] | None:
    if not len(frequent):
        return None
    counts = baseline.co_occurrences(labels[:, frequent]).toarray()
    return data_plots.co_occurrence([classes[j] for j in frequent], counts)


def _percent(labels: np.ndarray) -> np.ndarray:
    return np.asarray(100 * labels.sum(axis=0) / max(len(labels), 1))


def _picture(frame: pd.DataFrame, row: int, caption: str, album: PhotoAlbum) -> Picture:
    return album.picture(frame["image_id"].iloc[row], frame["file"].iloc[row], caption)


def _samples(table: Table, usable_photos: pd.DataFrame, order: np.ndarray, album: PhotoAlbum) -> list[Picture]:
    chosen = track(list(samples(usable_photos, order)), "photos of the data report")
    return [_picture(usable_photos, row, table.classes[label], album) for label, row in chosen]


def _look_alikes(table: Table, usable_photos: pd.DataFrame, album: PhotoAlbum) -> dict[str, Any]:
    rows = {image_id: row for row, image_id in enumerate(usable_photos["image_id"])}
    pairs = []
    for pair in table.look_alikes[:MAX_PAIRS]:
        other, test = rows[pair.other], rows[pair.test]
        same = usable_photos["sha256"].iloc[other] == usable_photos["sha256"].iloc[test]
        caption = "the same file" if same else pair.transform or "nearly the same"
        learnt = _picture(usable_photos, other, f"in {usable_photos['split'].iloc[other]}", album)
        pairs.append(Pair(learnt, _picture(usable_photos, test, "in test", album), caption))
    seen, leaked = ({getattr(pair, name) for pair in table.look_alikes} for name in ("other", "test"))
    return {"pairs": pairs, "seen": len(seen), "leaked": len(leaked), "near": len(table.look_alikes)}


def _drift(table: Table, accepted: Baseline | None) -> dict[str, Any]:
    """Plots of distributions, compared with the accepted data where it has the same source, and an explanation."""
    sentence = "No data is accepted yet. Run sadcl data accept, and this section will show how later data differs."
    if accepted is not None and accepted.source not in (None, table.source):
        sentence, accepted = f"The accepted data has another source, {accepted.source}.", None
    elif accepted is not None:
        sentence = f"Compared with the {accepted.images:,} accepted photos."
        if accepted.measures is None:
            sentence += " The baseline has only their frequencies; run sadcl data accept to add the rest."
    spread: Mapping[str, drift.Distribution] = (accepted.measures if accepted is not None else None) or {}
    plots = {
        f"{caption[0].upper()}{caption[1:]}": data_plots.cumulative_shares(
            spread.get(name), drift.distribution(values), caption + UNITS.get(name, "")
        )
        for name, values in baseline.measures(table).items()
        for caption in [MEASURES[name]]
    }
    if accepted is not None:
        shares = frames.frequencies(table, accepted)
        pairs = frames.co_occurrences(table, accepted)
        comparisons = [
            ("Frequencies", "photos with the class", shares, "class"),
            ("Pairs", "overlap of two classes", pairs, "pair"),
        ]
        for title, caption, rows, column in comparisons:
            if len(rows):
                before, now = (100 * rows[when].to_numpy(float) for when in ("before", "now"))
                plots[title] = data_plots.before_and_after(
                    rows[column].tolist(), before, now, caption, title == "Frequencies"
                )
    return {"drift": plots, "drift_note": sentence}


def _suspicious_labels(path: Path, album: PhotoAlbum, usable_photos: pd.DataFrame) -> dict[str, Any] | None:
    """The first likely label errors with photos, and their number; None before a model was evaluated.

    The list may belong to an earlier table: photos that this table lacks are left out and counted.
    """
    if not path.exists():
        return None
    entries = html.rows(path, ("image", "file", "class", "given", "score", "verdict"), numbers=("score",))
    present = set(zip(usable_photos["image_id"], usable_photos["file"], strict=True))
    rows = [row for row in entries if (row["image"], row["file"]) in present]
    first = []
    for row in rows[:MAX_SUSPECTS]:
        caption = f"model: {100 * float(row['score']):.1f} %"
        first.append((row, album.picture(row["image"], row["file"], caption)))
    return {"first": first, "count": len(rows), "gone": len(entries) - len(rows)}
