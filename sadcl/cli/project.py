"""Commands for a project as a whole: ``init``, ``recipe``, ``demo``, ``status``, ``doctor``, ``clean``, ``open``."""

from typing import Annotated

import typer

from sadcl.progress import hint, say

PANEL = "Project"
app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def init() -> None:
    """Turn an empty folder into a project, or update a project to the installed sadcl."""
    from sadcl import pipeline

    say(pipeline.start() or "This folder is a project already.")
    hint("`sadcl data add PATH --name NAME` adds your photos; `sadcl demo` runs the pipeline on a small data set.")


@app.command(rich_help_panel=PANEL)
def recipe(
    name: Annotated[
        str | None, typer.Argument(help="A recipe in recipes/ or of sadcl, without .yaml.", metavar="NAME")
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", help="List the recipes with their figures, sizes and memory.")
    ] = False,
) -> None:
    """Copy a recipe to params.yaml, or list all."""
    from sadcl.errors import SadclError
    from sadcl.project import recipe_list, settings

    if show and name:
        raise SadclError("`--list` takes no name", fix="Leave one of them out")
    if show:
        for line in recipe_list.describe():
            say(line)
        hint("`sadcl recipe NAME` copies one to params.yaml.")
        return
    if name is None:
        raise SadclError("There is no name of a recipe", fix="Give one; `sadcl recipe --list` shows all")
    for line in settings.use_recipe(name):
        say(line)
    hint("`dvc repro` runs the stages that the new settings make stale.")


@app.command(rich_help_panel=PANEL)
def demo(recipe: Annotated[str, typer.Option(help="Recipe to run.")] = "demo") -> None:
    """Run the whole pipeline on the embedded data set and print a summary."""
    from sadcl.project import demo

    demo.run(recipe)


@app.command(rich_help_panel=PANEL)
def status() -> None:
    """Show champion, challenger, last run and stale stages."""
    from sadcl.project import overview

    for line in overview.describe():
        say(line)


@app.command(rich_help_panel=PANEL)
def doctor(
    capacity: Annotated[bool, typer.Option(help="Also say what this machine can hold; takes some seconds.")] = False,
) -> None:
    """Check the installation and the project; exit with 1 if there are problems."""
    from sadcl.project import doctor

    problems = doctor.diagnose(capacity)
    for line in [*(problems or ["There are no problems."]), *doctor.notes(capacity)]:
        say(line)
    raise typer.Exit(1 if problems else 0)


@app.command(rich_help_panel=PANEL)
def clean(yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without confirmation.")] = False) -> None:
    """List caches and leftovers, ask, and remove them."""
    from rich.filesize import decimal

    from sadcl import pipeline
    from sadcl.project import cleanup

    pipeline.require_project()
    removable = cleanup.removable()
    for path, size in removable:
        say(f"{decimal(size):>12}  {path}")
    if not removable:
        say("There is nothing to remove.")
    elif yes or typer.confirm("Remove all of these?"):
        say(cleanup.clean(removable))


@app.command("open", rich_help_panel=PANEL)
def open_page(
    page: Annotated[str, typer.Argument(help="mlflow, optuna or prefect.", metavar="PAGE")],
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the server; a free one by default.")
    ] = None,
) -> None:
    """Serve a dashboard on this machine until Ctrl-C."""
    from sadcl import services

    services.show(page, port)
