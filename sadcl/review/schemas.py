"""Schemas of the files of a version, which trainers write and pages must not trust.

Pages read only fields that a schema names; other fields are ignored.
"""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sadcl.errors import SadclError
from sadcl.evaluation.metrics import NAMES

SHOWN_METRICS = (*NAMES, "ECE")
"""Names of the metrics that pages show."""


class Schema(BaseModel):
    """Base of all schemas: frozen, strict types, no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


ERROR_SENTENCES = {"missing": "is missing", "model_type": "is not a mapping", "dict_type": "is not a mapping"}
"""Sentences by pydantic's type of error; for other types, pydantic's own message."""

SchemaT = TypeVar("SchemaT", bound=Schema)
Interval = Annotated[list[float], Field(min_length=3, max_length=3)] | None
"""Value, lower and upper bound in percent; None where not known."""


class Rule(Schema):
    """Result of one rule of the gate."""

    result: str
    words: str


class MetricIntervals(Schema):
    """A metric of version and champion, and the difference."""

    model: Interval = None
    champion: Interval = None
    difference: Interval = None


class Verdict(Schema):
    """verdict.json."""

    rules: list[Rule]
    intervals: dict[str, MetricIntervals] = {}


class Digests(Schema):
    """Digests of the inputs of an evaluation."""

    test_list: str
    labels: str
    shards: str


class Cost(Schema):
    """Size of the registered model."""

    bytes: int | None = None
    parameters: int | None = None


def _shown_metrics(value: Any) -> Any:
    return {name: value[name] for name in SHOWN_METRICS if name in value} if isinstance(value, dict) else value


class Metrics(Schema):
    """metrics.json, with the metrics in ``SHOWN_METRICS``."""

    digests: Digests
    sadcl: Annotated[dict[str, float | None], BeforeValidator(_shown_metrics)] = {}
    threshold: float = Field(default=0.5, ge=0, le=1)
    images: int | None = None
    cost: Cost = Cost()


class ValidationRule(Schema):
    """Result of one rule of the data."""

    sentence: str
    status: str
    rows: int = 0


class Validation(Schema):
    """validation.json."""

    rules: list[ValidationRule]

    @property
    def remarks(self) -> list[ValidationRule]:
        """Rules that failed, or that hold although some rows break them."""
        return [rule for rule in self.rules if rule.status == "failed" or rule.rows]


class Published(Schema):
    """Published metrics, in percent."""

    name: str
    figures: dict[str, float] = {}


class Gate(Schema):
    """Section ``gate`` of params.yaml."""

    published: Published | None = None


class Settings(Schema):
    """params.yaml."""

    gate: Gate | None = None


class Latency(Schema):
    """95th percentile of milliseconds a photo, and peak memory in MiB."""

    p95: float
    peak: float


class LatencyTag(Schema):
    """The tag that ``registry.latency`` writes."""

    model: Latency
    champion: Latency | None = None


def parse(schema: type[SchemaT], value: Any, file_name: str, where: str) -> SchemaT:
    """Validate a value against a schema.

    Args:
        schema: the expected form.
        value: content of the file.
        file_name: for the message.
        where: the version, for the message.

    Raises:
        SadclError: a field is missing or of another type.
    """
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        first_error = error.errors(include_input=False)[0]
        path = ".".join(str(part) for part in first_error["loc"])[:100] or "the file"
        problem = ERROR_SENTENCES.get(first_error["type"], f"is invalid ({first_error['msg'].lower()})")
        message = f"{file_name} can't be shown: {path} {problem}"
        raise SadclError(message, where=where, fix="Find out who wrote it") from None
