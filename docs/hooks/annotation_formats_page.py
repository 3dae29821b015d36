"""The page of annotation formats, from the docstrings of the readers under ``sadcl/data/sources``."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

from sadcl.data import sources
from sadcl.data.sources.formats import FORMATS

INTRO = """# Annotation formats

`ingest.format` names one of these; `tabular` describes the columns of `csv` and `parquet`. `sadcl data add` recognises
the formats that people export themselves and writes the settings
([Your own photos](../tutorials/your-own-photos.md)). A label is present, absent, or neither; labels that are neither
are left out of losses and metrics.

This page is generated from the docstrings of the readers.
"""


def page() -> str:
    """Markdown of all readers, a section each."""
    return "\n".join([INTRO, *(part for module in _readers() for part in _section(module))])


def _readers() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(sources.__path__):
        module = importlib.import_module(f"{sources.__name__}.{found.name}")
        if any(_reads(value, module) for value in vars(module).values()):
            yield module


def _reads(value: object, module: ModuleType) -> bool:
    """Whether it is a reader: a public function of this module, from ``(root, settings, ...)`` to a ``Source``."""
    if not inspect.isfunction(value) or value.__module__ != module.__name__ or value.__name__.startswith("_"):
        return False
    signature = inspect.signature(value)
    return list(signature.parameters)[:2] == ["root", "settings"] and signature.return_annotation is sources.Source


def _section(module: ModuleType) -> Iterator[str]:
    names = [known.name for known in FORMATS if known.read_source.__module__ == module.__name__]
    yield f"## {', '.join(names) or module.__name__.rpartition('.')[2]}\n"
    yield (inspect.getdoc(module) or "").replace("``", "`") + "\n"
