"""Acceptance criteria: gate rules, test photos and their labels, by which every model is judged.

They stand on the registered model in production. Whoever changes the rules, the photos or the labels in a project
changes nothing there: a reviewer accepts the change first, as a decision of its own.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter

from sadcl import files
from sadcl.errors import SadclError
from sadcl.registry import schema

if TYPE_CHECKING:
    from mlflow import MlflowClient

LARGEST = 5000
"""Characters that MLflow keeps of a registered model's tag."""
FIRST = ("kind", "metric", "at_least", "at_most")
"""Settings of a rule that a sentence begins with."""


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Criteria:
    """Inputs of a verdict other than the two models.

    Attributes:
        rules: of section ``gate`` in params.yaml, without settings that have no value.
        threshold: of precision, recall and F1.
        corruptions: names of the corruptions on which models are scored too.
        photos: number of test photos.
        classes: number of classes.
        test_list, labels, shards: SHA-256 of the list of test photos, of their labels and classes, and of the photos.
        positives: test photos by class; empty where there are too many classes for the tag.
    """

    rules: list[dict[str, Any]]
    threshold: Annotated[float, Field(ge=0, le=1)]
    corruptions: list[str]
    photos: Annotated[int, Field(ge=0)]
    classes: Annotated[int, Field(ge=0)]
    test_list: Sha256
    labels: Sha256
    shards: Sha256
    positives: dict[str, int]

    @property
    def rule_texts(self) -> list[str]:
        """Each rule on one line."""
        return [_rule_text(rule) for rule in self.rules]

    @property
    def digest(self) -> str:
        """SHA-256 of all criteria, in whatever order the rules stand; equal criteria give equal verdicts."""
        rules = sorted({json.dumps(rule, sort_keys=True) for rule in self.rules})
        return files.digest_of({**asdict(self), "rules": rules})


@dataclass(frozen=True)
class Acceptance:
    """Criteria that a reviewer accepted.

    Attributes:
        criteria: the criteria.
        user: account or person that accepted them.
        reason: given with the decision.
        time: of the decision, ISO 8601.
    """

    criteria: Criteria
    user: str
    reason: str
    time: str

    def text(self) -> str:
        """JSON for the tag.

        Raises:
            SadclError: the rules do not fit into the registry's tag.
        """
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        if len(text) > LARGEST:
            raise SadclError(
                f"The acceptance criteria have {len(text):,} characters, and the registry keeps {LARGEST:,}",
                fix="Shorten section gate in params.yaml, or the reason",
            )
        return text


_ACCEPTANCE = TypeAdapter(Acceptance)


def read_acceptance(text: str) -> Acceptance | None:
    """Parse the value of the tag; None where it has another form."""
    if len(text) > LARGEST:
        return None
    try:
        value: Any = json.loads(text)
        datetime.fromisoformat(value["time"])
        if value.keys() != _names(Acceptance) or value["criteria"].keys() != _names(Criteria):
            return None
        return _ACCEPTANCE.validate_json(text, strict=True)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # pydantic's error is a ValueError
        return None


def accepted(client: "MlflowClient", name: str) -> Acceptance | None:
    """Criteria that were accepted for a model; None where nobody has accepted any yet."""
    production = schema.production(name)
    models = client.search_registered_models(f"name = '{production}'")
    return read_acceptance(models[0].tags.get(schema.CRITERIA, "")) if models else None


def accept(client: "MlflowClient", name: str, criteria: Criteria, user: str, reason: str, time: str) -> None:
    """Accept criteria for a model; from now on versions are judged by them, and earlier verifications no longer count.

    Raises:
        SadclError: the registry refuses.
    """
    acceptance, production = Acceptance(criteria, user, reason.strip(), time), schema.production(name)
    if not client.search_registered_models(f"name = '{production}'"):
        client.create_registered_model(production)  # without a server the first promotion would create it
    client.set_registered_model_tag(production, schema.CRITERIA, acceptance.text())


def changes(before: Criteria, after: Criteria) -> list[str]:
    """Sentences about what differs between two sets of criteria; empty where they are equal."""
    return list(_changes(before, after))


def _changes(before: Criteria, after: Criteria) -> Iterator[str]:
    yield from (f"Rule removed: {_rule_text(rule)}" for rule in before.rules if rule not in after.rules)
    yield from (f"Rule added: {_rule_text(rule)}" for rule in after.rules if rule not in before.rules)
    if before.threshold != after.threshold:
        yield f"The threshold of precision and recall is {after.threshold:g}, before {before.threshold:g}"
    if before.corruptions != after.corruptions:
        names = [", ".join(side.corruptions) or "none" for side in (after, before)]
        yield f"Models are scored on corruptions: {names[0]}; before: {names[1]}"
    if before.photos != after.photos:
        yield f"The test set has {after.photos:,} photos, before {before.photos:,}"
    elif before.test_list != after.test_list:
        yield f"The test set has other photos: {after.photos:,} as before, but not the same ones"
    elif before.shards != after.shards and before.labels == after.labels:
        yield "The test photos have other pixels: they were prepared differently, or exchanged"
    if before.classes != after.classes:
        yield f"There are {after.classes:,} classes, before {before.classes:,}"
    if before.labels != after.labels:
        yield _label_change(before.positives, after.positives)


def _rule_text(rule: Any) -> str:
    """A rule on one line: its kind and metric first, the rest by name."""
    if not isinstance(rule, dict):
        return str(rule)
    rest = [(name, rule[name]) for name in sorted(rule) if name not in FIRST and rule[name] not in (0, None)]
    pairs = [(name, rule[name]) for name in FIRST if name in rule] + rest
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in pairs)


def _label_change(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if not names:
        return "The labels of the test photos have changed"
    some = [f"{name} {after.get(name, 0):,} (before {before.get(name, 0):,})" for name in names[:5]]
    rest = f", and {len(names) - 5} more classes" if len(names) > 5 else ""
    return f"The labels of the test photos have changed; photos by class: {', '.join(some)}{rest}"


def _names(record: Any) -> set[str]:
    return {field.name for field in fields(record)}
