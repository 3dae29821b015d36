"""Commands that tune, use, plot and convert a model."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sadcl.errors import SadclError
from sadcl.layout import IMPORTED, SERVED, SHARDS, TRAIN
from sadcl.progress import hint, printable, say

if TYPE_CHECKING:
    from sadcl.batch.job import Options

PANEL = "Training and use"
app = typer.Typer()


def _finite(value: float | None) -> float | None:
    """The value of an option, which has to be finite; typer's ranges refuse NaN, but have no upper end by default."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


Model = Annotated[str, typer.Option(help="Model: a folder, a file, models:/NAME@ALIAS, or models:/NAME/VERSION.")]


@app.command(rich_help_panel=PANEL)
def tune(
    study: Annotated[
        str | None, typer.Argument(help="Study to join; by default the one with these settings.", metavar="[STUDY]")
    ] = None,
    join: Annotated[bool, typer.Option("--join", help="Run trials of a study that another machine started.")] = False,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Total number of trainings.", show_default="tune.trials of params.yaml")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of trainings at a time.")] = 1,
    apply: Annotated[bool, typer.Option("--apply", help="Write the best settings to params.yaml.")] = False,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Serve Optuna's dashboard instead.")] = False,
) -> None:
    """Search for better settings, scored on the select split."""
    if dashboard:
        if study or join or trials or apply:
            raise SadclError("--dashboard shows studies and runs none", fix="Leave out the other options")
        from sadcl import services

        services.show("optuna")
        return
    from sadcl.tuning import study as tuning

    if join:
        if trials or apply:
            raise SadclError("The machine that started the study sets --trials and --apply", fix="Join without them")
        say(tuning.join(study, workers))
        return
    if study:
        raise SadclError("A study is named to join it", where=study, fix=f"Run `sadcl tune --join {study}`")
    say(tuning.tune(trials, workers, apply=apply).words)
    hint("`dvc repro` trains with the settings in params.yaml." if apply else "`--apply` writes them to params.yaml.")


@app.command(rich_help_panel=PANEL)
def join(
    address: Annotated[
        str, typer.Argument(help="HOST or HOST:PORT of the machine where `dvc repro` runs.", metavar="ADDRESS")
    ],
) -> None:
    """Take part in the training of another machine, until Ctrl-C."""
    from sadcl.training import machines

    try:
        machines.join(address)
    except KeyboardInterrupt:
        say("")


@app.command(rich_help_panel=PANEL)
def predict(
    photos: Annotated[list[str], typer.Argument(help="Image files; with --out, one place.", metavar="PHOTOS")],
    model: Model = str(SERVED),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per photo.")] = False,
    attention: Annotated[Path | None, typer.Option(help="Folder to write an attention map per label to.")] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Probability threshold; the model's own thresholds by default.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write predictions of a whole place to: a folder, s3://BUCKET/FOLDER, or a list."),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="With --out: write _predictions.csv, too.")] = False,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="With --out: this machine, or a Ray cluster.")] = (
        "local"
    ),
    workers: Annotated[
        int | None, typer.Option(min=1, help="With --out: worker processes; one per core or GPU by default.")
    ] = None,
    photo_seconds: Annotated[
        float | None,
        typer.Option(
            min=1, callback=_finite, help="With --out: seconds for reading and decoding a photo; 60 by default."
        ),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="With --out: try photos without prediction again.")] = False,
) -> None:
    """Print the labels of photos and their probabilities, or write those of a whole place to a folder."""
    if out is not None:
        _refuse({"--json": as_json, "--attention": attention is not None}, "--out")
        if len(photos) > 1:
            raise SadclError("--out takes one place", fix="Name a folder, or list the photos in a file")
        from sadcl.batch.job import Options

        seconds = Options.seconds if photo_seconds is None else photo_seconds
        _predict_place(photos[0], out, model, Options(threshold, engine, workers, seconds, csv, retry))
        return
    numbers = {"--workers": workers is not None, "--photo-seconds": photo_seconds is not None}
    _refuse({"--csv": csv, "--retry": retry, "--engine ray": engine == "ray", **numbers})
    from sadcl import names
    from sadcl.registry import load

    tagger = load.load(model)
    paths = [Path(photo) for photo in photos]
    predicted = tagger.predict(list(paths), threshold)
    maps: Iterable[list[Path]] = [[] for _ in paths]
    if attention is not None:
        from sadcl.report import attention_maps

        label_names = [[name for name, _ in labels] for labels in predicted]
        maps = attention_maps.write_maps(tagger, paths, label_names, attention)
    for photo, shown, labels, files in zip(paths, names.distinguish(paths), predicted, maps, strict=True):
        typer.echo(_as_json(photo, labels, files) if as_json else _as_line(shown, labels))


