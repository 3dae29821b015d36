"""Lightning Fabric, imported without torch's compiler."""

from sadcl.model.compiler import postponed_compiler

try:
    with postponed_compiler():
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy
except (AttributeError, ImportError):  # another release may need more of the compiler
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

__all__ = ["DDPStrategy", "Fabric"]
