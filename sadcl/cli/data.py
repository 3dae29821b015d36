"""Commands ``sadcl data ...``: sources of photos and labels, and the baseline of accepted data."""

import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sadcl.cli.model import Model
from sadcl.errors import SadclError
from sadcl.layout import RAW, SERVED
from sadcl.progress import hint, printable, say

if TYPE_CHECKING:
    from sadcl.data.onboarding.questions import Question

PANEL = "Data"
app = typer.Typer(help="Add, fetch, check and accept photos and labels.", no_args_is_help=True)


@app.command()
def scenes(seed: Annotated[int, typer.Option(help="Seed of the photos; equal seeds give equal bytes.")] = 2307) -> None:
    """Generate the embedded data set in data/raw/scenes and track it with DVC."""
    from sadcl.data import synthetic

    say(synthetic.generate_scenes(seed))
    hint("`sadcl recipe scenes` selects its settings; `dvc repro` runs the pipeline.")


@app.command()
def add(
    path: Annotated[
        Path, typer.Argument(help="Folder of photos, or a file of labels next to its photos.", metavar="PATH")
    ],
    name: Annotated[str, typer.Option(help="Name of the source, its recipe and its model.")],
    recipe: Annotated[str | None, typer.Option(help="Recipe to start from; a small one by default.")] = None,
    kind: Annotated[
        str, typer.Option("--format", help="Format of the annotations; detected by default.", metavar="FORMAT")
    ] = "",
    separator: Annotated[
        str | None,
        typer.Option(
            help="Text between two labels: comma, semicolon, pipe, hash, space, newline, list, none, or any text."
        ),
    ] = None,
    unlabelled: Annotated[
        Literal["negative", "unknown", "drop"] | None,
        typer.Option(
            help="What photos without labels mean: none of the classes, or not labelled yet (kept or dropped)."
        ),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(help="Column of labels, found by its name by default; repeat it for several.", metavar="COLUMN"),
    ] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", help="A column that is no class; repeat it for several.", metavar="COLUMN"),
    ] = None,
    photos: Annotated[
        str,
        typer.Option(help="Folder of photos on S3, which are listed instead of copied.", metavar="s3://BUCKET/FOLDER"),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Take the first answer to every question.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the preview, and change nothing.")] = False,
) -> None:
    """Preview your photos and labels, copy them into the project, track them with DVC, and write a recipe."""
    from sadcl.data.onboarding import add, questions, separators

    marks = {word: mark for mark, word in separators.NAMES.items()}
    between = None if separator is None else marks.get(separator, separator)
    ask: Callable[[questions.Question], str]
    ask = _first if yes else _ask if sys.stdin.isatty() and sys.stdout.isatty() else questions.refuse
    undecided: list[questions.Question] = []
    if dry_run and ask is questions.refuse:
        ask = _later(undecided)
    options = questions.Options(kind, between, unlabelled, tuple(labels or ()), tuple(slices or ()), ask)
    try:
        with _explained_interruption("Interrupted. Nothing was added"):
            lines = add.add(path, name, recipe, options=options, photos=photos, dry_run=dry_run)
        for line in lines:
            say(line)
        for question in undecided:
            say(printable(f"Undecided: {question.problem}. Shown as: {question.choices[0][1]}."))
        if undecided:
            raise questions.UndecidedError(undecided)
    except questions.UndecidedError as error:
        raise error if len(error.questions) == 1 else _listed(error.questions) from None
    if not dry_run:
        hint("`dvc repro` trains and judges a model; `sadcl data report` shows the data after the first stages.")


@contextmanager
def _explained_interruption(sentence: str) -> Iterator[None]:
    """Turn Ctrl-C, or the end of the input at a question, into a sentence and the status of an interruption."""
    try:
        yield
    except (KeyboardInterrupt, typer.Abort):
        print(f"\nsadcl: {sentence}.", file=sys.stderr)
        raise typer.Exit(128 + signal.SIGINT) from None


def _listed(questions: "Sequence[Question]") -> SadclError:
    """Print open questions, a paragraph each, and return the sentence that follows them."""
    for number, question in enumerate(questions, start=1):
        lines = (f"{number}. {question.problem} ({question.where}).", f"{question.meanings}.", question.advice)
        for line in lines:
            indent = "" if line is lines[0] else "   "
            text = textwrap.fill(printable(line), _width(), initial_indent=indent, subsequent_indent="   ")
            print(text, file=sys.stderr)
    fix = "Add the options that decide them, or take the first answers with --yes"
    return SadclError(f"{len(questions)} questions are open", fix=fix)


def _later(undecided: "list[Question]") -> "Callable[[Question], str]":
    """Answer with the first choice, and keep the question."""

    def answer(question: "Question") -> str:
        undecided.append(question)
        return question.choices[0][0]

    return answer


def _first(question: "Question") -> str:
    """Answer with the first choice, and say so."""
    value, text = question.choices[0]
    say(printable(f"{question.problem}: {text} (--yes)"))
    return value


