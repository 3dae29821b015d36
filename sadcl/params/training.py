"""Sections of ``params.yaml`` about training: ``pretrain``, ``prototypes``, ``train``."""

from typing import Literal

from pydantic import Field

from sadcl.params.section import Section
from sadcl.params.units import Epochs, Images, Share, WholeEpochs


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
    """Augment each photo in this many ways, once and for all seeds, and keep the maps of the frozen backbone, or of the
    frozen parts that come first in it; epoch e takes the view e mod `views`. null augments anew in each epoch."""


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
    """Weight decay of AdamW."""
    decay_norms: bool = True
    """Weight decay acts on all trained parameters; false spares norms, biases and position embeddings, as is usual for
    transformers."""
    layer_decay: float = Field(gt=0, le=1, default=1.0)
    """Learning rate of each layer of the backbone, relative to that of the layer above it; 0.65 to 0.9 suits large
    vision transformers, and 1 gives all layers the same."""
    ema_epochs: Epochs = Field(gt=0)
    """Horizon of the moving average of weights; 3.9 is the paper's decay of 0.9998 on COCO."""
    gamma_negative: float = Field(ge=0)
    """Focusing power of the asymmetric loss for absent labels; 0 for both powers gives binary cross-entropy."""
    gamma_positive: float = Field(ge=0, default=0.0)
    """Focusing power of the asymmetric loss for present labels."""
    probability_margin: float = Field(ge=0, lt=1, default=0.0)
    """Probability below which an absent label costs nothing (ASL's `clip`, 0.05 in ASL's and ML-Decoder's recipes)."""
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
    sample_anchors: Literal["equal", "by_class"] = "equal"
    """Weight of an anchor in the sample-to-sample loss: `equal` for all, as in the paper, where frequent classes have
    the most; `by_class` counts each class of the batch once, as mAP does."""
    prototype_temperature: float = Field(gt=0, default=0.07)
    """Temperature of the prototype-to-sample loss."""
    memory_threshold: Share = Field(ge=0, lt=1, default=0.8)
    """Score above which a photo's feature of a class enters the memory."""
    contrast_warmup_epochs: Epochs = Field(ge=0, default=0.0)
    """Epochs over which the contrastive weights rise from zero, while the new projector converges."""
    projector_epochs: Epochs = Field(ge=0, default=0.0)
    """Epochs in which the contrastive losses train projector and prototypes alone, before they reach the network."""
