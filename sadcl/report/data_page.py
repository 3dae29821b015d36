"""The page about the data: what is in it, what stands out, what moved; one file that opens offline."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sadcl import files
from sadcl.data import table
from sadcl.data.table import SPLITS, Table
from sadcl.data.validation import baseline, drift
from sadcl.data.validation import frames as frames
from sadcl.data.validation.baseline import MEASURES, Baseline
from sadcl.progress import track
from sadcl.report import data_plots, html
from sadcl.report.data_photos import PAIRS, Album, Picture, near_duplicates, outliers, samples, usable
from sadcl.report.data_photos import SAMPLES as MOST_SAMPLES

SUSPECTS = 24
"""Labels that are probably wrong or missing, with their photos."""
UNITS = {"side": ", px", "brightness": ", 0 to 255"}


@dataclass(frozen=True)
class Pair:
    """Two photos that look the same, and how alike they are."""

    ours: Picture
    test: Picture
    words: str


def write_page(root: Path, path: Path) -> str:
    """Render the page of a project, with or without a trained model, and write it.

    Returns:
        The file and its size, for people.

    Raises:
        SadclError: as ``render``.
    """
    text = render(root)
    files.write_text(path, text)
    return f"{path} ({len(text) / 1e6:.1f} MB)"


def render(root: Path) -> str:
    """Read what the stages wrote under ``root`` and render the page; the same files give the same page.

    A list of label errors is shown where there is one: it needs a trained model, and all else does not.

    Raises:
        SadclError: a file is missing or damaged.
    """
    found = table.read_table(root / "data/table/annotations.parquet")
    validation = files.read_json(root / "reports/validation.json")
    before = baseline.parse_baseline(files.read_json(root / "data/accepted.json", fix="Run `sadcl data accept`"))
    album, shown = Album(root, found), usable(found)
    labels = baseline.present(found)
    learnt = (found.frame["split"] != "test").to_numpy()
    order = np.argsort(-labels.sum(axis=0), kind="stable")
    order = order[labels.sum(axis=0)[order] > 0]
    crowd = order[: data_plots.CROWD]
    return html.environment().get_template("data.html").render(
        source=found.source,
        images={split: len(found.split(split)) for split in SPLITS},
        classes=len(found.classes),
        density=float(labels.sum() / max(len(labels), 1)),
        unusable=len(found.frame) - len(shown),
        validation=validation,
        frequencies=data_plots.frequencies(found.classes, _percent(labels[learnt]), _percent(labels[~learnt])),
        nowhere=[found.classes[j] for j in np.flatnonzero(~labels.any(axis=0))],
        together=data_plots.together([found.classes[j] for j in crowd], baseline.together(labels[:, crowd]))
        if len(crowd) else None,
        crowd=len(crowd),
        samples=_samples(found, shown, order[:MOST_SAMPLES], album),
        more_samples=max(len(order) - MOST_SAMPLES, 0),
        outliers={name: [_picture(shown, *each, album) for each in rows] for name, rows in outliers(shown)},
        **_pairs(shown, album),
        **_drift(found, before),
        suspects=_suspects(root / "reports/label_errors.csv", album, shown),
    )  # fmt: skip


def _percent(labels: np.ndarray) -> np.ndarray:
    return np.asarray(100 * labels.sum(axis=0) / max(len(labels), 1))


def _picture(frame: pd.DataFrame, row: int, words: str, album: Album) -> Picture:
    return album.picture(frame["image_id"].iloc[row], frame["file"].iloc[row], words)


def _samples(found: Table, shown: pd.DataFrame, order: np.ndarray, album: Album) -> list[Picture]:
    chosen = track(list(samples(shown, order)), "photos of the data report")
    return [_picture(shown, row, found.classes[label], album) for label, row in chosen]


def _pairs(shown: pd.DataFrame, album: Album) -> dict[str, Any]:
    near = near_duplicates(shown)
    pairs = [
        Pair(
            _picture(shown, ours, f"in {shown['split'].iloc[ours]}", album),
            _picture(shown, test, "in test", album),
            "the same file"
            if shown["sha256"].iloc[ours] == shown["sha256"].iloc[test]
            else f"their hashes differ in {apart} of 64 bits",
        )
        for ours, test, apart in near[:PAIRS]
    ]
    return {"pairs": pairs, "near": len(near)}


def _drift(found: Table, before: Baseline | None) -> dict[str, Any]:
    """Plots of what moved, where something was accepted for this source; else how it is."""
    why = "No data was accepted yet; once it is (sadcl data accept), what comes later is shown beside it."
    if before is not None and before.source not in (None, found.source):
        why, before = f"The accepted data is that of another source, {before.source}.", None
    elif before is not None:
        why = f"Against the {before.images:,} photos that were accepted last."
        if before.measures is None:
            why += " Only their frequencies were noted; sadcl data accept notes all of this."
    spread: Mapping[str, drift.Distribution] = (before.measures if before is not None else None) or {}
    plots = {
        f"{words[0].upper()}{words[1:]}": data_plots.spread(
            spread.get(name), drift.distribution(values), words + UNITS.get(name, "")
        )
        for name, values in baseline.measures(found).items()
        for words in [MEASURES[name]]
    }
    if before is not None:
        shares = frames.frequencies(found, before)
        pairs = frames.together(found, before)
        both = [
            ("Frequencies", "photos with a class", shares, "class"),
            ("Pairs", "overlap of two classes", pairs, "pair"),
        ]
        for title, words, rows, column in both:
            if len(rows):
                was, now = (100 * rows[when].to_numpy(float) for when in ("before", "now"))
                plots[title] = data_plots.moved(rows[column].tolist(), was, now, words, title == "Frequencies")
    return {"drift": plots, "against": why}


def _suspects(path: Path, album: Album, shown: pd.DataFrame) -> dict[str, Any] | None:
    """The first of the list with photos, and how long it is; None where no model was judged yet.

    The list may be of an earlier table: what is no longer in this one is left out, and counted.
    """
    if not path.exists():
        return None
    listed, known = html.rows(path), set(zip(shown["image_id"], shown["file"], strict=True))
    rows = [row for row in listed if (row["image"], row["file"]) in known]
    first = []
    for row in rows[:SUSPECTS]:
        words = f"model: {100 * float(row['score']):.1f} %"
        first.append((row, album.picture(row["image"], row["file"], words)))
    return {"first": first, "count": len(rows), "gone": len(listed) - len(rows)}
