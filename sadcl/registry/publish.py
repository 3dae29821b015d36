"""Publish what the stages made: a run with its figures, and a version of the registered model.

The same model never registers twice. Called again, verdict and alias are brought up to date.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sadcl import files, layout
from sadcl.errors import SadclError
from sadcl.registry import artifacts, decision, identity, lineage, lookup, package, run_log, schema
from sadcl.registry import client as store
from sadcl.registry import stage_outputs as stages_made
from sadcl.registry.model_card import card
from sadcl.registry.stage_outputs import StageOutputs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

EVIDENCE = (layout.SCORES, layout.METRICS)
"""What the verdict stands on: pinned with the version."""

SHOWN = (layout.MODEL_REPORT, layout.VERDICT, layout.VALIDATION, Path("params.yaml"), stages_made.LOCK)
"""What people look at; a later gate run may replace it."""

REVIEWED = ("mAP", "CF1", "OF1")
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
        words: the same as a sentence.
    """

    name: str
    version: str
    alias: str | None
    new: bool
    words: str


def publish(root: Path = Path(".")) -> Registration:
    """Register the model that the gate judged and say whether it may challenge.

    Raises:
        SadclError: a file is missing or about another model, or the registry can't be had.
    """
    made = stages_made.collect_stage_outputs(root)
    with store.connect(root, changing=True) as client:
        version = _registered(client, made)
        new = version is None
        if version is None:
            version = _register(client, made)
        _bring_up_to_date(client, made, version, new)
        alias = _alias(client, made, version)
    return Registration(made.name, str(version.version), alias, new, _words(made, version, alias, new))


def _registered(client: "MlflowClient", made: StageOutputs) -> "ModelVersion | None":
    """The version that is this model already."""
    same = [v for v in lookup.versions(client, made.name) if v.tags.get(schema.IDENTITY) == made.identity]
    return min(same, key=lambda version: int(version.version), default=None)


def _register(client: "MlflowClient", made: StageOutputs) -> "ModelVersion":
    experiment = _experiment(client, made)
    _drop_unfinished(client, experiment, made)
    run = client.create_run(experiment, tags=_run_tags(made), run_name=f"{made.name} {made.weights[:8]}").info
    try:
        model = package.log(made, run.run_id)
        run_log.log_settings(client, made, run.run_id)
        run_log.log(client, made, run.run_id, model.model_id)
        for path in EVIDENCE:
            client.log_artifact(run.run_id, str(made.root / path), artifacts.EVIDENCE)
        version = _version(client, made, run.run_id, model.model_uri)
    except BaseException:
        client.set_terminated(run.run_id, "FAILED")
        raise
    client.set_terminated(run.run_id)
    return version


def _version(client: "MlflowClient", made: StageOutputs, run_id: str, uri: str) -> "ModelVersion":
    """Register with its tags in one step: no version is ever without its pins."""
    import mlflow

    tags = {
        schema.IDENTITY: made.identity,
        schema.WEIGHTS: made.weights,
        schema.TEST: made.test,
        schema.MAP: _shown(made.metrics["sadcl"]["mAP"]),
        artifacts.PINS: json.dumps(_pins(client, made, run_id, uri), sort_keys=True),
        **lineage.tags(made),
    }
    return mlflow.register_model(uri, made.name, tags=tags)


def _pins(client: "MlflowClient", made: StageOutputs, run_id: str, uri: str) -> dict[str, str]:
    """Digests of what the registry holds; weights and scores must be the ones that were judged."""
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        model = Path(download_artifacts(artifact_uri=uri, dst_path=f"{folder}/{artifacts.MODEL}"))
        evidence = Path(client.download_artifacts(run_id, artifacts.EVIDENCE, folder))
        pins = artifacts.digests(model, artifacts.MODEL) | artifacts.digests(evidence, artifacts.EVIDENCE)
    judged = artifacts.ONNX if made.file == stages_made.ONNX else artifacts.WEIGHTS
    ours = {judged: made.weights, artifacts.SCORES: files.digest(made.root / layout.SCORES)}
    if any(pins.get(name) != digest for name, digest in ours.items()):
        raise SadclError("The registry did not keep the files as they were sent", where=uri, fix="Register again")
    return pins


