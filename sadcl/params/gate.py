"""Settings of the gate: one class per kind of rule, and one line for it in ``RULES``."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sadcl.params.section import Section
from sadcl.params.units import Images, Percent, Points


class Absolute(Section):
    """Compares a metric with a fixed bound; set one of `at_least` and `at_most`."""

    kind: Literal["absolute"]
    """Kind of the rule."""
    metric: str
    """A name in metrics.json: mAP, CP, CR, CF1, CF1_harmonic, OP, OR, OF1; a metric of the top-3 labels (top3.OF1) or
    of the served model's labels (in_use.OF1); robustness, if `evaluate.corruptions` is set; or ECE, the expected
    calibration error (lower is better)."""
    at_least: Percent | None = Field(default=None)
    """Lower bound of the metric."""
    at_most: Percent | None = Field(default=None)
    """Upper bound of the metric."""
    margin: Points = Field(ge=0, default=0.0)
    """How far the metric may miss its bound."""
    by: Literal["interval", "value"] = "interval"
    """Part that must keep the bound: the whole 95 % interval (else the gate is undecided), or the value alone."""


class Relative(Section):
    """Compares a metric with the champion's on the same images."""

    kind: Literal["relative"]
    """Kind of the rule."""
    metric: str
    """A name in metrics.json, as for the rule `absolute`."""
    margin: Points = Field(ge=0, default=0.0)
    """How much worse than the champion's the metric may be."""
    by: Literal["interval", "value"] = "interval"
    """Part that must keep the margin: the whole 95 % interval of the difference (else the gate is undecided), or
    the difference alone."""


class PerClass(Section):
    """Compares the AP of each class with the champion's; the error rate is controlled over all classes."""

    kind: Literal["per class"]
    """Kind of the rule."""
    margin: Points = Field(ge=0)
    """How much AP a class may lose."""
    min_positives: Images = Field(ge=2, default=20)
    """Positive test images that a class needs to be judged."""


class Slice(Section):
    """Compares a metric in each slice of the test images with the champion's; the error rate is controlled over all."""

    kind: Literal["slice"]
    """Kind of the rule."""
    column: str
    """A column of the source (camera, place, ...); `labels`, the number of labels of a photo; or `size`, its longer
    side in pixels. A column with more than eight different numbers is cut at its quartiles."""
    metric: str
    """A name in metrics.json, as for the rule `absolute`."""
    margin: Points = Field(ge=0)
    """How much of the metric a slice may lose."""
    min_images: Images = Field(ge=2, default=100)
    """Test images that a slice needs to be judged."""


class Cost(Section):
    """Limits the cost of the registered file; set one of `at_most` and `times`."""

    kind: Literal["cost"]
    """Kind of the rule."""
    of: Literal["bytes", "parameters"]
    """Quantity that the rule bounds: size of the file, or number of parameters."""
    at_most: float | None = Field(gt=0, default=None)
    """Upper bound of the count."""
    times: float | None = Field(gt=0, default=None)
    """Upper bound as a multiple of the champion's count."""


class Probe(Section):
    """Compares mAP with a linear probe's on the same backbone; the verifier, which trains nothing, can't judge it."""

    kind: Literal["probe"]
    """Kind of the rule."""
    at_least: Points = Field(default=0.0)
    """How far mAP must lie above the probe's; a negative value allows a loss."""
    by: Literal["interval", "value"] = "interval"
    """Part that must keep the bound: the whole 95 % interval of the difference (else the gate is undecided), or
    the difference alone."""


Rule = Annotated[Absolute | Relative | PerClass | Slice | Cost | Probe, Field(discriminator="kind")]
RULES: dict[Any, type[Section]] = {
    "absolute": Absolute,
    "relative": Relative,
    "per class": PerClass,
    "slice": Slice,
    "cost": Cost,
    "probe": Probe,
}


class Published(Section):
    """Published figures that the report shows next to the model's, without gating on them."""

    name: str
    """Source of the figures."""
    figures: dict[str, Percent]
    """Value of each metric."""


class Gate(Section):
    """Conditions under which a model becomes challenger."""

    rules: tuple[Rule, ...] = Field(min_length=1)
    """Rules; each has to pass or be not applicable."""
    published: Published | None = None
    """Figures of a paper, for the report."""
