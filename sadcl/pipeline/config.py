"""A folder as a DVC project: its settings, cache and remote."""

from collections.abc import Mapping
from pathlib import Path

from sadcl import extras, files
from sadcl.errors import SadclError
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
    """Make sure that ``root`` is a project's folder, before anything is written there.

    Raises:
        SadclError: it is not, or DVC is not installed.
    """
    extras.require("dvc")
    for name, mend in (("dvc.yaml", ""), (CONFIG.parent.name, ", or run `dvc init`")):
        if not (root / name).exists():
            raise SadclError(f"There is no {name} here", where=root.resolve(), fix=f"Go to the project's folder{mend}")


def set_up(root: Path = Path(".")) -> None:
    """Make ``root`` a DVC project with a remote inside it; settings that stand there stay. Quick when done already.

    Raises:
        SadclError: DVC refuses.
    """
    if not (root / CONFIG).exists():
        dvc("init", *_scm(root), root=root)
    _configure(root / CONFIG, SETTINGS, start=root / CONFIG, keep=True)


def share_cache(root: Path, other: Path) -> None:
    """Let the project copy ``other`` use the cache and the local remote of ``root``, for itself only."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        cache = str(Path(repo.cache.local_cache_dir).resolve())
        remote = (repo.config["remote"].get(REMOTE) or {}).get("url")
    wanted = {"cache": {"dir": cache}, **({f'remote "{REMOTE}"': {"url": remote}} if remote else {})}
    _configure(other / LOCAL_CONFIG, wanted, start=root / LOCAL_CONFIG)


def links(root: Path = Path(".")) -> bool:
    """Whether DVC's cache shares the disk with the files that it tracks here; else they lie there twice."""
    from dvc.repo import Repo
    from dvc_objects.fs.generic import test_links
    from dvc_objects.fs.local import LocalFileSystem

    with Repo(str(root)) as repo:
        cache = repo.cache.local
        here = LocalFileSystem()  # type: ignore[no-untyped-call,unused-ignore]
        found = test_links(cache.cache_types, cache.fs, cache.path, here, str(root.resolve() / "x"))
    return any(kind != "copy" for kind in found)


def _configure(path: Path, wanted: Mapping[str, Mapping[str, str]], *, start: Path, keep: bool = False) -> None:
    """Write one of DVC's settings files: what stands in ``start``, then ``wanted`` (with ``keep`` where free)."""
    from configobj import ConfigObj  # type: ignore[import-untyped,unused-ignore]

    before = start.read_text(encoding="utf-8").splitlines() if start.exists() else []
    config = ConfigObj(list(before))
    for part, keys in wanted.items():
        section = config.setdefault(part, {})
        section.update({key: value for key, value in keys.items() if not (keep and key in section)})
    if not path.exists() or config != ConfigObj(before):
        files.write_text(path, "\n".join(config.write()) + "\n")


def _scm(root: Path) -> list[str]:
    """How ``dvc init`` stands to git: at its top, below it, or without it."""
    if (root / ".git").exists():
        return []
    return ["--subdir"] if any((parent / ".git").exists() for parent in root.resolve().parents) else ["--no-scm"]
