"""Diagnosis of a project: packages, settings, source, disk, registry and storage of studies."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata, util
from pathlib import Path

from sadcl import extras, layout, params, s3
from sadcl.data import listed_photos
from sadcl.data.listed_photos import ListedPhotos
from sadcl.data.shards import cache, index
from sadcl.errors import SadclError
from sadcl.evaluation.gate import champion
from sadcl.names import counted
from sadcl.pipeline import repository
from sadcl.project import capacity, notifications, schedule
from sadcl.training import launch, machines

GPU_DRIVERS = tuple(map(Path, ("/dev/nvidiactl", "/dev/nvidia0", "/proc/driver/nvidia", "/dev/kfd", "/dev/dxg")))
"""Files of the drivers that torch uses (NVIDIA's, AMD's, WSL's); without one of them there is no GPU for it."""


def diagnose(with_capacity: bool = False) -> list[str]:
    """One sentence per problem of the installation and the project; empty if there is none.

    Args:
        with_capacity: also examine whether the trainings fit into this machine's memory, which takes some seconds.
    """
    problems: list[str] = []
    own = (_packages, _project, _settings, _precision, _processes, _source, _buckets, _champion, _disk)
    checks = (*own, _services, _server, _studies, _cluster, _operations, *((_capacity,) if with_capacity else ()))
    for check in checks if _in_project() or util.find_spec("dvc") else (_packages,):  # the core alone needs no project
        try:
            problems += list(check())
        except SadclError as error:
            problems.append(str(error))
        except ModuleNotFoundError as error:
            problems.append(str(extras.explain(error)))
    return list(dict.fromkeys(problems))  # more than one check reads the settings


def notes(with_capacity: bool = False) -> list[str]:
    """Remarks on the project and the machine that are no problems, one sentence per line.

    Args:
        with_capacity: also what this machine has, and what the trainings need of it.
    """
    remarks = (repository.notes, _trains_in, _listed, _cached_shards, schedule.describe_runs)
    own = [line for remark in remarks for line in remark()] if _in_project() else []
    return [*own, *_capacity_notes()] if with_capacity else own


def _packages() -> Iterator[str]:
    """Packages that are missing (of the core, and in a project of its pipeline) or have another version."""
    needed = (extras.CORE, "pipeline") if _in_project() else (extras.CORE,)
    for extra, requirement in extras.requirements():
        name, command = requirement.name, extras.pip_install(extra)
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            if extra in needed:
                yield f"The package {name} is missing; run `{command}`."
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{name} is {version}, but sadcl needs {requirement.specifier}; run `{command}`."


def _in_project() -> bool:
    return Path("dvc.yaml").exists()


def _project() -> Iterator[str]:
    if not _in_project():
        yield "There is no dvc.yaml here; go to the project's folder, or run `sadcl init`."
    yield from repository.problems()
    if not Path(".dvc/config").exists():
        yield "DVC is not set up here; run `dvc init`."


def _settings() -> Iterator[str]:
    params.load()
    yield from ()


def _precision() -> Iterator[str]:
    settings = params.load()
    for name, precision in (("pretrain", settings.pretrain.precision), ("train", settings.train.precision)):
        if precision.startswith("32"):
            continue
        from sadcl.model import device  # imports torch

        if device.slow(precision):
            yield f"This processor emulates {precision}; set {name}.precision to 32-true, several times as fast."


def _processes() -> Iterator[str]:
    """Numbers of processes that can't share a batch, GPUs that are not there, or a port in use."""
    _plans()
    yield from machines.problems()


def _trains_in() -> Iterator[str]:
    """How many processes training uses, where there is more than one."""
    with suppress(SadclError, ModuleNotFoundError):  # `diagnose` reports them
        for stage, plan in _plans().items():
            if plan.world > 1:
                several = f" on {plan.machines} machines" if plan.machines > 1 else ""
                yield f"The stage {stage} trains in {plan.world} processes{several}."


def _plans() -> dict[str, launch.Plan]:
    """Number of processes of each stage of training; empty where one process trains in any case."""
    settings = params.load()
    if settings.model.is_linear_probe or _has_one_process():
        return {}
    stages = {"pretrain": settings.pretrain} | ({"train": settings.train} if settings.model.has_stage_2 else {})
    return {name: launch.plan(fit.batch) for name, fit in stages.items()}


def _has_one_process() -> bool:
    """Whether no variable asks for more than one process, and there is no GPU; torch would take seconds to say so."""
    variables = ("SADCL_PROCESSES", "SADCL_MACHINES", "SADCL_DEVICE")
    return not (any(os.environ.get(name) for name in variables) or any(driver.exists() for driver in GPU_DRIVERS))


def _source() -> Iterator[str]:
    folder = layout.RAW / params.load().ingest.source
    if not folder.exists():
        command = "run `sadcl data scenes`" if folder == layout.SCENES else "put your photos there, or run `dvc pull`"
        yield f"The source {folder} is missing; {command}."
    elif folder.is_symlink():
        yield (
            f"{folder} is a link, and DVC tracks no links: clones and scheduled runs won't have these photos. "
            f"Copy the photos there and run `dvc add {folder}`."
        )
    elif not folder.with_name(f"{folder.name}.dvc").exists():
        yield f"DVC does not track {folder}: clones and scheduled runs won't have it; run `dvc add {folder}`."


def _photos_on_s3() -> ListedPhotos | None:
    """Photos of the source that are on S3; None where they are files."""
    return listed_photos.of_source(layout.RAW / params.load().ingest.source)


def _listed() -> Iterator[str]:
    """Where the photos are, if they are on S3."""
    with suppress(SadclError, ModuleNotFoundError):  # `diagnose` reports them
        if photos := _photos_on_s3():
            yield f"The source's {counted(len(photos), 'photo')} are on {photos.place}."


def _buckets() -> Iterator[str]:
    """Buckets of photos and shards that do not answer, or whose clock differs from this machine's."""
    photos, store = _photos_on_s3(), params.load().prepare.store
    for address in ([photos.place] if photos else []) + ([store] if store else []):
        if problem := s3.bucket_problem(address):
            yield problem


def _champion() -> Iterator[str]:
    """A champion whose weights are missing, or are not those that were promoted."""
    if layout.CHAMPION.exists() and (current := champion.read_champion()):
        champion.weights_file(current)
    yield from ()


def _cached_shards() -> Iterator[str]:
    """How much of the training shards on S3 fits into this machine's cache, where that is not all."""
    with suppress(SadclError):  # no shards yet, or `diagnose` reports them
        shards, local = index.read(layout.TRAIN_SHARDS), cache.local()
        if shards.store is not None and shards.bytes > local.most:
            yield (
                f"The shards on {shards.store} have {shards.bytes / 1e9:.3g} GB, and the cache in {local.folder} is "
                f"bounded to {local.most / 1e9:.3g} ({cache.GIGABYTES}): the others are read photo by photo."
            )


def _capacity() -> Iterator[str]:
    if _in_project():
        yield from capacity.trainings()[1]


def _capacity_notes() -> Iterator[str]:
    yield capacity.machine()
    yield capacity.batch_prediction()
    with suppress(SadclError):  # `diagnose` reports it
        yield from capacity.trainings()[0] if _in_project() else ()


def _disk() -> Iterator[str]:
    free = shutil.disk_usage(".").free
    if free < 5e9:
        yield f"Only {free / 1e9:.1f} GB are free on this disk, and checkpoints may need more; run `sadcl clean`."


def _services() -> Iterator[str]:
    if layout.TEAM.is_dir():
        from sadcl.services import state

        yield from state.problems()


def _server() -> Iterator[str]:
    from sadcl.registry import client

    if client.registry_address().startswith("http"):
        client.check_connection()
    if note := client.temporary_folder_note():
        yield note


def _studies() -> Iterator[str]:
    from sadcl.tuning import checks

    yield from checks.problems()


def _cluster() -> Iterator[str]:
    from sadcl.batch.engines import checks

    yield from checks.problems()


def _operations() -> Iterator[str]:
    yield from schedule.problems()
    yield from notifications.describe()
