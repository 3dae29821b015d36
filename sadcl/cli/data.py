"""Commands ``sadcl data ...``: sources of photos, and the data that people have accepted."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from sadcl.layout import RAW, SERVED
from sadcl.progress import hint, say

PANEL = "Data"
app = typer.Typer(help="Add, fetch, check and accept photos and labels.", no_args_is_help=True)


@app.command()
def scenes(seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 2307) -> None:
    """Generate the embedded data set in data/raw/scenes and track it with DVC."""
    from sadcl.data import synthetic

    say(synthetic.make_scenes(seed))
    hint("`sadcl recipe scenes`, then `dvc repro`.")


@app.command()
def add(
    photos: Annotated[Path, typer.Argument(help="A folder, or a file of labels next to its photos.", metavar="PATH")],
    name: Annotated[str, typer.Option(help="Name of the source, its recipe and its model.")],
    like: Annotated[str | None, typer.Option(help="Recipe to start from; the small one by default.")] = None,
) -> None:
    """Copy your photos and labels into the project, write a recipe, track both with DVC."""
    from sadcl.data.onboarding import add

    for line in add.add(photos, name, like):
        say(line)
    hint("`dvc repro` trains and judges a model; `sadcl data report` shows the data after the first stages.")


@app.command()
def accept() -> None:
    """Accept the present data as the baseline that later data is compared with."""
    from sadcl.data.validation import baseline

    say(baseline.accept_data())
    hint("Commit data/accepted.json.")


@app.command()
def report(out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("data_report.html")) -> None:
    """Write the data report, whether the data passed validation or not."""
    from sadcl.report import data_page

    say(data_page.write_page(Path(), out))


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="coco2014, coco2017, voc2007, voc2012, nuswide (lists only) or vg500.")],
    mirror: Annotated[str, typer.Option("--from", help="Folder or address that has the archives.")] = "",
    stall: Annotated[float, typer.Option(help="Seconds without a byte until a connection is dead.", min=0.1)] = 60,
) -> None:
    """Download a public data set, check and unpack it, track what training needs with DVC."""
    from sadcl.data.download import datasets, fetch, http

    say(fetch.fetch(datasets.find(name), mirror=mirror, patience=http.RetryPolicy(stall=stall)))
    hint("`dvc repro` runs the pipeline on it.")


@app.command()
def subset(
    ids: Annotated[Path, typer.Option(help="CSV with the columns coco_2014_split and image_id.")],
    source: Annotated[Path, typer.Option(help="The full COCO.")] = RAW / "coco2014",
    name: Annotated[str, typer.Option(help="Folder in data/raw to write.")] = "coco-mini",
) -> None:
    """Cut a small COCO out of the full one and track it with DVC."""
    from sadcl.data.download import coco_subset

    say(coco_subset.cut(ids, source, name))


@app.command("voc-submission")
def voc_submission(
    images: Annotated[Path, typer.Argument(help="Image list: VOCdevkit/VOC2012/ImageSets/Main/test.txt.")],
    photos: Annotated[Path, typer.Argument(help="Folder of photos: VOCdevkit/VOC2012/JPEGImages.")],
    model: Annotated[str, typer.Option(help="Folder, file, or models:/NAME@ALIAS.")] = str(SERVED),
    out: Annotated[Path, typer.Option(help="Folder to write a file a class to.")] = Path("voc-submission"),
    competition: Annotated[
        Literal["comp1", "comp2"], typer.Option(help="comp1: trained on VOC only; comp2: on other data too.")
    ] = "comp2",
) -> None:
    """Score VOC 2012's test photos and write files for its evaluation server."""
    from sadcl.evaluation import voc_submission
    from sadcl.registry import load

    say(voc_submission.write_submission(load.load(model), images, photos, out, competition))
