"""Network benchmarks of ``make bench``: head, inference of a photo, training step."""

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.pairs import POSITIVE, Pair, Side, dense_sample_to_sample
from sadcl import params
from sadcl.data.shards.batches import Batch
from sadcl.evaluation.shared_backbones import SharedBackbones
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.heads import SARL
from sadcl.model.heads.sarl import sine_encoding
from sadcl.model.memory import Memory
from sadcl.model.network import Network
from sadcl.training import schedule
from sadcl.training.distributed import Gather
from sadcl.training.objective import DualContrastive


def head() -> Pair:
    """SARL at the paper's size, forward and backward, against one built of torch's own attention."""
    torch.manual_seed(0)
    model = params.load(path=params.RECIPES / "coco2014-r101-448.yaml").model.model_copy(update={"dropout": 0.0})
    feature_map = torch.randn(8, 2048, 14, 14)
    sarl, plain = SARL(2048, 80, model), PlainSARL(2048, 80, model)

    def run(module: nn.Module) -> Side:
        def side() -> None:
            module.zero_grad(set_to_none=True)
            out = module(feature_map)
            getattr(out, "logits", out).mean().backward()

        return side

    return run(sarl), run(plain)


def inference() -> Pair:
    """Inference of one photo by the paper's network, against one with the projections that only training needs."""
    torch.manual_seed(0)
    model = params.load(path=params.RECIPES / "coco2014-r101-448.yaml").model
    module = DualContrast(Network(model, 80, start=False), torch.randn(80, model.width), model.embedding).eval()
    photo, bank = torch.randn(1, 3, model.side, model.side), torch.randn(32 * 80, model.width)
    network = module.network.to(memory_format=torch.channels_last)

    def run(forward: Side) -> Side:
        def side() -> None:
            with torch.inference_mode():
                forward()

        return side

    return run(lambda: network(photo.contiguous(memory_format=torch.channels_last))), run(lambda: module(photo, bank))


def shared_backbones(B: int = 32, C: int = 80) -> Pair:
    """A batch through stage 1, stage 2 and the probe on one frozen backbone, against each of them alone."""
    torch.manual_seed(0)
    model = params.load(path=params.RECIPES / "coco-mini.yaml").model
    heads = [model.model_copy(update={"head": name, "weights": "random"}) for name in ("sarl", "sarl", "linear")]
    networks = [Network(settings, C).eval() for settings in heads]
    for network in networks:
        network.backbone.load_state_dict(networks[0].backbone.state_dict())
        network.to(memory_format=torch.channels_last)
    images = torch.randn(B, 3, model.side, model.side).contiguous(memory_format=torch.channels_last)
    shared, alone = SharedBackbones(networks), [SharedBackbones([network]) for network in networks]
    return lambda: shared.logits(images), lambda: [one.logits(images) for one in alone]


