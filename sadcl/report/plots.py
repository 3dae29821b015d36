"""Plots of the report, as SVG that stands in the page and takes its colours."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

COLOURS = ("#3b6fd4", "#d9822b", "#2f9e77", "#b04a8f", "#7a7a7a")
STYLE: Any = {
    "svg.hashsalt": "sadcl",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 2,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def per_class(rows: Sequence[Mapping[str, str]]) -> str:
    """Average precision a class, best first: SADCL as bars, SARL alone as marks."""
    ordered = sorted(rows, key=lambda row: float(row["AP"]))
    names = [row["class"] for row in ordered]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6, 0.9 + 0.26 * len(names)))
        axes.barh(names, [float(row["AP"]) for row in ordered], color=COLOURS[0], height=0.7, label="SADCL")
        axes.plot(
            [float(row["AP_sarl"]) for row in ordered], names, "|", color=COLOURS[1], ms=12, mew=3, label="SARL alone"
        )
        axes.set_xlim(0, 100)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlabel("average precision, %")
        axes.grid(axis="y", visible=False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1 + 0.5 / (0.26 * len(names) + 0.9)), ncols=2)
        return _svg(figure, "Average precision of each class")


def precision_recall(rows: Sequence[Mapping[str, str]]) -> str:
    """Precision over recall, all labels together."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6, 4))
        axes.plot([float(r["recall"]) for r in rows], [float(r["precision"]) for r in rows], color=COLOURS[0])
        axes.set(xlim=(0, 100), ylim=(0, 102), xlabel="recall, %", ylabel="precision, %")
        return _svg(figure, "Precision and recall")


def training(rows: Sequence[Mapping[str, str]]) -> str:
    """Select mAP of raw and averaged weights, and the parts of the loss, over epochs."""
    epochs = [int(float(row["epoch"])) for row in rows]
    with plt.rc_context(STYLE):
        figure, (above, below) = plt.subplots(2, 1, figsize=(6, 5.2), sharex=True)
        for name, label, colour in (("raw", "raw weights", COLOURS[1]), ("ema", "averaged", COLOURS[0])):
            above.plot(
                epochs, [float(row[f"select_mAP_{name}"]) for row in rows], "o-", ms=4, color=colour, label=label
            )
        above.set_ylabel("select mAP, %")
        above.legend()
        for part, colour in zip(("classification", "sample_to_sample", "prototype_to_sample"), COLOURS, strict=False):
            values = [float(row[part]) for row in rows]
            if any(values):
                below.plot(epochs, values, "o-", ms=4, color=colour, label=part.replace("_", " "))
        below.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
        below.xaxis.get_major_locator().set_params(integer=True)
        below.legend()
        return _svg(figure, "Training")


def _svg(figure: Figure, title: str) -> str:
    out = io.StringIO()
    metadata: dict[str, Any] = {"Date": None, "Creator": None, "Title": title}
    figure.savefig(out, format="svg", metadata=metadata, transparent=True)
    plt.close(figure)
    svg = out.getvalue()[out.getvalue().index("<svg") :]
    # black ink becomes the page's own, so that the plot stays readable on a dark page
    svg = re.sub(r"(fill|stroke): #000000", r"\1: currentColor", svg)
    svg = re.sub(
        r'<svg [^>]*viewBox="([^"]+)"',
        r'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" viewBox="\1"',
        svg,
        count=1,
    )
    return re.sub(r'(<svg [^>]*?)( version="1.1")[^>]*>', r"\1>", svg, count=1)
