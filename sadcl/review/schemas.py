"""What a page reads of a version's files, which somebody else wrote: in the form that pages count on, or refused.

Whatever else stands in them is left alone.
"""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sadcl.errors import SadclError
from sadcl.evaluation.metrics import NAMES

SHOWN = (*NAMES, "ECE")
"""Figures that pages show."""


class Form(BaseModel):
    """A part of a file: frozen, without NaN and infinities."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


SAID = {"missing": "is missing", "model_type": "is no mapping", "dict_type": "is no mapping"}
"""Kinds of error in words; others as pydantic has them."""

Read = TypeVar("Read", bound=Form)
Interval = Annotated[list[float], Field(min_length=3, max_length=3)] | None
"""Value, low, high in percent; None where not known."""


class Rule(Form):
    """What came of one rule of the gate."""

    result: str
    words: str


class Judged(Form):
    """A figure of both models, and their difference."""

    model: Interval = None
    champion: Interval = None
    difference: Interval = None


class Verdict(Form):
    """verdict.json."""

    rules: list[Rule]
    intervals: dict[str, Judged] = {}


class Digests(Form):
    """What figures stand on."""

    test_list: str
    labels: str
    shards: str


class Cost(Form):
    """Size of the registered file."""

    bytes: int | None = None
    parameters: int | None = None


def _shown(value: Any) -> Any:
    return {name: value[name] for name in SHOWN if name in value} if isinstance(value, dict) else value


class Metrics(Form):
    """metrics.json; of the model itself those figures that pages show."""

    digests: Digests
    sadcl: Annotated[dict[str, float | None], BeforeValidator(_shown)] = {}
    threshold: float = Field(default=0.5, ge=0, le=1)
    images: int | None = None
    cost: Cost = Cost()


class Published(Form):
    """Figures of a publication, in percent."""

    name: str
    figures: dict[str, float] = {}


class Gate(Form):
    """Section ``gate`` of params.yaml."""

    published: Published | None = None


class Settings(Form):
    """params.yaml."""

    gate: Gate | None = None


class Timed(Form):
    """What a model took, photo by photo: milliseconds of 19 in 20, and MiB of memory."""

    p95: float
    peak: float


class Speed(Form):
    """The tag of ``registry.speed``."""

    model: Timed
    champion: Timed | None = None


def parse(form: type[Read], value: Any, what: str, where: str) -> Read:
    """A value in a form.

    Args:
        form: that pages count on.
        value: as it was read.
        what: name of the file.
        where: the version that it belongs to.

    Raises:
        SadclError: something in it is missing or of another kind.
    """
    try:
        return form.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:100] or "the whole"
        wrong = SAID.get(first["type"], f"is not as it should be ({first['msg'].lower()})")
        raise SadclError(f"{what} can't be shown: {place} {wrong}", where=where, fix="Find out who wrote it") from None
