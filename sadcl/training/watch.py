"""A loss that is no number: the update is left out on the device at once, the training ends a few steps later."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from sadcl.errors import SadclError

EVERY = 16
"""Steps between two looks: each look waits for the device."""


class Watch:
    """Losses of the last steps, not read yet.

    Args:
        optimiser: a fused one, which leaves all as it is where its ``found_inf`` is 1 (torch's own way, made for
            scaled gradients; a gradient scaler sets its own in the same place).
    """

    def __init__(self, optimiser: Optimizer) -> None:
        self.optimiser = optimiser
        self._seen: list[tuple[Mapping[str, Tensor], list[str], str]] = []
        self._broken: list[Tensor] = []

    def see(self, losses: Mapping[str, Tensor], ids: list[str], where: str) -> None:
        """Take a step's losses before its update.

        Raises:
            SadclError: a loss of one of the last steps is not a number.
        """
        if len(self._seen) >= EVERY:
            self.look()
        broken = ~torch.stack([loss.isfinite() for loss in losses.values()]).all()
        self.optimiser.found_inf = broken.float()  # type: ignore[attr-defined]
        self._seen.append((losses, ids, where))
        self._broken.append(broken)

    def look(self) -> None:
        """Read what was seen, and forget it.

        Raises:
            SadclError: a loss was not a number.
        """
        seen, broken = self._seen, self._broken
        self._seen, self._broken = [], []
        if broken and bool(torch.stack(broken).any()):
            losses, ids, where = next(step for step, flag in zip(seen, broken, strict=True) if flag)
            values = {name: float(loss) for name, loss in losses.items()}
            bad = ", ".join(f"{name} {value}" for name, value in values.items() if value - value != 0)
            raise SadclError(
                f"The loss is not a number: {bad}; images {', '.join(ids[:5])} and {max(len(ids) - 5, 0)} more",
                where=where,
                fix="Lower lr, set gradient_clip, or look at these images; the last good state is kept",
            )
