"""Conditions of a study: what all its trials share, recorded at its start and compared on each machine that joins."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from sadcl import extras, files, layout, params
from sadcl.data.shards.index import INDEX
from sadcl.errors import SadclError

ATTRIBUTE = "conditions"
"""Attribute of a study with its conditions."""

SHOWN = 3
"""Number of differences that a message names."""

_FIXES = {
    "settings": "Take the params.yaml that the study was started with",
    "data": "Run `dvc pull`, or `dvc repro prototypes`",
    "code": "Install the version, or check out the commit, that the study was started with",
    "packages": "Install the versions of the study, such as with `make install`",
}
"""Advice for each kind of difference, in the order in which differences are named."""

Conditions = dict[str, dict[str, Any]]


def present(settings: params.Params, root: Path = Path()) -> Conditions:
    """Conditions of a training on this machine: settings, digests of data and code, versions of packages.

    Raises:
        SadclError: photos, stage-1 weights or prototypes are missing.
    """
    # torch comes with it, which every training needs anyway
    from sadcl.training import resume

    return {
        "settings": shared_settings(settings),
        "data": {name: _digest(root / path) for name, path in _data().items()},
        "code": {"code of training": resume.code()},
        "packages": dict(_versions()),
    }


def shared_settings(settings: params.Params) -> dict[str, Any]:
    """Settings that all trials share, by their name in params.yaml: those of a training but the searched ones."""
    searched = set(settings.tune.space)
    sections = {"model": settings.model, "train": settings.train}
    values = {
        f"{section}.{key}": value
        for section, model in sections.items()
        for key, value in model.model_dump(mode="json").items()
    }
    space = {f"tune.space.{key}": value for key, value in settings.tune.model_dump(mode="json")["space"].items()}
    return {key: value for key, value in values.items() if key not in searched} | space | {"seed": settings.seed}


def require_equal(study: str, recorded: Conditions | None, here: Conditions) -> None:
    """Compare this machine with a study.

    Args:
        study: its name.
        recorded: its conditions; None if it has none.
        here: of this machine.

    Raises:
        SadclError: they differ; the message names the differences.
    """
    if recorded is None:
        fix = "Run `sadcl tune` once where the study was started"
        raise SadclError("The study has no record of its settings, data and versions", where=study, fix=fix)
    differing = differences(recorded, here)
    if differing:
        kind = next(kind for kind in _FIXES if recorded.get(kind) != here.get(kind))
        raise SadclError(f"This machine differs from the study: {describe(differing)}", where=study, fix=_FIXES[kind])


def differences(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """One phrase for each condition that differs."""
    phrases = []
    for kind in _FIXES:
        local, shared = here.get(kind, {}), recorded.get(kind, {})
        for name in sorted(local.keys() | shared.keys()):
            value, recorded_value = local.get(name, "absent"), shared.get(name, "absent")
            if value != recorded_value:
                is_digest = kind in ("data", "code")
                phrase = f"{name} is {value} on this machine and {recorded_value} in the study"
                phrases.append(f"other {name}" if is_digest else phrase)
    return phrases


def describe(phrases: list[str]) -> str:
    """Join the first differences to a phrase."""
    more = len(phrases) - SHOWN
    return "; ".join(phrases[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _data() -> dict[str, Path]:
    return {
        "training photos": layout.TRAIN_SHARDS / INDEX,
        "select photos": layout.SELECT_SHARDS / INDEX,
        "stage-1 weights": layout.PRETRAIN_WEIGHTS,
        "prototypes": layout.PROTOTYPES,
    }


def _digest(path: Path) -> str:
    if not path.exists():
        raise SadclError("An input of the trainings is missing", where=path, fix=_FIXES["data"])
    return files.digest(path)


def _versions() -> list[tuple[str, str]]:
    """Versions of the core's packages and of Optuna, without the local part, which names a build for a device."""
    from packaging.version import Version

    names = {extras.canonical(requirement.name) for extra, requirement in extras.requirements() if extra == extras.CORE}
    return [(name, Version(metadata.version(name)).public) for name in sorted({*names, "optuna", "sadcl"})]
