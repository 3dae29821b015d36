"""The command ``sadcl``: each sub-command parses its arguments and calls one function.

There is one module per panel of ``sadcl --help``: ``project``, ``data``, ``model`` (training and use), ``registry`` and
``team``. Commands import what they use when they run, so that ``sadcl --help`` stays fast.
"""

import sys
from typing import Annotated

import typer

from sadcl import __version__, extras, processes
from sadcl.cli import data, model, project, registry, team
from sadcl.errors import SadclError
from sadcl.progress import prepare_output

app = typer.Typer(
    help="Multi-label photo tagging: check data, train, evaluate, register and promote models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(project.app)
app.add_typer(data.app, name="data", rich_help_panel=data.PANEL)
app.add_typer(model.app)
app.add_typer(registry.app)
app.add_typer(team.app)
app.add_typer(team.user, name="user", rich_help_panel=team.PANEL)


def main() -> None:
    """Entry point: an error that a person can mend, or a missing extra, becomes one sentence and status 2."""
    processes.collect_rarely()
    prepare_output()
    try:
        app()
    except SadclError as error:
        print(f"sadcl: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        print(f"sadcl: {extras.explain(error)}", file=sys.stderr)
        sys.exit(2)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"sadcl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass
