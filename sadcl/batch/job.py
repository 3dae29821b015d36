"""A batch job: list, plan, compute, summarise; started again, it goes on where it ended."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sadcl import files, s3
from sadcl.batch import csv_file, lease, listing, parts, plan, summary
from sadcl.batch.chunks import BATCH
from sadcl.batch.engines import start
from sadcl.batch.lease import Engine
from sadcl.batch.parts import About, Collector
from sadcl.batch.spec import Spec, prediction_versions
from sadcl.data import listed_photos, manifest
from sadcl.data.manifest import Manifest
from sadcl.errors import SadclError
from sadcl.names import counted
from sadcl.processes import EngineName
from sadcl.progress import say, track
from sadcl.weights import loader

LOCK = ".lock"
MORE_ROUNDS = 2
"""Times that the photos are listed again, where some change meanwhile."""
SHARE = 4
"""Pieces for each worker, at least, so that all end at about the same time."""
PIECE = 8 * BATCH
"""Photos of a piece, at most: what a worker computes is lost with it."""
Started = tuple[Engine, int]
"""A running engine, and its number of workers."""


@dataclass(frozen=True)
class Options:
    """How a job runs.

    Attributes:
        threshold: for all classes; None for the model's own. It alone changes results.
        engine: ``local`` for this machine, ``ray`` for a cluster.
        workers: at a time; None for one on each core, or each GPU.
        seconds: that decoding a photo may take.
        csv: also write ``_predictions.csv``.
        retry: try photos without prediction again.
    """

    threshold: float | None = None
    engine: EngineName = "local"
    workers: int | None = None
    seconds: float = 60.0
    csv: bool = False
    retry: bool = False


def run(place: str, out: Path, model: Path, options: Options) -> dict[str, Any]:
    """Predict all photos of a place, and return the summary.

    Args:
        place: a folder, an ``s3://`` address, or a list.
        out: folder for the predictions; it may hold those of an earlier run of the same place.
        model: weights or ONNX file, or its folder.
        options: how to run.

    Raises:
        SadclError: the place or the model can't be read, there is no photo, another process writes to ``out``, it holds
            predictions of another place, no worker can be started, or the disk is full.
    """
    photos = listing.find(place)
    file = loader.model_file(model) if model.is_dir() else model
    classes = tuple(loader.read_head(file)["classes"])  # first: it says what is wrong with a file
    job = _Job(
        photos, out, file, About(files.digest(file), classes, options.threshold, prediction_versions(file)), options
    )
    files.require_folder(out)
    with files.lock(out / LOCK, "writing predictions to this folder"):
        _require_same_place(out, photos.name)
        _remove_leftovers(out)
        failed = job.is_interrupted() and job.resume()
        changed = job.predict(options.retry or failed)
        for _ in range(MORE_ROUNDS):
            if changed:
                say(f"  {counted(changed, 'photo')} changed meanwhile: the place is listed again")
                changed = job.predict(retry=False)
        if options.csv:
            csv_file.write(out)
        return summary.read(out)


def _remove_leftovers(out: Path) -> None:
    """Remove what a run that was killed while it wrote has left; no hidden file of the user."""
    for name in (f"{parts.PREFIX}*{parts.SUFFIX}", listing.FILE, summary.FILE, csv_file.FILE):
        for leftover in out.glob(f".{name}.*.part"):
            if leftover.is_file():
                leftover.unlink()


def _forget(out: Path) -> None:
    """Remove what describes predictions that are about to change."""
    for name in (csv_file.FILE, summary.FILE):
        (out / name).unlink(missing_ok=True)


def _require_same_place(out: Path, place: str) -> None:
    if not (out / listing.FILE).exists():
        return
    with closing(Manifest(out / listing.FILE)) as earlier:
        if earlier.place != place:
            fix = "Choose another folder"
            raise SadclError(f"The folder holds predictions of another place, {earlier.place}", where=out, fix=fix)


@dataclass(frozen=True)
class _Job:
    """A place, a model, and where the predictions go."""

    place: listing.Place
    out: Path
    model: Path
    about: About
    options: Options

    def is_interrupted(self) -> bool:
        """Whether a run with this model and these settings was stopped between its first part and its summary."""
        path = self.out / listing.FILE
        if not path.exists() or summary.is_complete(self.out, files.digest(path)):
            return False
        return plan.has_part(self.out, self.about)

    def resume(self) -> bool:
        """Predict what an interrupted run has left of its list: listing a million photos anew takes a minute.

        Returns:
            Whether a photo has no prediction: it may have been away only for the moment.
        """
        if self.place.is_empty():  # a disk that is not mounted
            raise self._no_photo()
        say("  resuming with the photos that were listed before; they are listed again afterwards")
        with self._engine() as started:  # first: the workers load their libraries while the plan is made
            return self._compute(False, started).total() > 0

    def predict(self, retry: bool) -> int:
        """List the place, and predict what is not there yet; return the number of photos that changed meanwhile."""
        listed = track(self._rows(), "listing photos", unit="photos")
        manifest.write(self.out / listing.FILE, self.place.name, listed)
        failures = self._compute(retry)
        return failures[listed_photos.CHANGED] + failures[listed_photos.GONE]

    def _compute(self, retry: bool, started: Started | None = None) -> Counter[str]:
        """Predict the listed photos that are not there yet.

        Args:
            retry: whether photos without prediction are tried again.
            started: an engine; by default one is started where there is work for it.

        Returns:
            Number of photos without prediction by reason, of those that were predicted now.
        """
        path = self.out / listing.FILE
        digest = files.digest(path)
        if not retry and summary.is_finished(self.out, digest, self.about):
            return Counter()
        with closing(Manifest(path)) as listed:
            todo = plan.make(listed, self.out, self.about, retry)
            collector = Collector(self.out, listed, self.about)
            if todo.rewritten:  # before the first of them changes: a summary that is there is true
                _forget(self.out)
            if todo.left:
                with nullcontext(started) if started else self._engine() as (engine, workers):
                    ready = self._photos(todo, collector, engine, workers)
                    for _ in track(ready, "predicting", total=todo.photos, unit="photos", size=int):
                        pass
        names = [parts.name(chunk.key) for chunk in todo.chunks]
        (self.out / csv_file.FILE).unlink(missing_ok=True)  # of other predictions
        summary.write(self.out, self.place.name, digest, self.about, names, collector.written)
        for name in parts.written(self.out) - set(names):  # not before: the earlier summary names them
            (self.out / name).unlink()
        return collector.failures

    def _rows(self) -> Iterator[manifest.Row]:
        """Rows of the place; raise where there is none: a disk that is not mounted would clear all predictions."""
        rows = self.place.rows()
        first = next(rows, None)
        if first is None:
            raise self._no_photo()
        yield first
        yield from rows

    def _no_photo(self) -> SadclError:
        return SadclError("There is no photo here", where=self.place.name, fix="Check the path")

    def _photos(self, todo: plan.Plan, collector: Collector, engine: Engine, workers: int) -> Iterator[int]:
        """Compute the plan; yields numbers of photos that have become ready."""
        share = -(-todo.photos // (SHARE * workers))
        most = min(-(-share // BATCH) * BATCH, PIECE)
        reused = 0
        for count in lease.work(todo.pieces(collector, most), todo.rows, engine, collector):
            yield count + todo.reused - reused
            reused = todo.reused

    @contextmanager
    def _engine(self) -> Iterator[Started]:
        """A running engine, and its number of workers."""
        root, about, options = self.place.root, self.about, self.options
        local = start.environments(options.workers)
        threads = s3.READERS if s3.is_address(root) else start.threads(local)
        settings = {"threshold": about.threshold}
        spec = Spec(
            "predict", root, [str(self.model)], [about.model], threads, options.seconds, about.versions, settings
        )
        engine, workers = start.start(options.engine, spec, local, options.workers)
        with closing(engine):
            yield engine, workers
