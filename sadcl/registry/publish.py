"""Publication of a release: an MLflow run with its figures, and a version of the registered model.

The same model never registers twice: a second call brings the verdict and the alias up to date.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sadcl import files, layout
from sadcl.errors import SadclError
from sadcl.registry import (
    artifacts,
    decision,
    eligibility,
    identity,
    lookup,
    model_code,
    package,
    run_log,
    schema,
    stage_outputs,
)
from sadcl.registry.client import artifact_folder, connect, database_file
from sadcl.registry.model_card import card
from sadcl.registry.release import Release, percent, prepare
from sadcl.registry.stage_outputs import StageOutputs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

EVIDENCE = (layout.SCORES, layout.METRICS, layout.TABLE, layout.VALIDATION)
"""Files that reviewers judge by, pinned with the version: scores, figures, all photos with their labels, validation."""

REPORTS = (layout.MODEL_REPORT, layout.VERDICT, layout.VALIDATION, Path("params.yaml"), stage_outputs.LOCK)
"""Files for readers; a later run of the gate may replace them."""

DESCRIPTION = 5000
"""Characters of a description that MLflow's database holds."""


@dataclass(frozen=True)
class Registration:
    """A version in the registry.

    Attributes:
        name: of the registered model.
        version: its number, as text.
        alias: ``challenger``, or None.
        new: registered just now.
        words: what happened, as a sentence.
    """

    name: str
    version: str
    alias: str | None
    new: bool
    words: str


def publish(root: Path = Path(".")) -> Registration:
    """Register the model that the gate judged; it becomes the challenger if it passed.

    Raises:
        SadclError: a file is missing or about another model, or the registry can't be reached.
    """
    release = prepare(root)
    with connect(root, changing=True) as client:
        return push(client, release)


def push(client: "MlflowClient", release: Release) -> Registration:
    """Register a release, or update its version where it is registered already.

    Raises:
        SadclError: the registry refuses, or did not keep the files as they were sent.
    """
    version = _registered(client, release.outputs)
    new = version is None
    if version is None:
        version = _register(client, release)
    _bring_up_to_date(client, release, version, new)
    alias = _alias(client, release.outputs, version)
    name, words = release.outputs.name, _words(release.outputs, version, alias, new)
    return Registration(name, str(version.version), alias, new, words)


def _registered(client: "MlflowClient", outputs: StageOutputs) -> "ModelVersion | None":
    """The oldest version with the identity of this model and the installed code; None where there is none yet."""
    versions = lookup.list_versions(client, outputs.name)
    # the identity goes by what was judged, not by a run: a second call finds the version of the first
    same = [
        version for version in versions
        # with other code it can't be used here
        if version.tags.get(schema.IDENTITY) == outputs.identity and model_code.is_current(version.tags)
    ]  # fmt: skip
    return min(same, key=lambda version: int(version.version), default=None)


def _register(client: "MlflowClient", release: Release) -> "ModelVersion":
    """Log a run, then register a version of its model."""
    outputs = release.outputs
    experiment = _experiment(client, outputs)
    # runs of killed calls: without a version nobody would look for them
    _drop_unfinished(client, experiment, outputs)
    tags = {schema.IDENTITY: outputs.identity, "mlflow.source.type": "PROJECT", **release.lineage}
    run_id = client.create_run(experiment, tags=tags, run_name=f"{outputs.name} {outputs.weights[:8]}").info.run_id
    try:
        model = package.log(outputs, run_id)
        run_log.log_settings(client, release, run_id)
        run_log.log_metrics(client, release, run_id, model.model_id)
        for path in filter(lambda path: (outputs.root / path).is_file(), EVIDENCE):
            # before the version: its pins are the digests of these files, and the guard lets nobody write them
            # afterwards
            client.log_artifact(run_id, str(outputs.root / path), artifacts.EVIDENCE)
        version = _version(client, release, run_id, model.model_uri)
    except BaseException:  # also where somebody interrupts: the next call drops failed runs of this model
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)
    return version


def _version(client: "MlflowClient", release: Release, run_id: str, uri: str) -> "ModelVersion":
    """Register with its tags in one step: no version is ever without its pins."""
    import mlflow

    outputs = release.outputs
    tags = {
        schema.IDENTITY: outputs.identity,
        schema.WEIGHTS: outputs.weights,
        schema.TEST: outputs.test,
        schema.MAP: percent(outputs.metrics["sadcl"]["mAP"]),
        **({schema.PROBE: release.over_probe} if release.over_probe else {}),
        **_pins(client, release, run_id, uri),
        **release.lineage,
    }
    return mlflow.register_model(uri, outputs.name, tags=tags)


def _pins(client: "MlflowClient", release: Release, run_id: str, uri: str) -> dict[str, str]:
    """Tags with digests and texts of what the registry holds; weights and scores must be the ones that were judged."""
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        # downloaded again: digests of what the registry holds, not of what was sent to it
        model = Path(download_artifacts(artifact_uri=uri, dst_path=f"{folder}/{artifacts.MODEL}"))
        evidence = Path(client.download_artifacts(run_id, artifacts.EVIDENCE, folder))
        pins = artifacts.digests(model, artifacts.MODEL) | artifacts.digests(evidence, artifacts.EVIDENCE)
        texts = model_code.texts(model)
    weights = artifacts.ONNX if release.outputs.file == stage_outputs.ONNX else artifacts.WEIGHTS
    # the gate judged files of the project; the chain from them to the registry closes here
    judged = {weights: release.outputs.weights, artifacts.SCORES: release.scores}
    if any(pins.get(name) != digest for name, digest in judged.items()):
        raise SadclError("The registry did not keep the files as they were sent", where=uri, fix="Register again")
    tags = {artifacts.PINS: json.dumps(pins, sort_keys=True), model_code.TEXTS: texts}
    for objection in model_code.objections(tags):  # another MLflow may write other files
        raise SadclError(objection, where=uri, fix="Install the version of MLflow that sadcl asks for")
    return tags


