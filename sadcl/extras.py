"""Optional libraries: which extra of the package brings one, and the error where it is missing.

The extras are read from the installed metadata, so that ``pyproject.toml`` is their only list.
"""

import sys
from collections.abc import Iterable, Iterator
from importlib import import_module, metadata, util
from typing import TYPE_CHECKING, Any

from sadcl.errors import SadclError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PACKAGE = "sadcl"
CORE = ""
"""The extra of what every installation has."""
DISTRIBUTIONS = {
    "PIL": "pillow",
    "markdown_it": "markdown-it-py",
    "ruamel": "ruamel.yaml",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Distributions whose module has another name."""


def require(*modules: str) -> None:
    """Check that libraries are installed before work begins; none is imported.

    Raises:
        SadclError: one is missing; names the extra that brings it.
    """
    for module in modules:
        if util.find_spec(module) is None:
            raise explain(ModuleNotFoundError(name=module))


def load(module: str) -> Any:
    """Import a library that an extra brings.

    Raises:
        SadclError: it is missing or cannot be loaded; names the extra that brings it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise explain(error) from None


def explain(error: ImportError) -> SadclError:
    """Sentence for a failed import: which library, and what installs it.

    Raises:
        ImportError: the module is the package's own; that is a defect, no missing library.
    """
    module = (error.name or "").partition(".")[0]
    if module in ("", PACKAGE, "flows"):
        raise error
    distribution = distribution_of(module)
    extras = [extra for extra, requirement in requirements() if canonical(requirement.name) == distribution]
    reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded ({error})"
    if not extras or CORE in extras:  # another Python than the one that sadcl was installed for
        fix = "Activate the project's environment (`. .venv/bin/activate`), or install sadcl again"
        return SadclError(f"The package {distribution} {reason}", where=sys.executable, fix=fix)
    return SadclError(f"This command needs {distribution}, which {reason}", fix=f"Run `{pip_install(extras[0])}`")


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Installed versions by distribution, without the build (`+cpu`), which another machine may not offer."""
    return {name: metadata.version(name).partition("+")[0] for name in distributions}


def pip_install(extra: str) -> str:
    """Command that installs an extra."""
    return f"pip install '{PACKAGE}[{extra}]'" if extra else f"pip install {PACKAGE}"


def requirements() -> Iterator[tuple[str, "Requirement"]]:
    """Each requirement of the installed package for this Python, with its extra, in the order of ``pyproject.toml``."""
    from packaging.requirements import Requirement

    try:
        installed = metadata.metadata(PACKAGE)
    except metadata.PackageNotFoundError:  # a registered model carries the code alone
        return
    lines = [Requirement(line) for line in installed.get_all("Requires-Dist", [])]
    for extra in (CORE, *installed.get_all("Provides-Extra", [])):
        for line in lines:
            if _applies(line, extra) and (extra == CORE or not _applies(line, CORE)):
                yield extra, line


def _applies(requirement: "Requirement", extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def distribution_of(module: str) -> str:
    """Canonical name of the distribution that has a top-level module."""
    return canonical(DISTRIBUTIONS.get(module, module))


def canonical(name: str) -> str:
    """A distribution's name in lower case, its separators as hyphens."""
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)
