"""Tag photos with many labels, keep the model honest, retrain without fear.

The public face, loaded when it is first used: ``load``, ``evaluate``, ``losses``, ``SadclError``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sadcl.errors import SadclError

if TYPE_CHECKING:
    import sadcl.model.losses as losses
    from sadcl.evaluation.metrics import evaluate
    from sadcl.registry.load import load

__version__ = "0.1.0"
__all__ = ["SadclError", "__version__", "evaluate", "load", "losses"]

_PUBLIC = {
    "evaluate": ("sadcl.evaluation.metrics", "evaluate"),
    "load": ("sadcl.registry.load", "load"),
    "losses": ("sadcl.model.losses", None),
}
"""Module and attribute of each public name; a module itself where the attribute is None."""


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sadcl' has no attribute {name!r}")
    path, attribute = _PUBLIC[name]
    module = import_module(path)
    return module if attribute is None else getattr(module, attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
