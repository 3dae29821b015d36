"""Run ``sadcl ARGUMENTS``, or Python code after ``-c``, as if nothing but the core's dependencies were installed.

Modules of all other distributions are hidden from imports, so that a test needs no second environment.
"""

import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def core() -> set[str]:
    """Distributions that come with ``sadcl`` without an extra, those that they need included."""
    reached: set[tuple[str, str]] = set()
    waiting = [("sadcl", "")]
    while waiting:
        name, extra = pair = waiting.pop()
        if pair in reached:
            continue
        reached.add(pair)
        try:
            needed = [Requirement(line) for line in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:  # for another platform
            continue
        for requirement in needed:
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                distribution = canonicalize_name(requirement.name)
                waiting += [(distribution, wanted) for wanted in ("", *requirement.extras)]
    return {name for name, _ in reached}


class CoreFinder(PathFinder):
    """Finder that has no module of a distribution outside the core."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Spec of a module of the core; None as in an environment without the others."""
        return None if fullname.partition(".")[0] in hidden() else super().find_spec(fullname, path, target)


@cache
def hidden() -> frozenset[str]:
    """Top-level modules of all distributions outside the core."""
    allowed = core()
    installed = metadata.packages_distributions().items()
    return frozenset(module for module, names in installed if not allowed.intersection(map(canonicalize_name, names)))


def main(arguments: list[str]) -> None:
    """Hide the other distributions, then run."""
    hidden()
    sys.meta_path[:] = [CoreFinder if finder is PathFinder else finder for finder in sys.meta_path]
    if arguments[0] == "-c":
        exec(arguments[1], {})
        return
    sys.argv = ["sadcl", *arguments]
    from sadcl.cli import main as command

    command()


if __name__ == "__main__":
    main(sys.argv[1:])