@app.command(rich_help_panel=PANEL)
def attention(
    photo: Annotated[Path, typer.Argument(help="Image file.", metavar="PHOTO")],
    model: Model = str(SERVED),
    label: Annotated[
        list[str] | None, typer.Option(help="Label to draw, repeatable; the predicted ones by default.")
    ] = None,
    out: Annotated[Path, typer.Option(help="PNG or JPEG file to write.")] = Path("attention.png"),
) -> None:
    """Draw the attention map of each label next to the photo."""
    from sadcl.registry import load
    from sadcl.report import attention_maps

    say(printable(attention_maps.draw(load.load(model), photo, label or [], out)))


@app.command(rich_help_panel=PANEL)
def embed(
    model: Annotated[Path, typer.Option(help="Weights file, or its folder.")] = TRAIN,
    split: Annotated[Literal["train", "select", "test"], typer.Option(help="Split to draw.")] = "test",
    classes: Annotated[int, typer.Option(min=2, help="Number of classes to draw, the most frequent first.")] = 10,
    label: Annotated[list[str] | None, typer.Option(help="Class to draw, repeatable; replaces --classes.")] = None,
    out: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("embedding.png"),
) -> None:
    """Draw label-level features and prototypes in two dimensions (t-SNE)."""
    from sadcl.report import embedding

    for line in embedding.draw(model, SHARDS / split, out, classes, label or []):
        say(line)


@app.command(rich_help_panel=PANEL)
def export(
    model: Model = str(SERVED),
    out: Annotated[Path, typer.Option(help="Folder to write weights.onnx and weights.pt2 to.")] = Path("exported"),
) -> None:
    """Export a model to ONNX and torch.export files, and compare them with the original."""
    from sadcl.registry import load
    from sadcl.weights import export

    for line in export.report(load.load(model), out):
        say(line)
    hint(f"`sadcl predict --model {out}/weights.onnx PHOTO` uses the ONNX file.")


@app.command("import-checkpoint", rich_help_panel=PANEL)
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="A released SADCL or Query2Label checkpoint.", metavar="FILE")],
    out: Annotated[Path, typer.Option(help="Folder to write weights.safetensors to.")] = IMPORTED,
    recipe: Annotated[str, typer.Option(help="Recipe with the settings of its network.")] = "coco2014-r101-448",
    classes: Annotated[
        Path | None, typer.Option(help="File of class names, one per line; not needed for COCO and VOC.")
    ] = None,
) -> None:
    """Convert a released checkpoint to a weights file of sadcl."""
    from sadcl import params
    from sadcl.weights import released

    settings = params.load(path=params.recipe(recipe))
    for line in released.convert(file, out, settings, released.class_list(classes) if classes else None):
        say(line)
    hint(f"`sadcl predict --model {out} PHOTO` uses it.")


def _refuse(options: Mapping[str, bool], other: str = "") -> None:
    """Raise where an option is set that has no meaning with, or without, ``--out``."""
    for name in (name for name, is_set in options.items() if is_set):
        if other:
            raise SadclError(f"{other} takes no {name}", fix="Leave one of them out")
        raise SadclError(f"{name} needs --out", fix="Name the folder for the predictions")


def _predict_place(place: str, out: Path, model: str, options: "Options") -> None:
    """Run a batch job, print its counts, and end with 1 where photos have no prediction."""
    from sadcl.batch import job
    from sadcl.registry import load

    try:
        with load.model_path(model) as path:
            summary = job.run(place, out, path, options)
    except KeyboardInterrupt:
        say("Interrupted. The same command goes on.")
        raise typer.Exit(130) from None
    failed = summary["failed"]
    say(f"{summary['photos']:,} photos, {failed:,} without prediction. The predictions are in {out}.")
    for reason, count in summary["reasons"].items():
        say(f"  {count:,}: {printable(reason)}")
    if failed:
        raise typer.Exit(1)


def _as_line(photo: str, labels: Sequence[tuple[str, float]]) -> str:
    # names of files and classes are somebody else's text
    return f"{printable(photo)}: " + (", ".join(f"{printable(name)} {p:.0%}" for name, p in labels) or "no label")


def _as_json(photo: Path, labels: Sequence[tuple[str, float]], maps: Sequence[Path]) -> str:
    entries: list[dict[str, object]] = [{"label": name, "probability": p} for name, p in labels]
    for entry, path in zip(entries, maps, strict=False):
        entry["map"] = str(path)
    return json.dumps({"photo": str(photo), "labels": entries})
