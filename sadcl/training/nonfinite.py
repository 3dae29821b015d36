"""A loss or gradient that is no number: its update is left out on the device, training ends a few steps later."""

from collections.abc import Mapping

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import Optimizer

from sadcl.errors import SadclError

EVERY = 16
"""Steps between two looks: each look waits for the device."""


class NonFiniteGuard:
    """Losses of the last steps, not read yet.

    Args:
        optimiser: a fused one, which leaves all as it is where its ``found_inf`` is 1 (torch's own way, made for
            scaled gradients; a gradient scaler sets its own in the same place, and takes an overflow lightly).
        fabric: a step is left out by all processes or by none.
    """

    def __init__(self, optimiser: Optimizer, fabric: Fabric) -> None:
        self.optimiser, self.fabric = optimiser, fabric
        self.scaled = getattr(fabric.strategy.precision, "scaler", None) is not None
        self._seen: list[tuple[Mapping[str, Tensor], list[str], str]] = []
        self._broken: list[Tensor] = []

    def see(self, losses: Mapping[str, Tensor], ids: list[str], where: str) -> None:
        """Take a step's losses before its update.

        Raises:
            SadclError: a loss of one of the last steps is not a number.
        """
        if len(self._seen) >= EVERY:
            self.look()
        self._seen.append((losses, ids, where))
        self._broken.append(self._mark(~torch.stack([loss.isfinite() for loss in losses.values()]).all()))

    def see_gradient(self, norm: Tensor) -> None:
        """Take the norm of the same step's gradient, before its update; with a gradient scaler it may be infinite."""
        if not self.scaled:
            self._broken[-1] = self._mark(self._broken[-1] | ~norm.isfinite())

    def _mark(self, broken: Tensor) -> Tensor:
        if self.fabric.world_size > 1:  # gradients are shared, and so is what spoils them
            broken = self.fabric.all_reduce(broken.float(), reduce_op="sum") > 0  # type: ignore[operator, assignment]
        self.optimiser.found_inf = broken.float()  # type: ignore[attr-defined]
        return broken

    def look(self) -> None:
        """Read what was seen, and forget it.

        Raises:
            SadclError: a loss was not a number, or the gradient's norm was not.
        """
        seen, broken = self._seen, self._broken
        self._seen, self._broken = [], []
        if broken and bool(torch.stack(broken).any()):
            losses, ids, where = next(step for step, flag in zip(seen, broken, strict=True) if flag)
            values = {name: float(loss) for name, loss in losses.items()}
            bad = ", ".join(f"{name} {value}" for name, value in values.items() if value - value != 0)
            what = f"The loss is not a number: {bad}" if bad else "The gradient is not a number, though the loss is"
            raise SadclError(
                f"{what}; images {', '.join(ids[:5])} and {max(len(ids) - 5, 0)} more",
                where=where,
                fix="Lower lr, set gradient_clip, or look at these images; the last good state is kept",
            )