def _bring_up_to_date(client: "MlflowClient", release: Release, version: "ModelVersion", new: bool) -> None:
    """Write verdict, description, model card and reports, as the stages left them last.

    The digest says that all of this is there: it is taken away first and comes back at the very end. The card tells
    the verdict, so it follows it; its lineage alone stays that of the registration.
    """
    outputs = release.outputs
    digest = files.digest_of(outputs.verdict)
    if not new and version.tags.get(schema.VERDICT_DIGEST) == digest:
        return
    if not new:
        _require_registrant(outputs, version)
    client.set_model_version_tag(outputs.name, version.version, schema.VERDICT_DIGEST, "")
    for name, value in _verdict_tags(outputs):
        client.set_model_version_tag(outputs.name, version.version, name, value)
    description = _description(release, version)
    client.update_model_version(outputs.name, version.version, description)
    client.set_tag(str(version.run_id), "mlflow.note.content", description)
    for path in REPORTS:
        client.log_artifact(version.run_id, str(outputs.root / path))
    for file, text in card.render(release.card, str(version.version), version.tags).items():
        client.log_text(str(version.run_id), text, file)
    client.set_model_version_tag(outputs.name, version.version, schema.VERDICT_DIGEST, digest)


def _require_registrant(outputs: StageOutputs, version: "ModelVersion") -> None:
    """A new verdict is registered by the person who registered the model; the guard would refuse anybody else."""
    user = identity.logged_in(outputs.root)
    if user is not None and user != version.user_id:
        raise SadclError(
            f"{version.user_id} registered this model; only {version.user_id} can register the gate's new verdict",
            where=lookup.model_uri(version),
            fix=f"Ask {version.user_id} to run `sadcl register`",
        )


def _verdict_tags(outputs: StageOutputs) -> list[tuple[str, str]]:
    """Tags in the order of writing.

    A pass comes last and any other verdict first, so that a killed call never leaves a version that looks passed.
    """
    verdict = (schema.VERDICT, str(outputs.verdict["verdict"]))
    tags = [(schema.JUDGED_AGAINST, outputs.judged_against), (schema.WORDS, str(outputs.verdict["words"]))]
    return [*tags, verdict] if outputs.passed else [verdict, *tags]


def _description(release: Release, version: "ModelVersion") -> str:
    how = f'\n\nTo put it into production: `sadcl promote {version.version} --reason "..."`'
    return (release.description + (how if release.outputs.passed else ""))[:DESCRIPTION]


def _alias(client: "MlflowClient", outputs: StageOutputs, version: "ModelVersion") -> str | None:
    """Give or take away the alias ``challenger``; the champion itself never has it."""
    champion = lookup.version_with_alias(client, schema.production(outputs.name), schema.CHAMPION)
    is_champion = eligibility.is_champion(version.tags, None if champion is None else champion.tags)
    challenger = lookup.version_with_alias(client, outputs.name, schema.CHALLENGER)
    challenges = challenger is not None and challenger.version == version.version
    rejected = decision.rejection(client.get_model_version(outputs.name, version.version))
    if outputs.passed and not is_champion and not rejected:
        if not challenges:
            client.set_registered_model_alias(outputs.name, schema.CHALLENGER, version.version)
        return schema.CHALLENGER
    if challenges:
        client.delete_registered_model_alias(outputs.name, schema.CHALLENGER)
    return None


def _words(outputs: StageOutputs, version: "ModelVersion", alias: str | None, new: bool) -> str:
    registered = "is registered" if new else "was registered already"
    rejected = decision.rejection(version)
    state = f"has the alias {alias}" if alias else f"has no alias: verdict {outputs.verdict['verdict']}"
    if not alias and outputs.passed:
        state = f"has no alias: {rejected['user']} rejected it" if rejected else "is the champion already"
    return f"{outputs.name} version {version.version} {registered} and {state}."


def _experiment(client: "MlflowClient", outputs: StageOutputs) -> str:
    """Id of the experiment that has the model's name; outputs when it is not there.

    Raises:
        SadclError: its files belong to another folder than this one (the project was moved or copied).
    """
    folder = artifact_folder(outputs.root)
    experiment = client.get_experiment_by_name(outputs.name)
    if experiment is None:
        location = None if folder is None else str(folder / outputs.name)
        return str(client.create_experiment(outputs.name, artifact_location=location, tags=schema.KIND))
    if folder is not None and Path(experiment.artifact_location) != folder / outputs.name:
        raise SadclError(
            f"The project has moved, but the registry keeps its files in {experiment.artifact_location}",
            where=database_file(outputs.root),
            fix="Move the project back, or move this file away to start a new registry",
        )
    return str(experiment.experiment_id)


def _drop_unfinished(client: "MlflowClient", experiment: str, outputs: StageOutputs) -> None:
    """Delete runs of this model that were killed before their version was registered."""
    # versions with the code of another sadcl keep their runs, which hold their evidence
    used = {str(version.run_id) for version in lookup.list_versions(client, outputs.name)}
    for run in client.search_runs([experiment], f"tags.`{schema.IDENTITY}` = '{outputs.identity}'"):
        if run.info.run_id not in used:
            client.delete_run(run.info.run_id)
