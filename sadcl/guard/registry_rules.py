"""What is asked before names, versions, aliases and tags change: each rule refuses, or says what to note.

A rule that returns None lets MLflow answer: nothing will change.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.protos import model_registry_pb2 as registry
from mlflow.protos import service_pb2 as tracking

from sadcl.guard import authorship, decision_rules, mlflow_internals, permissions, run_rules
from sadcl.guard.ledger import Entry
from sadcl.guard.mlflow_internals import Refused
from sadcl.registry import lookup, schema
from sadcl.registry.artifacts import PINS
from sadcl.registry.audit import hash_chain

PINNED = {PINS, schema.IDENTITY, schema.WEIGHTS, schema.TEST}
"""Tags that say what a version is: written when it is registered, and never again."""
LONGEST = 2000
"""Characters of a tag that the ledger holds; of a longer one it holds the digest."""


def model_created() -> Entry | None:
    """Names are the administrator's; clients ask for one that exists before each version, and may."""
    name = mlflow_internals.asked(registry.CreateRegisteredModel).name
    if mlflow_internals.model_exists(name):
        return None
    _only_administrators(f"make the model {name}")
    return {"what": "model made", "model": name}


def model_renamed() -> Entry | None:
    """Not from or to a protected name; and another name is a new name."""
    asked = mlflow_internals.asked(registry.RenameRegisteredModel)
    if schema.protected(asked.name) or schema.protected(asked.new_name):
        raise Refused(f"{asked.name} can't be renamed to {asked.new_name}: names in production stay what they are")
    _only_administrators(f"rename the model {asked.name}")
    return {"what": "model renamed", "model": asked.name, "from": asked.name, "to": asked.new_name}


def experiment_created() -> Entry | None:
    """As with models."""
    name = mlflow_internals.asked(tracking.CreateExperiment).name
    if mlflow_internals.experiment_exists(name):
        return None
    _only_administrators(f"make the experiment {name}")
    return {"what": "experiment made", "experiment": name}


def experiment_renamed() -> Entry | None:
    """As with models."""
    asked = mlflow_internals.asked(tracking.UpdateExperiment)
    _only_administrators(f"rename the experiment {asked.experiment_id}")
    return {"what": "experiment renamed", "experiment": asked.experiment_id, "to": asked.new_name}


def examples_made() -> Entry | None:
    """MLflow's examples make models and experiments."""
    _only_administrators("make MLflow's examples")
    return {"what": "examples made or deleted"}


def version_created() -> Entry | None:
    """A version in production is a copy of a registered one, tag for tag; nobody decides while registering."""
    asked = mlflow_internals.asked(registry.CreateModelVersion)
    tags = {tag.key: tag.value for tag in asked.tags}
    if schema.protected(asked.name):
        copied = _copied(asked)
        if any(copied.tags.get(key) != value for key, value in tags.items()) or asked.run_id != (copied.run_id or ""):
            raise Refused(f"A version of {asked.name} carries the tags and the run of {asked.source}, and no others")
    elif schema.DECISION in tags:
        raise Refused(f"The tag {schema.DECISION} is written by a decision, not when a version is registered")
    elif asked.source.startswith("runs:") or "%" in asked.source or asked.source.rstrip("/") == _home(asked.run_id):
        raise Refused(f"A version's files lie below its run under their plain address, not at {asked.source}")
    elif {mlflow_internals.run_user(run) for run in run_rules.behind(asked)} != {mlflow_internals.user()}:
        raise Refused("A version comes from a run of who registers it")
    number = str(mlflow_internals.last_version(asked.name) + 1)
    noted = {"what": "version made", "model": asked.name, "version": number, "source": asked.source}
    return {**noted, **_judged(tags)}


def alias_set() -> Entry | None:
    """``champion`` in production: by a decision, and not by who made the model."""
    asked = mlflow_internals.asked(registry.SetRegisteredModelAlias)
    if schema.protected(asked.name):
        plain = unicodedata.normalize("NFKC", asked.alias).strip().casefold()
        if plain == schema.CHAMPION and asked.alias != schema.CHAMPION:
            raise Refused(f"The alias is spelled {schema.CHAMPION}, not {asked.alias}")
    version = mlflow_internals.version(asked.name, asked.version)
    if version is None:
        return None
    before = _number(mlflow_internals.version_with_alias(asked.name, asked.alias))
    if schema.protected(asked.name) and asked.alias == schema.CHAMPION:
        authorship.require_another(version)
        decision_rules.require(version)
    noted = {"what": "alias set", "model": asked.name, "alias": asked.alias, "from": before, "to": str(version.version)}
    return {**noted, **_judged(version.tags)}


def alias_deleted() -> Entry | None:
    """Who held it."""
    asked = mlflow_internals.asked(registry.DeleteRegisteredModelAlias)
    before = _number(mlflow_internals.version_with_alias(asked.name, asked.alias))
    if before is None:
        return None
    return {"what": "alias deleted", "model": asked.name, "alias": asked.alias, "from": before, "to": None}


