"""Rules on changes of names, versions, aliases and tags: each refuses, or returns the entry for the ledger.

A rule that returns None lets MLflow answer: the request is about something that is missing, so nothing changes. Rules
and the ledger use the number of the version that MLflow finds, since MLflow reads "01", "+1" and " 1" as 1.
"""

import re
from collections.abc import Callable
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.protos import model_registry_pb2 as registry
from mlflow.protos import service_pb2 as tracking

from sadcl import files
from sadcl.guard import (
    alias_rules,
    authorship,
    decision_rules,
    mlflow_internals,
    permissions,
    run_rules,
    verification_rules,
)
from sadcl.guard.ledger import Entry
from sadcl.guard.mlflow_internals import Refused
from sadcl.registry import artifacts, lookup, schema
from sadcl.registry.artifacts import PINS
from sadcl.registry.audit import replay
from sadcl.registry.audit.replay import TAGS, shortened

SCHEME = "mlflow-artifacts:/"
"""Addresses of files that this server keeps."""
PINNED = {PINS, schema.IDENTITY, schema.WEIGHTS, schema.TEST}
"""Tags that identify the content of a version: written when it is registered, and never again."""


def model_created() -> Entry | None:
    """Only administrators create models; clients ask for an existing one before each version, which MLflow answers."""
    # mlflow.register_model asks for the model each time: a typing error in the name would create a new one.
    request = mlflow_internals.parse_request(registry.CreateRegisteredModel)
    name = request.name
    if mlflow_internals.model_exists(name):
        return None
    if any(tag.key.startswith(schema.OURS) for tag in request.tags):
        raise Refused(f"A new model has no tags {schema.OURS}…; reviewers accept its criteria afterwards")
    _only_administrators(f"create the model {name}")
    # With its tags: one that no line has would look like one that was added past the server.
    return {"what": replay.MODEL_CREATED, "model": name, TAGS: {tag.key: shortened(tag.value) for tag in request.tags}}


def model_renamed() -> Entry | None:
    """Only administrators rename models; protected names never change, nor does a name become a protected one."""
    request = mlflow_internals.parse_request(registry.RenameRegisteredModel)
    # Rights belong to names: a renamed model would take those of its new name.
    if schema.protected(request.name) or schema.protected(request.new_name):
        raise Refused(f"{request.name} can't be renamed to {request.new_name}: names in production never change")
    _only_administrators(f"rename the model {request.name}")
    return {"what": replay.MODEL_RENAMED, "model": request.name, "from": request.name, "to": request.new_name}


def experiment_created() -> Entry | None:
    """Only administrators create experiments."""
    name = mlflow_internals.parse_request(tracking.CreateExperiment).name
    if mlflow_internals.experiment_exists(name):
        return None
    _only_administrators(f"create the experiment {name}")
    return {"what": "experiment made", "experiment": name}


def experiment_renamed() -> Entry | None:
    """Only administrators rename experiments."""
    request = mlflow_internals.parse_request(tracking.UpdateExperiment)
    _only_administrators(f"rename the experiment {request.experiment_id}")
    return {"what": "experiment renamed", "experiment": request.experiment_id, "to": request.new_name}


def examples_changed() -> Entry | None:
    """Only administrators create MLflow's examples, which are models and experiments."""
    _only_administrators("create MLflow's examples")
    return {"what": "examples made or deleted"}


def model_tagged() -> Entry | None:
    """Acceptance criteria are written by a reviewer in their own name, with a reason."""
    request = mlflow_internals.parse_request(registry.SetRegisteredModelTag)
    before = mlflow_internals.model_tags(request.name).get(request.key)
    entry = {"what": replay.MODEL_TAG_SET, "model": request.name, "key": request.key}
    if request.key == schema.CRITERIA:
        accepted = verification_rules.check_acceptance(request.name, request.value)
        entry |= {"reason": accepted.reason, "criteria": accepted.criteria.digest}
    return {**entry, "from": shortened(before), "to": shortened(request.value)}


def model_untagged() -> Entry | None:
    """Acceptance criteria can't be deleted."""
    request = mlflow_internals.parse_request(registry.DeleteRegisteredModelTag)
    if request.key == schema.CRITERIA:
        raise Refused(f"The tag {schema.CRITERIA} can't be deleted; accept other criteria in its place")
    return {"what": replay.MODEL_TAG_DELETED, "model": request.name, "key": request.key}