def _ask(question: "Question") -> str:
    """Ask on the terminal; the first choice is the default."""
    lines = [f"{question.problem}{f' ({question.where})' if question.where else ''}."]
    lines += [f"  {number}. {text}" for number, (_, text) in enumerate(question.choices, start=1)]
    for line in (*lines, f"In scripts, {question.option} decides it."):
        say(textwrap.fill(printable(line), _width(), subsequent_indent="     " if line.startswith(" ") else ""))
    while True:
        number = str(typer.prompt("Which one", default="1")).strip()
        if number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= len(question.choices):
            return question.choices[int(number[:9]) - 1][0]
        say(f"Type a number from 1 to {len(question.choices)}.")


@app.command()
def relist(name: Annotated[str, typer.Argument(help="Name of the source.", metavar="NAME")]) -> None:
    """List a source's photos on S3 again, and let DVC record what has changed."""
    from sadcl.data.onboarding import relist

    with _explained_interruption("Interrupted. Nothing was changed"):
        say(relist.relist(name))
    hint("Give new photos their labels, and remove those of photos that have gone; then run `dvc repro`.")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Name of the source.", metavar="NAME")],
    yes: Annotated[bool, typer.Option("--yes", help="Remove without a question.")] = False,
) -> None:
    """Undo `sadcl data add`: remove a source's photos, its recipe, and what DVC records of it."""
    from sadcl.data.onboarding import remove

    removal = remove.plan(name)
    if not yes:
        say(f"This removes {', '.join(map(str, removal.paths))}. {'. '.join(removal.notes)}.")
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise SadclError("Nobody has confirmed the removal", fix="Add --yes")
        with _explained_interruption("Nothing was removed"):
            if not typer.confirm("Remove them", default=False):
                raise typer.Abort
    for line in remove.remove(removal):
        say(line)
    hint("`sadcl data add PATH --name NAME` adds photos.")


def _width() -> int:
    return shutil.get_terminal_size((80, 24)).columns


@app.command()
def accept() -> None:
    """Accept the current data as the baseline for later data."""
    from sadcl.data.validation import baseline

    say(baseline.accept_data())
    hint("Commit data/accepted.json, then run `dvc repro`.")


@app.command()
def report(out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("data_report.html")) -> None:
    """Write the data report, even if the data failed validation."""
    from sadcl.report import data_page

    say(data_page.write_page(Path(), out))
    hint(f"Open {out} in a browser.")


@app.command()
def fetch(
    name: Annotated[
        str, typer.Argument(help="coco2014, coco2017, voc2007, voc2012, nuswide (lists only) or vg500.", metavar="NAME")
    ],
    mirror: Annotated[
        str, typer.Option("--from", help="Folder or URL of the archives; the original servers by default.")
    ] = "",
    stall: Annotated[
        float, typer.Option(help="Seconds without data after which a connection is given up.", min=0.1, max=86_400)
    ] = 60,
) -> None:
    """Download, verify and unpack a public data set, and track it with DVC."""
    from sadcl.data.download import datasets, fetch, http

    say(fetch.fetch(datasets.find(name), mirror=mirror, patience=http.RetryPolicy(stall=stall)))
    hint("`sadcl recipe NAME` selects one of its recipes; `dvc repro` runs the pipeline.")


@app.command()
def subset(
    ids: Annotated[Path, typer.Option(help="CSV with the columns coco_2014_split and image_id.")],
    source: Annotated[Path, typer.Option(help="Folder of the full COCO 2014.")] = RAW / "coco2014",
    name: Annotated[str, typer.Option(help="Folder to write, below data/raw.")] = "coco-mini",
) -> None:
    """Cut a subset out of COCO 2014 and track it with DVC."""
    from sadcl.data.download import coco_subset

    say(coco_subset.cut(ids, source, name))
    hint("`sadcl recipe coco-mini` selects its settings; `dvc repro` runs the pipeline.")


@app.command("voc-submission")
def voc_submission(
    images: Annotated[
        Path, typer.Argument(help="Image list: VOCdevkit/VOC2012/ImageSets/Main/test.txt.", metavar="IMAGES")
    ],
    photos: Annotated[Path, typer.Argument(help="Folder of photos: VOCdevkit/VOC2012/JPEGImages.", metavar="PHOTOS")],
    model: Model = str(SERVED),
    out: Annotated[Path, typer.Option(help="Folder to write one file per class to.")] = Path("voc-submission"),
    competition: Annotated[
        Literal["comp1", "comp2"], typer.Option(help="comp1: trained on VOC only; comp2: trained on other data too.")
    ] = "comp2",
) -> None:
    """Score the test photos of VOC 2012 and write files for its evaluation server."""
    from sadcl.evaluation import voc_submission
    from sadcl.registry import load

    say(voc_submission.write_submission(load.load(model), images, photos, out, competition))
