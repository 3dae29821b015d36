"""Guard against losses and gradients that are not finite: their update is skipped, and training ends soon after."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from sadcl.errors import SadclError
from sadcl.training.ranks import Ranks

EVERY = 16
"""Steps between two checks; each check waits for the device."""


class NonFiniteGuard:
    """Collects losses and gradient norms on the device, and reads them every ``EVERY`` steps.

    Args:
        optimiser: a fused one, which skips its update where its ``found_inf`` is 1. That is torch's own mechanism for
            scaled gradients; a gradient scaler overwrites the value, and tolerates overflows.
        ranks: a step is skipped by all of them or by none.
    """

    def __init__(self, optimiser: Optimizer, ranks: Ranks) -> None:
        self.optimiser, self.ranks = optimiser, ranks
        self.scaled = getattr(ranks.fabric.strategy.precision, "scaler", None) is not None
        self._steps: list[tuple[Mapping[str, Tensor], list[str], str]] = []
        self._broken: list[Tensor] = []

    def add_losses(self, losses: Mapping[str, Tensor], ids: list[str], where: str) -> None:
        """Take a step's losses, before its update.

        Args:
            losses: scalars by name, on the device.
            ids: of the batch's images, for the error message.
            where: epoch and step, for the error message.

        Raises:
            SadclError: a loss of one of the last steps is not finite.
        """
        if len(self._steps) >= EVERY:
            self.check()
        self._steps.append((losses, ids, where))
        # stays on the device: to read it here, the host would have to wait for the whole step
        self._broken.append(self._mark(~torch.stack([loss.isfinite() for loss in losses.values()]).all()))

    def add_gradient_norm(self, norm: Tensor) -> None:
        """Take the gradient's norm of the step that ``add_losses`` began, before its update."""
        if not self.scaled:  # a scaler lets the first gradients overflow, to find its scale
            self._broken[-1] = self._mark(self._broken[-1] | ~norm.isfinite())

    def _mark(self, broken: Tensor) -> Tensor:
        if self.ranks.world > 1:  # DDP averages gradients, so one bad process spoils all
            broken = self.ranks.fabric.all_reduce(broken.float(), reduce_op="sum") > 0  # type: ignore[operator, assignment]
        # the optimiser reads the flag on the device: weights stay good, although the host learns of it steps later
        self.optimiser.found_inf = broken.float()  # type: ignore[attr-defined]
        return broken

    def check(self) -> None:
        """Read all collected losses and norms, and drop them.

        Raises:
            SadclError: a loss or the norm of a gradient is not finite.
        """
        steps, broken = self._steps, self._broken
        self._steps, self._broken = [], []
        # one transfer for all steps since the last check
        if broken and bool(torch.stack(broken).any()):
            losses, ids, where = next(step for step, flag in zip(steps, broken, strict=True) if flag)
            values = {name: float(loss) for name, loss in losses.items()}
            # value - value is 0 for finite numbers, and NaN for a NaN or an infinity
            bad = ", ".join(f"{name} {value}" for name, value in values.items() if value - value != 0)
            # all ranks are here, but the loss may be bad in one alone
            everyone = self.ranks.gather((bad, ids))
            bad, ids = next((each for each in everyone if each[0]), everyone[0])
            problem = f"The loss is not finite: {bad}" if bad else "The gradient is not finite, though the loss is"
            raise SadclError(
                f"{problem}; images {', '.join(ids[:5])} and {max(len(ids) - 5, 0)} more",
                where=where,
                fix="Lower lr, set gradient_clip, or check these images; training resumes from the last good state",
            )