def version_tagged() -> Entry | None:
    """What a version is stays; a decision is one's own, about what is the case now."""
    asked = mlflow_internals.asked(registry.SetModelVersionTag)
    version = mlflow_internals.version(asked.name, asked.version)
    if version is None:
        return None
    before = version.tags.get(asked.key)
    if asked.key in PINNED and asked.value != before:
        raise Refused(f"The tag {asked.key} says what {lookup.address(version)} is, and is never written again")
    if asked.key == schema.DECISION:
        if not schema.protected(asked.name) and not permissions.may_decide(asked.name):
            raise Refused(f"Only who may write {schema.production(asked.name)} decides on {asked.name}")
        decision_rules.check(version, asked.value)
    elif asked.key.startswith(schema.OURS) and asked.value != before:
        authorship.require_own(version)
    noted = {"what": "tag set", "model": asked.name, "version": str(version.version), "key": asked.key}
    return {**noted, "from": shortened(before), "to": shortened(asked.value), **_judged(version.tags)}


def version_untagged() -> Entry | None:
    """As with setting them."""
    asked = mlflow_internals.asked(registry.DeleteModelVersionTag)
    if asked.key in PINNED or asked.key == schema.DECISION:
        raise Refused(f"The tag {asked.key} is never taken away")
    return {"what": "tag deleted", "model": asked.name, "version": asked.version, "key": asked.key}


def version_described() -> Entry | None:
    """What a reviewer reads first is written by who made the version."""
    asked = mlflow_internals.asked(registry.UpdateModelVersion)
    version = mlflow_internals.version(asked.name, asked.version)
    if version is None:
        return None
    authorship.require_own(version)
    return {"what": "version described", "model": asked.name, "version": asked.version}


def model_deleted() -> Entry:
    """Not while one of its versions is champion."""
    name = mlflow_internals.asked(registry.DeleteRegisteredModel).name
    _does_not_reign(name, None)
    return {"what": "model deleted", "model": name}


def version_deleted() -> Entry:
    """Not while it is champion."""
    asked = mlflow_internals.asked(registry.DeleteModelVersion)
    _does_not_reign(asked.name, asked.version)
    return {"what": "version deleted", "model": asked.name, "version": asked.version}


def _does_not_reign(name: str, number: str | None) -> None:
    champion = mlflow_internals.version_with_alias(name, schema.CHAMPION) if schema.protected(name) else None
    if champion is not None and number in (None, str(champion.version)):
        raise Refused(f"{lookup.address(champion)} is champion, and can't be deleted")


def _changed(what: str, message: type[Any]) -> Callable[[], Entry]:
    """No rule of ours beside MLflow's rights; only noted."""
    shown = ("name", "version", "key", "stage")

    def rule() -> Entry:
        asked = mlflow_internals.asked(message)
        fields = {field: getattr(asked, field) for field in shown if field in message.DESCRIPTOR.fields_by_name}
        return {"what": what, "model": fields.pop("name"), **fields}

    return rule


RULES: dict[tuple[str, str], Callable[[], Entry | None]] = {
    ("/mlflow/registered-models/create", "POST"): model_created,
    ("/mlflow/registered-models/rename", "POST"): model_renamed,
    ("/mlflow/registered-models/update", "PATCH"): _changed("model described", registry.UpdateRegisteredModel),
    ("/mlflow/registered-models/delete", "DELETE"): model_deleted,
    ("/mlflow/registered-models/set-tag", "POST"): _changed("model tagged", registry.SetRegisteredModelTag),
    ("/mlflow/registered-models/delete-tag", "DELETE"): _changed("model untagged", registry.DeleteRegisteredModelTag),
    ("/mlflow/registered-models/alias", "POST"): alias_set,
    ("/mlflow/registered-models/alias", "DELETE"): alias_deleted,
    ("/mlflow/model-versions/create", "POST"): version_created,
    ("/mlflow/model-versions/update", "PATCH"): version_described,
    ("/mlflow/model-versions/transition-stage", "POST"): _changed("stage set", registry.TransitionModelVersionStage),
    ("/mlflow/model-versions/delete", "DELETE"): version_deleted,
    ("/mlflow/model-versions/set-tag", "POST"): version_tagged,
    ("/mlflow/model-versions/delete-tag", "DELETE"): version_untagged,
    ("/mlflow/experiments/create", "POST"): experiment_created,
    ("/mlflow/experiments/update", "POST"): experiment_renamed,
    ("/mlflow/demo/generate", "POST"): examples_made,
    ("/mlflow/demo/delete", "POST"): examples_made,
}


def _copied(asked: Any) -> ModelVersion:
    name = asked.name.strip()[: -len(schema.PRODUCTION)]
    number = re.fullmatch(rf"models:/{re.escape(name)}/([0-9]+)", asked.source)
    copied = mlflow_internals.version(name, number[1]) if number else None
    if copied is None:
        raise Refused(f"A version of {asked.name} is a copy of models:/{name}/NUMBER, not of {asked.source}")
    return copied


def _home(run_id: str) -> str | None:
    return mlflow_internals.run_home(run_id).rstrip("/") if run_id else None


def _only_administrators(what: str) -> None:
    if not mlflow_internals.is_administrator():
        raise Refused(f"Only the administrator may {what}")


def _number(version: ModelVersion | None) -> str | None:
    return None if version is None else str(version.version)


def _judged(tags: dict[str, str]) -> Entry:
    """Verdict of the gate, and digests of what was judged and on which test data, where they are known."""
    known = {"verdict": tags.get(schema.VERDICT), "data": tags.get(schema.TEST), "weights": tags.get(schema.WEIGHTS)}
    return {key: value for key, value in known.items() if value}


def shortened(value: str | None) -> str | None:
    return value if value is None or len(value) <= LONGEST else hash_chain.digest(value)