def _bring_up_to_date(client: "MlflowClient", made: StageOutputs, version: "ModelVersion", new: bool) -> None:
    """Verdict, model card and what people look at, as the stages left them last.

    A verdict that is no pass is written first and a pass last: killed in between, nothing looks passed
    that is not. The digest says that all of this is there: it is taken away first and comes back at the very end. The
    card tells the verdict, so it follows it; its lineage alone stays that of the registration.
    """
    digest = files.digest_of(made.verdict)
    if not new and version.tags.get(schema.VERDICT_DIGEST) == digest:
        return
    who = None if new else identity.logged_in(made.root)
    if who is not None and who != version.user_id:
        raise SadclError(
            f"{version.user_id} registered this model, and the gate's new verdict on it is theirs to register",
            where=lookup.address(version),
            fix=f"Let {version.user_id} run `sadcl register`",
        )
    tags = {
        schema.VERDICT: str(made.verdict["verdict"]),
        schema.JUDGED_AGAINST: made.judged_against,
        schema.WORDS: str(made.verdict["words"]),
    }
    order = list(tags) if not made.passed else [schema.JUDGED_AGAINST, schema.WORDS, schema.VERDICT]
    client.set_model_version_tag(made.name, version.version, schema.VERDICT_DIGEST, "")
    for name in order:
        client.set_model_version_tag(made.name, version.version, name, tags[name])
    told = _description(made, version)
    client.update_model_version(made.name, version.version, told)
    client.set_tag(str(version.run_id), "mlflow.note.content", told)
    for path in SHOWN:
        client.log_artifact(version.run_id, str(made.root / path))
    for file, text in card.render(made, str(version.version), version.tags).items():
        client.log_text(str(version.run_id), text, file)
    client.set_model_version_tag(made.name, version.version, schema.VERDICT_DIGEST, digest)


def _description(made: StageOutputs, version: "ModelVersion") -> str:
    """What a reviewer reads first, in Markdown."""
    rules = "\n".join(f"* **{rule['result']}**: {rule['words']}" for rule in made.verdict["rules"])
    rows = "\n".join(
        f"| {name} | " + " | ".join(_shown(made.metrics[key].get(figure)) for figure in REVIEWED) + " |"
        for name, key in (("this model, SADCL", "sadcl"), ("its stage 1, SARL alone", "sarl"))
    )
    told = (
        f"**Gate: {made.verdict['verdict']}**\n\n{rules}\n\n"
        f"| test figures, % | {' | '.join(REVIEWED)} |\n|---{'|---' * len(REVIEWED)}|\n{rows}\n\n"
        f"The artifact {card.CARD} of the run is the model card, {card.PAGE} the same as a page; "
        f"{layout.MODEL_REPORT.name} has curves and photos."
    )
    how = f'\n\nTo put it into production: `sadcl promote {version.version} --reason "..."`' if made.passed else ""
    return (told + how)[:DESCRIPTION]


def _alias(client: "MlflowClient", made: StageOutputs, version: "ModelVersion") -> str | None:
    """Give or take away ``challenger``; a model that is champion already challenges nobody."""
    champion = lookup.version_with_alias(client, schema.production(made.name), schema.CHAMPION)
    reigns = champion is not None and champion.tags.get(schema.WEIGHTS) == made.weights
    holder = lookup.version_with_alias(client, made.name, schema.CHALLENGER)
    holds = holder is not None and holder.version == version.version
    rejected = decision.rejection(client.get_model_version(made.name, version.version))
    if made.passed and not reigns and not rejected:
        if not holds:
            client.set_registered_model_alias(made.name, schema.CHALLENGER, version.version)
        return schema.CHALLENGER
    if holds:
        client.delete_registered_model_alias(made.name, schema.CHALLENGER)
    return None


def _words(made: StageOutputs, version: "ModelVersion", alias: str | None, new: bool) -> str:
    how = "is registered" if new else "was registered already"
    rejected = decision.rejection(version)
    why = f"has the alias {alias}" if alias else f"has no alias: verdict {made.verdict['verdict']}"
    if not alias and made.passed:
        why = f"has no alias: {rejected['user']} rejected it" if rejected else "is the champion already"
    return f"{made.name} version {version.version} {how} and {why}."


def _experiment(client: "MlflowClient", made: StageOutputs) -> str:
    """Id of the experiment that has the model's name; made when it is not there.

    Raises:
        SadclError: its files belong to another folder than this one (the project was moved or copied).
    """
    place = store.artifacts(made.root)
    found = client.get_experiment_by_name(made.name)
    if found is None:
        where = None if place is None else str(place / made.name)
        return str(client.create_experiment(made.name, artifact_location=where, tags=schema.KIND))
    if place is not None and Path(found.artifact_location) != place / made.name:
        raise SadclError(
            f"The registry keeps its files in {found.artifact_location}, but this project is elsewhere now",
            where=store.database(made.root),
            fix="Move the project back, or move this file away to begin a new registry",
        )
    return str(found.experiment_id)


def _drop_unfinished(client: "MlflowClient", experiment: str, made: StageOutputs) -> None:
    """Hide runs of this very model that were killed before their version was registered."""
    for run in client.search_runs([experiment], f"tags.`{schema.IDENTITY}` = '{made.identity}'"):
        client.delete_run(run.info.run_id)


def _run_tags(made: StageOutputs) -> dict[str, str]:
    return {schema.IDENTITY: made.identity, "mlflow.source.type": "PROJECT", **lineage.tags(made)}


def _shown(figure: float | None) -> str:
    return "unknown" if figure is None else f"{figure:.2f}"
