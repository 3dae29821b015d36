"""The command ``sadcl data``: sources of photos, and what people have accepted."""

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
