"""The command ``sadcl data``: sources of photos, and what people have accepted."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from sadcl.progress import say

data = typer.Typer(help="Sources of photos, and what people have accepted.", no_args_is_help=True)


@data.command()
def scenes(seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 2307) -> None:
    """Make the embedded data set under data/raw/scenes and track it with DVC."""
    from sadcl.project.doctor import make_scenes

    say(make_scenes(seed))


@data.command()
def add(
    photos: Annotated[Path, typer.Argument(help="A folder, or a file of labels beside its photos.", metavar="PATH")],
    name: Annotated[str, typer.Option(help="Of the source, its recipe and its model.")],
    like: Annotated[str | None, typer.Option(help="Make the recipe from this one, not from the small one.")] = None,
) -> None:
    """Bring your own photos in: copied, with a recipe, tracked by DVC; an empty folder becomes a project."""
    from sadcl.data.onboarding.add import add as bring

    for line in bring(photos, name, like):
        say(line)


@data.command()
def accept() -> None:
    """Make the present data what later data is compared with."""
    from sadcl.project.doctor import accept_data

    say(accept_data())


@data.command()
def report(out: Annotated[Path, typer.Option(help="An HTML file.")] = Path("data_report.html")) -> None:
    """Write the page about the data as it is now, whether it passed validation or not."""
    from sadcl.stages.data_report import write

    say(write(out))


@data.command()
def fetch(
    name: Annotated[str, typer.Argument(help="coco2014, coco2017, voc2007, voc2012, nuswide (lists only) or vg500.")],
    mirror: Annotated[str, typer.Option("--from", help="A folder, or an address, that has the archives.")] = "",
    stall: Annotated[
        float, typer.Option(help="Seconds without a byte after which a connection is dead.", min=0.1)
    ] = 60,
) -> None:
    """Get a set's original archives, check and unpack them, and track what training needs with DVC."""
    from sadcl.data.download import datasets
    from sadcl.data.download.fetch import fetch as get
    from sadcl.data.download.http import Patience

    say(get(datasets.find(name), mirror=mirror, patience=Patience(stall=stall)))


@data.command()
def subset(
    ids: Annotated[Path, typer.Option(help="CSV with the columns coco_2014_split and image_id.")],
    source: Annotated[Path, typer.Option(help="The full COCO.")] = Path("data/raw/coco2014"),
    name: Annotated[str, typer.Option(help="Folder below data/raw that is made.")] = "coco-mini",
) -> None:
    """Cut a small COCO out of the full one, and track it with DVC."""
    from sadcl.data.download.coco_subset import cut

    say(cut(ids, source, name))


@data.command("voc-submission")
def voc_submission(
    images: Annotated[Path, typer.Argument(help="The list: VOCdevkit/VOC2012/ImageSets/Main/test.txt.")],
    photos: Annotated[Path, typer.Argument(help="The folder of photos: VOCdevkit/VOC2012/JPEGImages.")],
    model: Annotated[str, typer.Option(help="A folder, a file, or models:/NAME@alias.")] = "models/served",
    out: Annotated[Path, typer.Option(help="The folder that gets a file a class.")] = Path("voc-submission"),
    competition: Annotated[
        Literal["comp1", "comp2"], typer.Option(help="comp1: trained on nothing but VOC; comp2: on other data, too.")
    ] = "comp2",
) -> None:
    """Score VOC 2012's test photos and write what its evaluation server takes."""
    from sadcl.evaluation.voc_submission import write
    from sadcl.registry.load import load

    say(write(load(model), images, photos, out, competition))