class PlainSARL(nn.Module):
    """SARL layer by layer as in the literature: post-norm, with attention weights returned."""

    def __init__(self, D: int, C: int, settings: params.Model) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleDict({
                "attention": nn.MultiheadAttention(D, settings.heads),
                "linear1": nn.Linear(D, settings.feedforward), "linear2": nn.Linear(settings.feedforward, D),
                "norm1": nn.LayerNorm(D), "norm2": nn.LayerNorm(D),
            })
            for _ in range(settings.encoder_layers + settings.decoder_layers)
        )  # fmt: skip
        self.encoders, self.norm = settings.encoder_layers, nn.LayerNorm(D)
        self.queries, self.weight = nn.Parameter(torch.randn(C, D)), nn.Parameter(torch.randn(C, D))
        self.bias = nn.Parameter(torch.zeros(C))

    def forward(self, feature_map: Tensor) -> Tensor:
        """[B, D, h, w] to logits [B, C]."""
        B, D, h, w = feature_map.shape
        position = sine_encoding(h, w, D).flatten(1).T[:, None].expand(-1, B, -1)
        tokens = feature_map.flatten(2).permute(2, 0, 1)
        queries = self.queries[:, None].expand(-1, B, -1)
        state = torch.zeros_like(queries)
        for i, layer in enumerate(self.layers):
            if i < self.encoders:
                tokens = self._layer(layer, tokens, tokens + position, tokens + position, tokens)
            else:
                state = self._layer(layer, state, state + queries, tokens + position, tokens)
        return (self.norm(state) * self.weight[:, None]).sum(-1).T + self.bias

    @staticmethod
    def _layer(layer: nn.Module, x: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        parts = dict(layer.named_children())
        x = parts["norm1"](x + parts["attention"](q, k, v)[0])
        inner: Tensor = parts["norm2"](x + parts["linear2"](F.relu(parts["linear1"](x))))
        return inner


def step() -> Pair:
    """Forward and backward of a batch of 50 scenes at stride 16: ended early, against dilated."""
    model = params.load(path=params.RECIPES / "scenes.yaml").model
    images = torch.randn(50, 3, model.side, model.side).contiguous(memory_format=torch.channels_last)

    def side(dilated: bool) -> Side:
        network = Network(model.model_copy(update={"dilated": dilated}), 10).train()
        network = network.to(memory_format=torch.channels_last)
        return lambda: network(images).logits.mean().backward()

    return side(False), side(True)


def training(B: int = 32, C: int = 80) -> Pair:
    """One update of stage 2 with all of Lite0 trained at 224 px, against a plain implementation.

    The plain side has equal network, losses, optimiser and memory, in float32 too, but no channels-last, no fused
    optimiser, losses over all 2BC entries, a loop for the memory, and reads each loss at once.
    """
    recipe = params.load(path=params.RECIPES / "coco-mini.yaml")
    network = {"head": "sarl", "backbone": "tf_efficientnet_lite0", "weights": "random", "side": 224}
    model = recipe.model.model_copy(update={**network, "frozen": (), "freeze_batch_norm": False})
    torch.manual_seed(0)
    images, targets = torch.randn(B, 3, 224, 224), torch.rand(B, C) < POSITIVE
    return _sadcl(model, recipe.train, images, targets), _plain(model, recipe.train, images, targets)


def _sadcl(model: params.Model, fit: params.Train, images: Tensor, targets: Tensor) -> Side:
    B, C = targets.shape
    module = DualContrast(Network(model, C), torch.randn(C, model.width), model.embedding).train()
    module.to(memory_format=torch.channels_last)
    objective = DualContrastive(module, Memory(module.prototypes, B), fit, Gather(Fabric(accelerator="cpu", devices=1)))
    adamw, _ = schedule.optimiser(module, fit, 100)
    photo, label = targets.nonzero(as_tuple=True)
    images = images.contiguous(memory_format=torch.channels_last)
    batch = Batch(images, targets, torch.zeros_like(targets), [], np.arange(B), (photo, label), (len(photo),))

    def side() -> None:
        adamw.zero_grad(set_to_none=True)
        objective.losses(module, batch, 1.0)["loss"].backward()
        adamw.step()
        objective.after_step()

    return side


def _plain(model: params.Model, fit: params.Train, images: Tensor, targets: Tensor) -> Side:
    B, C = targets.shape
    module = DualContrast(Network(model, C), torch.randn(C, model.width), model.embedding).train()
    memory = module.prototypes.detach().expand(B, -1, -1).clone()
    adamw = torch.optim.AdamW(module.parameters(), lr=1e-4, weight_decay=fit.weight_decay, foreach=False)

    def side() -> None:
        adamw.zero_grad(set_to_none=True)
        out = module(images, memory.flatten(0, 1))
        entries = torch.cat([out.embeddings, out.memory_embeddings.view(B, C, -1)])
        samples = dense_sample_to_sample(entries, targets.repeat(2, 1), fit.sample_temperature)
        likeness = torch.einsum(
            "bce,ce->bc", F.normalize(out.embeddings, dim=-1), F.normalize(out.prototype_embeddings, dim=-1)
        )
        terms = [
            _term(likeness[:, j] / fit.prototype_temperature, targets[:, j]) for j in range(C) if targets[:, j].any()
        ]
        loss = F.binary_cross_entropy_with_logits(out.logits, targets.float()) + fit.sample_to_sample * samples
        loss = loss + fit.prototype_to_sample * torch.stack(terms).sum() / targets.sum()
        loss.item(), samples.item()
        loss.backward()
        adamw.step()
        scores = out.logits.detach().sigmoid()
        for i in range(B):
            for j in range(C):
                if targets[i, j] and scores[i, j] > fit.memory_threshold:
                    memory[i, j] = out.features[i, j].detach()

    return side


def _term(likeness: Tensor, present: Tensor) -> Tensor:
    return -torch.log(likeness[present].exp().sum() / likeness.exp().sum())
