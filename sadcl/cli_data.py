"""The command ``sadcl data``: sources of photos, and what people have accepted."""

from pathlib import Path
from typing import Annotated

import typer

from sadcl.progress import say

data = typer.Typer(help="Sources of photos, and what people have accepted.", no_args_is_help=True)


@data.command()
def scenes(seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 2307) -> None:
    """Make the embedded data set under data/raw/scenes and track it with DVC."""
    from sadcl.upkeep import make_scenes

    say(make_scenes(seed))


@data.command()
def accept() -> None:
    """Make the present data what later data is compared with."""
    from sadcl.upkeep import accept_data

    say(accept_data())


@data.command()
def report(out: Annotated[Path, typer.Option(help="An HTML file.")] = Path("data_report.html")) -> None:
    """Write the page about the data as it is now, whether it passed validation or not."""
    from sadcl.stages.data_report import write

    say(write(out))
