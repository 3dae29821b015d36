"""Classification heads by name: a new head is one file and one line in ``HEADS``."""

from collections.abc import Callable

from torch import nn

from sadcl import params
from sadcl.errors import SadclError
from sadcl.model.heads.base import HeadOutput
from sadcl.model.heads.csra import CSRA
from sadcl.model.heads.ml_decoder import MLDecoder
from sadcl.model.heads.pooling import Pooling
from sadcl.model.heads.sarl import SARL

__all__ = ["HEADS", "HeadOutput", "build"]

HEADS: dict[str, Callable[[int, int, params.Model], nn.Module]] = {
    "sarl": SARL,
    "pooling": Pooling,
    "linear": Pooling,
    "csra": CSRA,
    "ml_decoder": MLDecoder,
}


def build(channels: int, classes: int, settings: params.Model) -> nn.Module:
    """Build the head that ``settings.head`` names.

    Raises:
        SadclError: there is no head of that name, or it can't start as ``settings.head_start`` says.
    """
    if settings.head not in HEADS:
        raise SadclError(f"There is no head {settings.head!r}", where="model.head", fix=f"Choose {' or '.join(HEADS)}")
    if settings.head_start == "probe" and settings.head != "pooling":
        raise SadclError(
            f"The head {settings.head} can't start from the linear probe: its classifier reads other features",
            where="model.head_start",
            fix="Set it to random, or model.head to pooling",
        )
    return HEADS[settings.head](channels, classes, settings)
