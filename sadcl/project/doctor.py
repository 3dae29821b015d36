"""Looking after a project: recipes, sources, what is accepted, what is wrong, what can go."""

import os
import shutil
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.progress import duration

SCENES = Path("data/raw/scenes")
TABLE = Path("data/table/annotations.parquet")
ACCEPTED = Path("data/accepted.json")
RUNS = Path(".sadcl/runs")
WRITTEN = ("data/table", "data/shards", "data/champion", "models", "reports")
"""Folders that stages write to."""


def use_recipe(name: str) -> list[str]:
    """Write a recipe to params.yaml; settings that stand in no recipe are kept beside it.

    Returns:
        What was done, a sentence a line.

    Raises:
        SadclError: there is no project or no such recipe here, or it does not hold together.
    """
    from sadcl import pipeline

    pipeline.require_project()
    source = params.recipe(name)
    params.parse(params.read(source), where=source)
    wanted = source.read_text(encoding="utf-8")
    present = params.FILE.read_text(encoding="utf-8") if params.FILE.exists() else wanted
    if present == wanted and params.FILE.exists():
        return [f"params.yaml is the recipe {name} already"]
    said = []
    if present not in {path.read_text(encoding="utf-8") for path in params.known_recipes().values()}:
        kept = params.FILE.with_name(f"params.{files.digest_of(present)[:8]}.yaml")
        files.write_text(kept, present)
        said.append(f"Your own settings are kept in {kept}")
    files.write_text(params.FILE, wanted)
    return [*said, f"params.yaml is now the recipe {name}"]


def make_scenes(seed: int) -> str:
    """Make ``data/raw/scenes`` and track it with DVC."""
    from sadcl import pipeline
    from sadcl.data import synthetic

    pipeline.require_project()
    started = time.monotonic()
    synthetic.make(SCENES, seed)
    pipeline.add(SCENES)
    return f"{SCENES} is made and tracked, in {duration(time.monotonic() - started)}"


def accept_data() -> str:
    """Write ``data/accepted.json`` from the present table."""
    from sadcl.data import table
    from sadcl.data.validation import baseline

    if not TABLE.exists():
        raise SadclError("There is no table to accept", where=TABLE, fix="Run `dvc repro validate` first")
    files.write_json(ACCEPTED, baseline.accept(table.read(TABLE)))
    return f"{ACCEPTED} now describes the present data; commit it"


def status() -> list[str]:
    """Who is champion, who challenges, what ran last, what is stale; a sentence a line."""
    from sadcl import pipeline
    from sadcl.registry.status import sentences

    pipeline.require_project()
    try:
        lines = sentences()
    except SadclError as error:  # a registry that does not answer hides nothing else
        lines = [str(error)]
    runs = {path.stem: files.read_json(path) for path in RUNS.glob("*.json")}
    if runs:
        name, last = max(runs.items(), key=lambda item: item[1]["ended"])
        ago = duration(time.time() - last["ended"])
        lines.append(f"Ran last: {name}, {ago} ago, for {duration(last['seconds'])}.")
    else:
        lines.append("Nothing ran here yet; `dvc repro` runs the loop.")
    try:
        stale = pipeline.stale()
    except SadclError as error:
        return [*lines, str(error)]
    lines += [f"Stale: {stage} ({'; '.join(reasons)})" for stage, reasons in stale.items()]
    return lines if stale else [*lines, "Nothing is stale."]


def doctor() -> list[str]:
    """What is missing or mis-set, a sentence a finding; empty when all is well."""
    found: list[str] = []
    for check in (_packages, _project, _settings, _precision, _source, _disk, _server):
        try:
            found += list(check())
        except SadclError as error:
            found.append(str(error))
    return list(dict.fromkeys(found))  # settings that can't be read are missed by more than one check


def removable() -> list[tuple[Path, int]]:
    """What can be made again or is left over: path and bytes."""
    made = [path for name in ("state", "worktrees", "downloads") for path in Path(".sadcl", name).glob("*")]
    made.append(Path(".sadcl/cache"))
    found = [path for path in made if path.exists() and not _in_use(path)]
    found += [part for folder in WRITTEN for part in Path(folder).rglob(".*.part") if _abandoned(part)]
    return [(path, size) for path in found if (size := _size(path))]


def clean(found: list[tuple[Path, int]]) -> str:
    """Remove what ``removable`` named, and what DVC's cache holds for no file or commit."""
    from sadcl import pipeline

    for path, _ in found:
        path.unlink(missing_ok=True) if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    pipeline.collect_garbage()
    return f"Freed {sum(size for _, size in found) / 1e6:.1f} MB beside what DVC's cache no longer needs."


def _packages() -> Iterator[str]:
    from packaging.requirements import Requirement

    for text in metadata.requires("sadcl") or []:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield f"The package {wanted.name} is missing; run `make install`."
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            yield f"{wanted.name} is {version}, but sadcl needs {wanted.specifier}; run `make install`."


def _project() -> Iterator[str]:
    if not Path("dvc.yaml").exists():
        yield "There is no dvc.yaml here; go to the project's folder."
    if not Path(".git").exists():
        yield "This is no git repository; run `git init`, or clone the project."
    if not Path(".dvc/config").exists():
        yield "DVC is not set up here; run `dvc init`."


def _settings() -> Iterator[str]:
    params.load()
    yield from ()


def _precision() -> Iterator[str]:
    from sadcl.model import device

    settings = params.load()
    for name, precision in (("pretrain", settings.pretrain.precision), ("train", settings.train.precision)):
        if device.slow(precision):
            yield f"This processor has to emulate {precision}; set {name}.precision to 32-true, several times as fast."


def _source() -> Iterator[str]:
    folder = Path("data/raw") / params.load().ingest.source
    if not folder.exists():
        make = "run `sadcl data scenes`" if folder == SCENES else "put your photos there, or run `dvc pull`"
        yield f"The source {folder} is not there; {make}."
    elif folder.is_symlink():
        yield (
            f"{folder} is a link, which DVC does not version: clones and scheduled runs won't have these photos. "
            f"Put them there themselves and run `dvc add {folder}`."
        )
    elif not folder.with_name(f"{folder.name}.dvc").exists():
        yield f"{folder} is not versioned: clones and scheduled runs won't have it; run `dvc add {folder}`."


def _disk() -> Iterator[str]:
    free = shutil.disk_usage(".").free
    if free < 5e9:
        yield f"Only {free / 1e9:.1f} GB are free on this disk, and checkpoints may need more; `sadcl clean` helps."


def _server() -> Iterator[str]:
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if address.startswith("http"):
        from sadcl.registry.client import check

        check()
    yield from ()


def _in_use(path: Path) -> bool:
    lock = path / "lock"
    if not lock.exists():
        return False
    try:
        with files.held(lock, "cleaning"):
            return False
    except SadclError:
        return True


def _abandoned(part: Path) -> bool:
    """A file that was being written when its process was killed: one that is alive writes more often than this."""
    return time.time() - part.stat().st_mtime > 3600


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


def last_seconds() -> dict[str, Any]:
    """How long each stage took when it ran last."""
    return {path.stem: files.read_json(path)["seconds"] for path in RUNS.glob("*.json")}
