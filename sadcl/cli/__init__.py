"""The command ``sadcl``: each sub-command parses and calls one function."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from sadcl.cli.data import data
from sadcl.errors import SadclError
from sadcl.progress import say

app = typer.Typer(
    help="Tag photos with many labels, keep the model honest, retrain without fear.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data, name="data")
user = typer.Typer(help="Accounts of a team's registry.", no_args_is_help=True)
app.add_typer(user, name="user")

Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the audit.")]


def main() -> None:
    """Entry point: an error that a person can mend becomes one sentence and status 2."""
    try:
        app()
    except SadclError as error:
        print(f"sadcl: {error}", file=sys.stderr)
        sys.exit(2)


@app.command()
def recipe(
    name: Annotated[str, typer.Argument(help="A file under recipes/, or one of sadcl's own; without .yaml.")],
) -> None:
    """Write a recipe to params.yaml."""
    from sadcl.project.doctor import use_recipe

    for line in use_recipe(name):
        say(line)


@app.command()
def init() -> None:
    """Make an empty folder a project, or bring one up to the sadcl that is installed."""
    from sadcl import pipeline

    say(pipeline.start() or "This is a project already")


@app.command()
def demo(recipe: Annotated[str, typer.Option(help="Another recipe than the short one.")] = "demo") -> None:
    """Run the whole loop and print what happened."""
    from sadcl.project.demo import run

    run(recipe)


@app.command()
def predict(
    photos: Annotated[list[Path], typer.Argument(help="Image files.")],
    model: Annotated[str, typer.Option(help="A folder, a file, or models:/NAME@alias.")] = "models/served",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a photo.")] = False,
    attention: Annotated[Path | None, typer.Option(help="A folder for maps of where each label looked.")] = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Instead of the model's own.")] = None,
) -> None:
    """Print the labels of photos, with probabilities."""
    from sadcl.registry.load import load

    tagger = load(model)
    for photo, labels in zip(photos, tagger.predict(list(photos), threshold), strict=True):
        if as_json:
            typer.echo(json.dumps({"photo": str(photo), "labels": [{"label": n, "probability": p} for n, p in labels]}))
        else:
            typer.echo(f"{photo}: " + (", ".join(f"{name} {p:.0%}" for name, p in labels) or "no label"))
        if attention is not None:
            from sadcl.report.attention_maps import write_maps

            write_maps(tagger, photo, [name for name, _ in labels], attention)


@app.command()
def attention(
    photo: Annotated[Path, typer.Argument(help="An image file.")],
    model: Annotated[str, typer.Option(help="A folder, a file, or models:/NAME@alias.")] = "models/served",
    label: Annotated[list[str] | None, typer.Option(help="Instead of what the model finds; repeat it.")] = None,
    out: Annotated[Path, typer.Option(help="A PNG or JPEG.")] = Path("attention.png"),
) -> None:
    """Draw where each label looked, beside the photo."""
    from sadcl.registry.load import load
    from sadcl.report.attention_maps import draw

    say(draw(load(model), photo, label or [], out))


@app.command()
def embed(
    model: Annotated[Path, typer.Option(help="Weights, or their folder.")] = Path("models/train"),
    split: Annotated[str, typer.Option(help="train, select or test.")] = "test",
    classes: Annotated[int, typer.Option(min=2, help="So many, the most frequent first.")] = 10,
    label: Annotated[list[str] | None, typer.Option(help="Instead: this class; repeat it.")] = None,
    out: Annotated[Path, typer.Option(help="A PNG.")] = Path("embedding.png"),
) -> None:
    """Draw label-level features and prototypes in two dimensions (t-SNE)."""
    from sadcl.report.embedding import draw

    for line in draw(model, Path("data/shards") / split, out, classes, label or []):
        say(line)


@app.command()
def tune(
    trials: Annotated[int, typer.Option(min=1, help="How many trainings to try in all.")] = 10,
    workers: Annotated[int, typer.Option(min=1, help="How many at a time.")] = 1,
    apply: Annotated[bool, typer.Option("--apply", help="Write the best parameters into params.yaml.")] = False,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Open optuna-dashboard instead.")] = False,
) -> None:
    """Search for better parameters on the select split."""
    if dashboard:
        from sadcl.services import show

        show("optuna")
        return
    from sadcl.tuning.study import tune as search

    say(search(trials, workers, apply=apply).words)


@app.command()
def export(
    model: Annotated[str, typer.Option(help="A folder, a file, or models:/NAME@alias.")] = "models/served",
    out: Annotated[Path, typer.Option(help="The folder that gets weights.onnx and weights.pt2.")] = Path("exported"),
) -> None:
    """Write the model as ONNX and torch.export files, checked against the original."""
    from sadcl.registry.load import load
    from sadcl.weights.export import report

    for line in report(load(model), out):
        say(line)


@app.command("import-checkpoint")
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="A released SADCL or Query2Label checkpoint.")],
    out: Annotated[Path, typer.Option(help="The folder that gets weights.safetensors.")] = Path("models/imported"),
    recipe: Annotated[str, typer.Option(help="The recipe that describes its network.")] = "coco2014-r101-448",
    classes: Annotated[Path | None, typer.Option(help="Its class names, one a line; known for COCO and VOC.")] = None,
) -> None:
    """Make a released checkpoint a model of ours."""
    from sadcl import params
    from sadcl.weights.released import class_list, convert

    settings = params.load(path=params.recipe(recipe))
    for line in convert(file, out, settings, class_list(classes) if classes else None):
        say(line)


@app.command()
def compare() -> None:
    """Write the comparison with peers' heads from its cells, as tables and pictures."""
    from benchmarks.comparison import COMPARE, write

    say(write(COMPARE))