def version_created() -> Entry | None:
    """A version in production copies a registered one tag for tag; any other comes from a run of its author."""
    request = mlflow_internals.parse_request(registry.CreateModelVersion)
    tags = {tag.key: tag.value for tag in request.tags}
    if schema.protected(request.name):
        source = _copy_source(request)
        # Otherwise a reviewer could attach another verdict, or another run's figures, to the copy.
        if any(source.tags.get(key) != value for key, value in tags.items()) or request.run_id != (source.run_id or ""):
            raise Refused(f"A version of {request.name} has the tags and the run of {request.source}, and no others")
    elif schema.DECISION in tags or schema.VERIFIED in tags:
        key = schema.DECISION if schema.DECISION in tags else schema.VERIFIED
        raise Refused(f"The tag {key} is written by a reviewer or the verifier, not by a registration")
    # Another spelling of the address, or another storage, would escape the rules on files, and a whole run as the
    # source would lock its author out of the run.
    elif (
        not (request.source.startswith(SCHEME) or request.source == f"models:/{request.model_id}")
        or "%" in request.source
        or request.source.rstrip("/") == _run_uri(request.run_id)
    ):
        raise Refused(
            f"The source of a version must be the plain address of a folder below its run, not {request.source}"
        )
    elif {mlflow_internals.run_author(run) for run in run_rules.source_runs(request)} != {
        mlflow_internals.current_user()
    }:
        raise Refused("You can only register a version from your own run")
    elif PINS in tags and not _are_pins(tags[PINS]):
        raise Refused(f"The tag {PINS} holds the SHA-256 of each file of a version, and nothing else")
    # The line is written before MLflow gives the number.
    number = str(mlflow_internals.last_version(request.name) + 1)
    entry = {"what": replay.VERSION_CREATED, "model": request.name, "version": number, "source": request.source}
    # With every tag, the digests of its files too: the line's signature covers what the version is.
    return {**entry, TAGS: {key: shortened(value) for key, value in tags.items()}, **_verdict_fields(tags)}


def alias_set() -> Entry | None:
    """The alias ``champion`` in production needs a decision by another person than the author."""
    request = mlflow_internals.parse_request(registry.SetRegisteredModelAlias)
    problem = alias_rules.problem(request.name, request.alias)
    if problem is not None:
        raise Refused(problem)
    version = mlflow_internals.version(request.name, request.version)
    if version is None:
        return None
    before = _number(mlflow_internals.version_with_alias(request.name, request.alias))
    # Other aliases in production, such as previous, follow from decisions and decide nothing.
    if schema.protected(request.name) and request.alias == schema.CHAMPION:
        authorship.require_second_person(version)
        decision_rules.require_decision(version)
    entry = {
        "what": replay.ALIAS_SET,
        "model": request.name,
        "alias": request.alias,
        "from": before,
        "to": str(version.version),
    }
    return {**entry, **_verdict_fields(version.tags)}


def alias_deleted() -> Entry | None:
    """Deleting an alias is recorded with the version that had it; the champion's stays until another takes it."""
    request = mlflow_internals.parse_request(registry.DeleteRegisteredModelAlias)
    before = _number(mlflow_internals.version_with_alias(request.name, request.alias))
    if before is None:
        return None
    if schema.protected(request.name) and request.alias == schema.CHAMPION:
        raise Refused(f"The alias {schema.CHAMPION} moves by a decision, and is never deleted")
    return {"what": replay.ALIAS_DELETED, "model": request.name, "alias": request.alias, "from": before, "to": None}


def version_tagged() -> Entry | None:
    """Pinned tags never change, reviewers write decisions, and authors write our other tags."""
    request = mlflow_internals.parse_request(registry.SetModelVersionTag)
    version = mlflow_internals.version(request.name, request.version)
    if version is None:
        return None
    before = version.tags.get(request.key)
    # The gate judged the files with these digests: other ones would carry its verdict to another model.
    if request.key in PINNED and request.value != before:
        raise Refused(f"The tag {request.key} identifies {lookup.model_uri(version)} and is never written again")
    if request.key == schema.DECISION:
        if not schema.protected(request.name) and not permissions.may_decide(request.name):
            raise Refused(f"Only accounts that may write {schema.production(request.name)} decide on {request.name}")
        decision_rules.check_decision(version, request.value)
    elif request.key == schema.VERIFIED:
        verification_rules.check_record(version, request.value)
    elif request.key.startswith(schema.OURS) and request.value != before:
        authorship.require_author(version)
    entry = {"what": replay.TAG_SET, "model": request.name, "version": str(version.version), "key": request.key}
    return {**entry, "from": shortened(before), "to": shortened(request.value), **_verdict_fields(version.tags)}


def version_untagged() -> Entry | None:
    """Pinned tags, decisions and verifications can't be deleted."""
    request = mlflow_internals.parse_request(registry.DeleteModelVersionTag)
    # Deleting first and setting then would be a way around both rules.
    if request.key in PINNED or request.key in (schema.DECISION, schema.VERIFIED):
        raise Refused(f"The tag {request.key} can't be deleted")
    version = mlflow_internals.version(request.name, request.version)
    if version is None:
        return None
    return {"what": replay.TAG_DELETED, "model": request.name, "version": str(version.version), "key": request.key}


