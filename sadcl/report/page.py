"""The page that a reviewer reads: verdict, figures, plots, photos; one file that opens offline."""

import base64
import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from sadcl import files, params
from sadcl.data import photos
from sadcl.data.shards import Shards
from sadcl.evaluation import scores as score_files
from sadcl.evaluation.scores import Scores
from sadcl.model import tagger
from sadcl.report import plots
from sadcl.report.attention import overlay

FIGURES = ("mAP", "CP", "CR", "CF1", "CF1_harmonic", "OP", "OR", "OF1")
SHOWN = 6
"""Photos in the row of the best and in that of the worst."""
SIDE = 150


@dataclass(frozen=True)
class Shown:
    """A photo on the page: its pictures as data addresses, its labels, how well it went."""

    image_id: str
    picture: str
    true: list[tuple[str, float]]
    wrong: list[tuple[str, float]]
    maps: list[tuple[str, str]]


def render(root: Path, settings: params.Gate) -> str:
    """Read what the stages wrote under ``root`` and render the page.

    Raises:
        SadclError: a file is missing or damaged.
    """
    reports = root / "reports"
    metrics, verdict = files.read_json(reports / "metrics.json"), files.read_json(reports / "verdict.json")
    found = score_files.read(reports / "scores.parquet")
    rival = score_files.read(reports / "champion_scores.parquet")
    environment = Environment(loader=PackageLoader("sadcl.report"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("report.html").render(
        verdict=verdict,
        metrics=metrics,
        validation=files.read_json(reports / "validation.json"),
        figures=FIGURES,
        columns=_columns(metrics, rival, settings),
        plots={
            "per_class": plots.per_class(_rows(reports / "plots/per_class.csv")),
            "precision_recall": plots.precision_recall(_rows(reports / "plots/precision_recall.csv")),
            "stage1": plots.training(_rows(root / "models/pretrain/history.csv")),
            "stage2": plots.training(_rows(root / "models/train/history.csv")),
        },
        photos=_photos(found, Shards(root / "data/shards/test"), tagger.load(root / "models/train")),
        settings=settings,
    )


def _columns(metrics: dict[str, Any], rival: Scores, settings: params.Gate) -> list[tuple[str, dict[str, float]]]:
    """Name and figures of each column: ours, SARL alone, the champion, the published ones."""
    columns = [("SADCL", metrics["sadcl"]), ("SARL alone", metrics["sarl"])]
    if len(rival):
        columns.append(("Champion", dict(rival.figures("champion", metrics["threshold"]))))
    if settings.published is not None:
        columns.append((settings.published.name, settings.published.figures))
    return columns


def _photos(found: Scores, test: Shards, model: tagger.Tagger) -> dict[str, list[Shown]]:
    """The photos that went best and worst, by the mean log-loss over their labels."""
    probable = found.probabilities("sadcl")
    right = np.where(found.targets, probable, 1 - probable).clip(1e-9)
    loss = -(np.log(right) * ~found.ignored).mean(1)
    labelled = np.flatnonzero(found.targets.any(1))
    order = labelled[np.argsort(loss[labelled], kind="stable")]
    row = {image_id: i for i, image_id in enumerate(test.ids)}
    return {
        name: [_shown(found, i, test.jpeg(row[found.ids[i]]), probable[i], model) for i in chosen]
        for name, chosen in (("worst", order[::-1][:SHOWN]), ("best", order[:SHOWN]))
    }


def _shown(found: Scores, i: int, encoded: bytes, probable: np.ndarray, model: tagger.Tagger) -> Shown:
    image = photos.decode(encoded, where=f"image {found.ids[i]}")
    maps = model.attention(image)
    image.thumbnail((SIDE, SIDE))
    present = [j for j in np.argsort(-probable) if found.targets[i, j]]
    wrong = [j for j in np.argsort(-probable) if probable[j] > model.thresholds[j] and not found.targets[i, j]]
    named = [*present[:4], *wrong[:2]]
    return Shown(
        found.ids[i],
        _address(image),
        [(found.classes[j], float(probable[j])) for j in present],
        [(found.classes[j], float(probable[j])) for j in wrong],
        [(found.classes[j], _address(overlay(image, maps[j]))) for j in named],
    )


def _address(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