@app.command()
def ablate() -> None:
    """Write what each part of the method gives, from the same cells."""
    from benchmarks.comparison import ABLATE, write

    say(write(ABLATE))


@app.command()
def register() -> None:
    """Publish what the stages made as a version in the registry."""
    from sadcl import pipeline
    from sadcl.registry import latency
    from sadcl.registry.publish import publish

    pipeline.require_project()
    published = publish()
    say(f"{published.words} {latency.note(published)}." if published.new else published.words)


@app.command()
def verdict(
    check: Annotated[bool, typer.Option("--check", help="Judge anew, and compare byte for byte.")] = False,
) -> None:
    """Say what the gate said, rule by rule."""
    from sadcl import pipeline
    from sadcl.stages import gate

    pipeline.require_project()
    for line in [gate.check()] if check else gate.said():
        say(line)


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="A version of the registered model.")],
    reason: Reason = "",
    first: Annotated[bool, typer.Option("--first", help="There is no champion yet.")] = False,
) -> None:
    """Make a version that passed its gate the champion."""
    from sadcl import pipeline
    from sadcl.registry.promote import promote as move

    pipeline.require_project()
    say(move(version, reason, first=first).words)


@app.command()
def rollback(reason: Reason = "") -> None:
    """Make the previous champion the champion again."""
    from sadcl import pipeline
    from sadcl.registry.promote import rollback as back

    pipeline.require_project()
    say(back(reason).words)


@app.command()
def reject(
    version: Annotated[str, typer.Argument(help="The version that challenges.")],
    reason: Reason = "",
) -> None:
    """Take the challenge from a version."""
    from sadcl import pipeline
    from sadcl.registry.promote import reject as refuse

    pipeline.require_project()
    say(refuse(version, reason).words)


@app.command()
def audit() -> None:
    """Tell who changed what in the registry, and whether the telling is whole."""
    from sadcl import pipeline
    from sadcl.registry.audit.verify import read

    pipeline.require_project()
    told = read()
    for line in told.lines:
        typer.echo(line)
    for problem in told.problems or [f"Whole: {len(told.lines)} lines, and the registry agrees with them."]:
        say(problem)
    raise typer.Exit(1 if told.problems else 0)


@user.command("add")
def user_add(
    name: Annotated[str, typer.Argument(help="That the person logs in with.")],
    role: Annotated[Literal["trainer", "reviewer", "reader"], typer.Option(help="What the person may do.")],
) -> None:
    """Make an account; the password is asked for, or stands in SADCL_USER_PASSWORD."""
    from sadcl.accounts.users import add

    password = os.environ.get("SADCL_USER_PASSWORD")
    if password is None and not sys.stdin.isatty():
        raise SadclError("There is no terminal to ask for a password", fix="Write it into SADCL_USER_PASSWORD")
    made = add(name, role, password or typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    say(f"{made.name} is a {made.role} now")


@user.command("list")
def user_list() -> None:
    """Show all accounts and their roles."""
    from sadcl.accounts.users import listed

    for person in listed():
        typer.echo(f"{person.role:14} {person.name}")


@user.command("prefect")
def user_prefect() -> None:
    """Print what Prefect's server asks for: its page, and PREFECT_API_AUTH_STRING."""
    from sadcl.accounts.host import prefect_login

    typer.echo(prefect_login())


@app.command()
def up(port: Annotated[int, typer.Option(min=1, max=65532, help="The registry's; the others follow.")] = 5000) -> None:
    """Start a team's servers on this host, on loopback, until Ctrl-C."""
    from sadcl import pipeline
    from sadcl.services import up as start

    pipeline.require_project()
    start(port)


@app.command()
def down() -> None:
    """End a team's servers."""
    from sadcl.services import down as end

    say(end())


@app.command()
def sync() -> None:
    """Repair data/champion from the registry's alias."""
    from sadcl import pipeline
    from sadcl.registry.sync import sync as repair

    pipeline.require_project()
    say("The files were repaired from the registry" if repair() else "The files agree with the registry")


@app.command()
def status() -> None:
    """Say who is champion, who challenges, what ran last, what is stale."""
    from sadcl.project.doctor import status as lines

    for line in lines():
        say(line)


@app.command()
def doctor() -> None:
    """Say what is missing or mis-set, in sentences."""
    from sadcl.project.doctor import doctor as findings

    found = findings()
    for line in found or ["Nothing is missing."]:
        say(line)
    raise typer.Exit(1 if found else 0)


@app.command()
def clean(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Free what is no longer needed, after saying what."""
    from sadcl import pipeline
    from sadcl.project.doctor import clean as free
    from sadcl.project.doctor import removable

    pipeline.require_project()
    found = removable()
    for path, size in found:
        say(f"{size / 1e6:10.1f} MB  {path}")
    if not found:
        say("There is nothing to free.")
    elif yes or typer.confirm("Remove all of these?"):
        say(free(found))


@app.command("open")
def open_page(
    page: Annotated[str, typer.Argument(help="mlflow, optuna or prefect.")],
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Instead of a free one.")] = None,
) -> None:
    """Show a page on loopback until Ctrl-C."""
    from sadcl.services import show

    show(page, port)
