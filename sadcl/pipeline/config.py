"""DVC's configuration of a project: settings, cache and remote."""

from collections.abc import Mapping
from pathlib import Path

from sadcl import extras, files
from sadcl.errors import SadclError
from sadcl.pipeline import repository
from sadcl.pipeline.dvc import dvc

REMOTE = "local"
CONFIG, LOCAL_CONFIG = Path(".dvc/config"), Path(".dvc/config.local")
SETTINGS = {
    "core": {"analytics": "false", "autostage": "false", "remote": REMOTE},
    "hydra": {"enabled": "false"},
    "cache": {"type": "reflink,hardlink,copy"},
    f'remote "{REMOTE}"': {"url": "../.dvc-remote"},
}


def require_project(root: Path = Path(".")) -> None:
    """Check that ``root`` is the folder of a project, before a command writes anything.

    Raises:
        SadclError: it is not, or DVC is not installed.
    """
    extras.require("dvc")
    require_graph(root)
    _require(root, CONFIG.parent.name, "run `dvc init`")


def require_graph(root: Path = Path(".")) -> None:
    """Check that ``root`` has a graph of stages, which a clone has before DVC is set up in it.

    Raises:
        SadclError: it has none.
    """
    _require(root, "dvc.yaml", "run `sadcl init`")


def _require(root: Path, name: str, hint: str) -> None:
    if not (root / name).exists():
        fix = f"Go to the project's folder, or {hint}"
        raise SadclError(f"There is no {name} here", where=root.resolve(), fix=fix)


def set_up(root: Path = Path(".")) -> None:
    """Initialise DVC in ``root`` with a remote beside it; existing settings are kept, a second call changes nothing.

    Raises:
        SadclError: ``dvc init`` fails.
    """
    if not (root / CONFIG).exists():
        dvc("init", *_scm(root), root=root)
    _configure(root / CONFIG, SETTINGS, start=root / CONFIG, keep=True)


def share_cache(root: Path, copy: Path) -> None:
    """Configure the project copy ``copy`` to use the cache and remote of ``root``, in its local settings only."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        cache = str(Path(repo.cache.local_cache_dir).resolve())
        remote = (repo.config["remote"].get(REMOTE) or {}).get("url")
    settings = {"cache": {"dir": cache}, **({f'remote "{REMOTE}"': {"url": remote}} if remote else {})}
    if repository.has_fixed_worktree(root):
        settings["core"] = {"no_scm": "true"}
    # the local file is not committed: the copy's branch does not carry paths of this machine
    _configure(copy / LOCAL_CONFIG, settings, start=root / LOCAL_CONFIG)


def links(root: Path = Path(".")) -> bool:
    """Whether DVC can link files to its cache; if not, each tracked file takes its space twice."""
    from dvc.repo import Repo
    from dvc_objects.fs.generic import test_links
    from dvc_objects.fs.local import LocalFileSystem

    with Repo(str(root)) as repo:
        cache = repo.cache.local
        disk = LocalFileSystem()  # type: ignore[no-untyped-call,unused-ignore]
        kinds = test_links(cache.cache_types, cache.fs, cache.path, disk, str(root.resolve() / "x"))
    return any(kind != "copy" for kind in kinds)


def _configure(path: Path, settings: Mapping[str, Mapping[str, str]], *, start: Path, keep: bool = False) -> None:
    """Write a DVC configuration file: the content of ``start`` updated with ``settings``.

    Args:
        path: the file to write; left alone if nothing changes.
        settings: values by section and key.
        start: the file to start from; it may be missing.
        keep: whether existing values take precedence.
    """
    from configobj import ConfigObj  # type: ignore[import-untyped,unused-ignore]

    before = start.read_text(encoding="utf-8").splitlines() if start.exists() else []
    config = ConfigObj(list(before))
    for name, keys in settings.items():
        section = config.setdefault(name, {})
        section.update({key: value for key, value in keys.items() if not (keep and key in section)})
    # as values: an equal file in other words stays as a person wrote it
    if not path.exists() or config != ConfigObj(before):
        files.write_text(path, "\n".join(config.write()) + "\n")


def _scm(root: Path) -> list[str]:
    """Options of ``dvc init``: at the root of a git repository, in a folder of one, or without git."""
    if (root / ".git").exists():
        return []
    return ["--subdir"] if repository.contains(root) else ["--no-scm"]
