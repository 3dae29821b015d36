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

_HOMES = {"evaluate": "sadcl.evaluation.metrics", "load": "sadcl.registry.load", "losses": "sadcl.model.losses"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sadcl' has no attribute {name!r}")
    home = import_module(_HOMES[name])
    return home if _HOMES[name].endswith("." + name) else getattr(home, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
