"""All of ``params.yaml``: its sections after training, with units, bounds and meaning of each setting."""

from typing import Literal

from pydantic import Field

from sadcl.params.data import Ingest, Prepare, Validate
from sadcl.params.gate import Gate
from sadcl.params.model import Model
from sadcl.params.section import Section
from sadcl.params.training import Pretrain, Prototypes, Train
from sadcl.params.units import Images, Percent, Share


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
    """Search for settings of stage 2; all trials start from the same stage-1 weights."""

    trials: int = Field(ge=1, default=20)
    """Number of trainings."""
    space: dict[str, Range]
    """Range to search for each `train.KEY`: whole numbers for an integer setting, fractions too for any other."""
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
