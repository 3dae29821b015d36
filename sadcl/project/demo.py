"""``make demo``: the whole loop from nothing, then a short table of what happened."""

import time
from pathlib import Path

from sadcl import files, layout, params, pipeline
from sadcl.data import synthetic
from sadcl.errors import SadclError
from sadcl.progress import duration, say
from sadcl.project import overview, settings

FIGURES = ("mAP", "CF1", "OF1")


def run(recipe: str) -> None:
    """Run everything that is stale for a recipe: sources, graph, baseline, registry, push.

    It promotes nothing and commits nothing.
    """
    started = time.monotonic()
    pipeline.set_up(Path())
    for line in settings.use_recipe(recipe):
        say(line)
    _source()
    worked = [pipeline.reproduce(line=say).ran, pipeline.reproduce(root=layout.POOLING, line=say).ran]
    from sadcl.registry.publish import publish

    published = publish()
    if any(worked) or published.new:
        pipeline.push()
    took = duration(time.monotonic() - started)
    say(f"Everything ran in {took}." if any(worked) else f"Nothing to do: everything is up to date ({took}).")
    if any(worked):
        _show(published.words)
    else:
        say(published.words)


def _source() -> None:
    folder = Path("data/raw") / params.load().ingest.source
    if folder == layout.SCENES and not folder.exists():
        say(synthetic.make_scenes(params.load().seed))
    elif not folder.exists():
        raise SadclError("The recipe's source is not there", where=folder, fix="Put or link it there")


def _show(registered: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=100)
    for title, rows in _parts(registered):
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
        for row in rows:
            table.add_row(*row)
        console.print()
        console.print(table)


def _parts(registered: str) -> list[tuple[str, list[tuple[str, ...]]]]:
    metrics, verdict = files.read_json("reports/metrics.json"), files.read_json("reports/verdict.json")
    pooling = files.read_json(layout.POOLING / "metrics.json")["pooling"]
    sadcl = metrics["sadcl"]
    figures = {"pooling": pooling, "SARL": metrics["sarl"], "SADCL": sadcl}
    if "in_use" in sadcl:
        figures["SADCL as it is used"] = {**sadcl, **sadcl["in_use"]}
    return [
        ("Data", _data()),
        ("Time by stage", [(stage, duration(seconds)) for stage, seconds in _seconds().items()]),
        (
            "Test figures, %",
            [("", *FIGURES), *[(name, *(f"{f[m]:.2f}" for m in FIGURES)) for name, f in figures.items()]],
        ),
        (f"Gate: {verdict['verdict']}", [(rule["result"], rule["words"]) for rule in verdict["rules"]]),
        ("Registry", [(registered,)]),
        ("Three test photos", _examples()),
        ("Look further", _commands()),
    ]


def _seconds() -> dict[str, float]:
    last = overview.last_seconds()
    return {name: last[name] for name in [*(stage.name for stage in pipeline.stages()), "pooling"] if name in last}


def _data() -> list[tuple[str, ...]]:
    from sadcl.data.shards.reader import Shards

    rows: list[tuple[str, ...]] = []
    for split in ("train", "select", "test"):
        shards = Shards(Path("data/shards") / split)
        rows.append(
            (split, f"{len(shards):,} images", f"{shards.targets.sum() / max(len(shards), 1):.2f} labels a photo")
        )
    return rows


def _examples() -> list[tuple[str, ...]]:
    from sadcl.data.shards.reader import Shards
    from sadcl.registry.load import load

    test = Shards(Path("data/shards/test"))
    chosen = [0, len(test) // 2, len(test) - 1]
    predicted = load("models/served").predict([test.jpeg(i) for i in chosen])
    rows: list[tuple[str, ...]] = []
    for i, labels in zip(chosen, predicted, strict=True):
        truth = ", ".join(name for name, there in zip(test.classes, test.targets[i], strict=True) if there)
        rows.append(
            (f"photo {test.ids[i]}", ", ".join(f"{n} {p:.0%}" for n, p in labels) or "no label", f"(truly {truth})")
        )
    return rows


def _commands() -> list[tuple[str, ...]]:
    activate = ". .venv/bin/activate"
    return [
        ("first", activate),
        ("report", "python -m webbrowser reports/report.html"),
        ("MLflow", "sadcl open mlflow"),
        ("Optuna", "sadcl tune --dashboard"),
        ("Prefect", "sadcl open prefect"),
    ]