def version_described() -> Entry | None:
    """Only the author describes a version: reviewers read the description first."""
    request = mlflow_internals.parse_request(registry.UpdateModelVersion)
    version = mlflow_internals.version(request.name, request.version)
    if version is None:
        return None
    authorship.require_author(version)
    return {"what": "version described", "model": request.name, "version": str(version.version)}


def version_staged() -> Entry | None:
    """MLflow's stages decide nothing here; a change of one is recorded."""
    request = mlflow_internals.parse_request(registry.TransitionModelVersionStage)
    version = mlflow_internals.version(request.name, request.version)
    if version is None:
        return None
    number, stage = str(version.version), shortened(request.stage)
    return {"what": "stage set", "model": request.name, "version": number, "stage": stage}


def model_described() -> Entry:
    """Whoever may write a model describes it; MLflow's rights are enough."""
    name = mlflow_internals.parse_request(registry.UpdateRegisteredModel).name
    return {"what": "model described", "model": name}


def model_deleted() -> Entry:
    """A model in production can't be deleted: its criteria would be gone, and its numbers begin again."""
    name = mlflow_internals.parse_request(registry.DeleteRegisteredModel).name
    if schema.protected(name):
        raise Refused(f"{name} is in production, and can't be deleted")
    return {"what": replay.MODEL_DELETED, "model": name}


def version_deleted() -> Entry | None:
    """The champion can't be deleted."""
    request = mlflow_internals.parse_request(registry.DeleteModelVersion)
    version = mlflow_internals.version(request.name, request.version)
    if version is None:
        return None
    # Projects load the champion by its alias, and a rollback needs its version.
    protected = schema.protected(request.name)
    champion = mlflow_internals.version_with_alias(request.name, schema.CHAMPION) if protected else None
    if champion is not None and version.version == champion.version:
        raise Refused(f"{lookup.model_uri(champion)} is champion, and can't be deleted")
    return {"what": replay.VERSION_DELETED, "model": request.name, "version": str(version.version)}


RULES: dict[tuple[str, str], Callable[[], Entry | None]] = {
    ("/mlflow/registered-models/create", "POST"): model_created,
    ("/mlflow/registered-models/rename", "POST"): model_renamed,
    ("/mlflow/registered-models/update", "PATCH"): model_described,
    ("/mlflow/registered-models/delete", "DELETE"): model_deleted,
    ("/mlflow/registered-models/set-tag", "POST"): model_tagged,
    ("/mlflow/registered-models/delete-tag", "DELETE"): model_untagged,
    ("/mlflow/registered-models/alias", "POST"): alias_set,
    ("/mlflow/registered-models/alias", "DELETE"): alias_deleted,
    ("/mlflow/model-versions/create", "POST"): version_created,
    ("/mlflow/model-versions/update", "PATCH"): version_described,
    ("/mlflow/model-versions/transition-stage", "POST"): version_staged,
    ("/mlflow/model-versions/delete", "DELETE"): version_deleted,
    ("/mlflow/model-versions/set-tag", "POST"): version_tagged,
    ("/mlflow/model-versions/delete-tag", "DELETE"): version_untagged,
    ("/mlflow/experiments/create", "POST"): experiment_created,
    ("/mlflow/experiments/update", "POST"): experiment_renamed,
    ("/mlflow/demo/generate", "POST"): examples_changed,
    ("/mlflow/demo/delete", "POST"): examples_changed,
}


def _are_pins(text: str) -> bool:
    """Whether the value of the tag with the pins has digests alone; one of them becomes the name of a folder."""
    pinned = artifacts.read_pins({PINS: text})
    return pinned is not None and all(map(files.is_digest, pinned.values()))


def _copy_source(request: Any) -> ModelVersion:
    """Registered version that a request copies; by number, since an alias may point elsewhere a moment later."""
    name = request.name.strip()[: -len(schema.PRODUCTION)]
    number = re.fullmatch(rf"models:/{re.escape(name)}/([0-9]+)", request.source)
    source = mlflow_internals.version(name, number[1]) if number else None
    # Zeros in front of the number would make another address, by which nobody recognises the version.
    if source is None or request.source != lookup.model_uri(source):
        raise Refused(f"A version of {request.name} must copy models:/{name}/NUMBER, not {request.source}")
    return source


def _run_uri(run_id: str) -> str | None:
    return mlflow_internals.run_artifact_uri(run_id).rstrip("/") if run_id else None


def _only_administrators(action: str) -> None:
    if not mlflow_internals.is_administrator():
        raise Refused(f"Only the administrator may {action}")


def _number(version: ModelVersion | None) -> str | None:
    return None if version is None else str(version.version)


def _verdict_fields(tags: dict[str, str]) -> Entry:
    """Verdict of the gate, its digest, and digests of weights and test data, where they are known."""
    fields = {"verdict": tags.get(schema.VERDICT), "data": tags.get(schema.TEST), "weights": tags.get(schema.WEIGHTS)}
    fields["verdict_digest"] = tags.get(schema.VERDICT_DIGEST)
    return {key: value for key, value in fields.items() if value}
