"""Dual contrast: the projector and the learnt prototypes that stage 2 adds to the network (method, section 3)."""

from typing import NamedTuple

from torch import Tensor, nn

from sadcl.errors import SadclError
from sadcl.model.network import Network


class ContrastOutput(NamedTuple):
    """All inputs of stage 2's losses, from one forward pass (DDP must see every parameter used in it)."""

    logits: Tensor
    """[B, C]"""
    features: Tensor
    """[B, C, D]"""
    embeddings: Tensor
    """[B, C, E]"""
    memory_embeddings: Tensor | None
    """[P, E]; None without a memory"""
    prototype_embeddings: Tensor
    """[C, E]"""


class Projector(nn.Module):
    """Linear, ReLU, Linear from D to E, shared by features, memory and prototypes."""

    def __init__(self, D: int, E: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(D, D), nn.Linear(D, E)

    def forward(self, features: Tensor) -> Tensor:
        """[..., D] to [..., E], not normalised."""
        return self.linear2(self.linear1(features).relu())  # type: ignore[no-any-return]


class DualContrast(nn.Module):
    """Stage 2's module: the network, its projector and its class prototypes.

    Args:
        network: with a head that gives features.
        prototypes: [C, D], their initial values.
        embedding: E, dimensions of the embeddings.
    """

    def __init__(self, network: Network, prototypes: Tensor, embedding: int) -> None:
        super().__init__()
        self.network = network
        self.projector = Projector(prototypes.shape[1], embedding)
        self.prototypes = nn.Parameter(prototypes.detach().clone())

    def forward(self, images: Tensor, memory: Tensor | None = None, detach: bool = False) -> ContrastOutput:
        """Compute logits, features and all projected embeddings.

        Args:
            images: [B, 3, S, S].
            memory: [P, D], the memory's activated entries; only these take part in a loss. No gradient reaches them.
            detach: no gradient of the embeddings reaches the network.

        Raises:
            SadclError: the head gives no features.
        """
        out = self.network(images)
        if out.features is None:
            raise SadclError("This head gives no label-level features to contrast", where="model.head", fix="Use sarl")
        return ContrastOutput(
            out.logits,
            out.features,
            self.projector(out.features.detach() if detach else out.features),
            None if memory is None else self.projector(memory.detach()),
            self.projector(self.prototypes),
        )
