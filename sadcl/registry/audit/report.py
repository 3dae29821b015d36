"""Output of `sadcl audit` about a registry, or about a copy of one."""

from dataclasses import dataclass
from pathlib import Path

from sadcl import files
from sadcl.errors import SadclError
from sadcl.registry import identity
from sadcl.registry.audit import bundle, bundle_check, bundle_files, verify


@dataclass(frozen=True)
class Report:
    """Output of `sadcl audit`.

    Attributes:
        history: a sentence for each change, oldest first.
        notes: what was verified, and what was not.
        problems: a sentence for each thing that is wrong.
        complete: the conclusion where nothing is wrong.
    """

    history: list[str]
    notes: list[str]
    problems: list[str]
    complete: str

    @property
    def conclusion(self) -> list[str]:
        """The problems, or that there are none."""
        return self.problems or [self.complete]


def of_registry(export: Path | None = None, pinned: str | None = None, root: Path = Path(".")) -> Report:
    """Verify the registry of a project, or write a signed copy of it and verify that.

    Args:
        export: file for the copy; None verifies the registry itself.
        pinned: fingerprint that the server's root key must have; None accepts any key.
        root: the project's folder.

    Raises:
        SadclError: the registry can't be reached, or has no server that signs a copy.
    """
    if export is not None:
        _export(export, root)
        return of_bundle(export, None, pinned)
    history = verify.read_history(root, pinned)
    complete = f"The log is complete: it agrees with the registry. Entries: {len(history.lines)}."
    return Report(history.lines, history.signatures, history.problems, complete)


def of_bundle(path: Path, folder: Path | None = None, pinned: str | None = None) -> Report:
    """Verify a copy of a registry, without server and project.

    Args:
        path: file that `sadcl audit --export` wrote.
        folder: weights files that are compared with the digests in the copy; None compares none.
        pinned: fingerprint that the server's root key must have; None accepts any key.

    Raises:
        SadclError: the file can't be read or is no such copy, or the folder has no weights files.
    """
    copied = bundle_check.verify(bundle.read(path), pinned)
    notes, problems = list(copied.summary), list(copied.problems)
    if folder is not None:
        compared = bundle_files.compare(folder, copied.models)
        notes, problems = notes + compared.matches, problems + compared.problems
    return Report(copied.history, notes, problems, f"The copy is whole. Entries: {len(copied.history)}.")


def _export(path: Path, root: Path) -> None:
    """Write the signed copy that the server composes.

    Raises:
        SadclError: the registry has no server that knows accounts, or the file can't be written.
    """
    text = identity.ask(identity.BUNDLE, root)
    if text is None:
        raise SadclError(
            "This registry has no server that knows accounts, so nobody signs a copy of it",
            fix="Start a server by `sadcl up`; without one, copy the project: `sadcl audit` verifies its log there",
        )
    if not bundle.is_readable(text.encode()):
        raise SadclError(
            f"A copy of this registry would be larger than {bundle.LIMITS}, which nobody could read",
            fix="Delete versions that nobody needs; `sadcl audit` verifies the registry itself",
        )
    files.write_text(path, text)
