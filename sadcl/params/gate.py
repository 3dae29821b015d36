"""Settings of the gate: a class for each kind of rule, and a line in ``RULES``."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sadcl.params.section import Section


class Absolute(Section):
    """A figure against a bound."""

    kind: Literal["absolute"]
    metric: str
    """A name in metrics.json: mAP, CP, CR, CF1, CF1_harmonic, OP, OR, OF1; one of the top-3 ones (top3.OF1);
    those of the model as it is used (in_use.OF1); robustness, where `evaluate.corruptions` names any; or ECE, the
    expected calibration error, of which less is better."""
    at_least: float | None = Field(allow_inf_nan=False, default=None)
    at_most: float | None = Field(allow_inf_nan=False, default=None)
    """One of the two, in percent."""
    margin: float = Field(ge=0, allow_inf_nan=False, default=0.0)
    """How far the figure may miss its bound, in percentage points."""
    by: Literal["interval", "value"] = "interval"
    """What must keep the bound: all of the figure's 95 % interval (else the gate is undecided), or the figure alone."""


class Relative(Section):
    """A figure against the champion's on the same images."""

    kind: Literal["relative"]
    metric: str
    """As for `absolute`."""
    margin: float = Field(ge=0, allow_inf_nan=False, default=0.0)
    """How much worse than the champion's it may be, in percentage points."""
    by: Literal["interval", "value"] = "interval"
    """What may not be less: all of the difference's 95 % interval (else the gate is undecided), or the difference."""


class PerClass(Section):
    """Each class against the champion's; no false alarm where there are many."""

    kind: Literal["per class"]
    margin: float = Field(ge=0, allow_inf_nan=False)
    """How much AP a class may lose, in percentage points."""
    min_positives: int = Field(ge=2, default=20)
    """Test images that a class needs to be judged."""


class Slice(Section):
    """Each slice of the test images against the champion's; no false alarm where there are many."""

    kind: Literal["slice"]
    column: str
    """A column of the source (camera, place, ...), `labels`, how many a photo has, or `size`, its longer side in
    pixels. More than eight different numbers are cut at their quartiles."""
    metric: str
    """As for `absolute`."""
    margin: float = Field(ge=0, allow_inf_nan=False)
    """How much of it a slice may lose, in percentage points."""
    min_images: int = Field(ge=2, default=100)
    """Test images that a slice needs to be judged."""


class Cost(Section):
    """What the registered file costs."""

    kind: Literal["cost"]
    of: Literal["bytes", "parameters"]
    at_most: float | None = Field(gt=0, allow_inf_nan=False, default=None)
    """A bound, or"""
    times: float | None = Field(gt=0, allow_inf_nan=False, default=None)
    """so many times the champion's."""


Rule = Annotated[Absolute | Relative | PerClass | Slice | Cost, Field(discriminator="kind")]
RULES: dict[Any, type[Section]] = {
    "absolute": Absolute,
    "relative": Relative,
    "per class": PerClass,
    "slice": Slice,
    "cost": Cost,
}


class Published(Section):
    """Figures that the report shows beside ours, without gating on them."""

    name: str
    figures: dict[str, float]


class Gate(Section):
    """What a model must show before it may challenge."""

    rules: tuple[Rule, ...] = Field(min_length=1)
    published: Published | None = None
