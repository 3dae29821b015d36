"""The command ``sadcl demo``: the whole pipeline on the embedded data set, and a summary of the results."""

import time
from pathlib import Path

from sadcl import files, layout, params, pipeline
from sadcl.data import synthetic
from sadcl.errors import SadclError
from sadcl.evaluation.gate.legend import over_probe
from sadcl.progress import duration, say
from sadcl.project import overview, settings

FIGURES = ("mAP", "CF1", "OF1")


def run(recipe: str) -> None:
    """Run all stale stages of a recipe, register the model, and push the data to DVC's remote.

    It promotes no version and commits nothing to git.

    Args:
        recipe: name of the recipe.

    Raises:
        SadclError: there is no such recipe, its source is missing, or a stage fails.
    """
    started = time.monotonic()
    pipeline.require_graph()
    pipeline.set_up(Path())
    for line in settings.use_recipe(recipe):
        say(line)
    _source()
    ran = pipeline.reproduce(line=say).ran
    from sadcl.registry.publish import publish

    registration = publish()
    if ran or registration.new:
        pipeline.push()
    took = duration(time.monotonic() - started)
    say(f"The pipeline ran in {took}." if ran else f"Everything is up to date ({took}).")
    if ran:
        _show(registration.words)
    else:
        say(registration.words)


def _source() -> None:
    folder = layout.RAW / params.load().ingest.source
    if folder == layout.SCENES and not folder.exists():
        say(synthetic.generate_scenes(params.load().seed))
    elif not folder.exists():
        raise SadclError("The recipe's source is missing", where=folder, fix="Put the photos and labels there")


def _show(registered: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=100)
    for title, rows in _parts(registered):
        if not rows:
            continue
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
        for row in rows:
            table.add_row(*row)
        console.print()
        console.print(table)


def _parts(registered: str) -> list[tuple[str, list[tuple[str, ...]]]]:
    metrics, verdict = files.read_json(layout.METRICS), files.read_json(layout.VERDICT)
    sadcl = metrics["sadcl"]
    model, worth = params.load("model").model, over_probe(verdict, metrics)
    figures = {"linear probe": metrics["probe"], **({"SARL": metrics["sarl"]} if model.has_stage_2 else {})}
    figures |= {model.title: sadcl} if not model.is_linear_probe else {}
    if "in_use" in sadcl:
        figures[f"{model.title} in use"] = {**sadcl, **sadcl["in_use"]}
    return [
        ("Data", _data()),
        ("Time per stage", [(stage, duration(seconds)) for stage, seconds in _seconds().items()]),
        (
            "Test metrics, %",
            [("", *FIGURES), *[(name, *(f"{f[m]:.2f}" for m in FIGURES)) for name, f in figures.items()]],
        ),
        ("The trained head", [(worth,)] if worth else []),
        (f"Gate: {verdict['verdict']}", [(rule["result"], rule["words"]) for rule in verdict["rules"]]),
        ("Registry", [(registered,)]),
        ("Predictions for three test photos", _examples()),
        ("Next steps", _commands()),
    ]


def _seconds() -> dict[str, float]:
    seconds = overview.last_seconds()
    names = (stage.name for stage in pipeline.stages())
    return {name: seconds[name] for name in names if name in seconds}


def _data() -> list[tuple[str, ...]]:
    from sadcl.data.shards.reader import Shards

    rows: list[tuple[str, ...]] = []
    for split in ("train", "select", "test"):
        shards = Shards(layout.SHARDS / split)
        mean = shards.targets.sum() / max(len(shards), 1)
        rows.append((split, f"{len(shards):,} images", f"{mean:.2f} labels per photo"))
    return rows


def _examples() -> list[tuple[str, ...]]:
    from sadcl.data.shards.reader import Shards
    from sadcl.registry.load import load

    test = Shards(layout.TEST_SHARDS)
    indexes = [0, len(test) // 2, len(test) - 1]
    predicted = load(layout.SERVED).predict([test.jpeg(i) for i in indexes])
    rows: list[tuple[str, ...]] = []
    for i, labels in zip(indexes, predicted, strict=True):
        truth = ", ".join(name for name, present in zip(test.classes, test.targets[i], strict=True) if present)
        prediction = ", ".join(f"{name} {p:.0%}" for name, p in labels) or "no label"
        rows.append((f"photo {test.ids[i]}", prediction, f"(annotated: {truth or 'no label'})"))
    return rows


def _commands() -> list[tuple[str, ...]]:
    return [
        ("first", ". .venv/bin/activate"),
        ("report", f"python -m webbrowser {layout.MODEL_REPORT}"),
        ("MLflow", "sadcl open mlflow"),
        ("Optuna", "sadcl tune --dashboard"),
        ("Prefect", "sadcl open prefect"),
    ]
