"""Queue of the verifier: versions that wait for a verification, and the records that it writes."""

import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sadcl import files, layout
from sadcl.errors import SadclError
from sadcl.evaluation import scores
from sadcl.registry import artifacts, client, criteria, decision, eligibility, lookup, schema, verified
from sadcl.registry.audit import log
from sadcl.registry.verified import CHAMPION_SCORES, ERROR, METRICS, SCORES, VERDICT
from sadcl.verification import inputs
from sadcl.verification.confined_call import Report
from sadcl.verification.inputs import Inputs
from sadcl.verification.promotion import require_accepted
from sadcl.verification.verify import CandidateError, Verification, fetch, judge

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def verify_waiting(root: Path = Path("."), number: str = "", report: Report = lambda line: None) -> list[str]:
    """Verify every version that waits, the challenger first, and write the records.

    Args:
        root: the project, whose rules and test photos are the accepted criteria.
        number: of one version, which is verified whether it waits or not; by default those that wait.
        report: receives lines about the progress.

    Returns:
        A sentence about each version.

    Raises:
        SadclError: the registry can't be reached or refuses, the test photos are not here, this project has other
            criteria than the accepted ones, or a version could not be verified for a reason that may pass.
    """
    protected = inputs.load_inputs(root)
    results, problems = list[str](), list[str]()
    with files.lock(root / layout.VERIFIED_SCORES / "lock", "verifying"), client.connect(root) as connection:
        _end_lost_runs(connection, protected.name)
        accepted = criteria.accepted(connection, protected.name)
        if accepted is not None:
            require_accepted(accepted, protected)
        requested = [lookup.get_version(connection, protected.name, number)] if number else []
        versions = requested or waiting(connection, protected.name, protected.criteria.digest)
        for position, version in enumerate(versions, start=1):
            report(f"Version {version.version}, {position} of {len(versions)}: {len(protected.test):,} test photos")
            try:
                results.append(_verify(connection, version, protected, report))
            except Exception as error:  # any: one version, which its author made, must not keep the others waiting
                problems.append(f"version {version.version} was not verified: {error}")
                report(problems[-1])
    if problems:
        raise SadclError("; ".join(problems)[:2000], where=root.resolve(), fix="The next run tries again")
    return results


def waiting(connection: "MlflowClient", name: str, criteria_digest: str) -> "list[ModelVersion]":
    """Versions without a current record, the challenger first, then the newest.

    A record counts for its weights, criteria and champion. After a change of criteria or champion, versions that are
    older than the champion are not verified again by themselves.
    """
    champion = lookup.version_with_alias(connection, schema.production(name), schema.CHAMPION)
    weights = eligibility.champion_weights(None if champion is None else champion.tags)
    source = "" if champion is None else str(champion.source).rpartition("/")[2]
    oldest = int(source) if source.isdecimal() else 0

    # by its own request: a search does not say which aliases a version has
    challenger = lookup.version_with_alias(connection, name, schema.CHALLENGER)
    first = None if challenger is None else challenger.version

    def is_current(version: "ModelVersion") -> bool:
        record, digest = verified.read_record(version.tags), artifacts.served_digest(version.tags)
        if digest is None:
            return True  # nothing says which bytes would be verified
        if record is None or record.weights != digest:
            return False
        is_old = int(version.version) <= oldest and version.version != first
        return is_old or (record.criteria, record.champion) == (criteria_digest, weights)

    versions = [v for v in lookup.list_versions(connection, name) if not is_current(v) and not decision.rejection(v)]
    return sorted(versions, key=lambda v: (v.version != first, -int(v.version)))


def _verify(
    connection: "MlflowClient",
    version: "ModelVersion",
    protected: Inputs,
    report: Report,
) -> str:
    champion = lookup.version_with_alias(connection, schema.production(protected.name), schema.CHAMPION)
    try:
        with tempfile.TemporaryDirectory() as folder:
            verification = judge(fetch(connection, version, champion, Path(folder)), protected, report)
    except CandidateError as error:
        record, claims = _failure(version, champion, protected, error), []
    else:
        claims = verification.differences
        run, digests = _log_run(connection, protected.name, version, verification)
        record = replace(verification.record, run=run, files=digests)
    connection.set_model_version_tag(version.name, version.version, schema.VERIFIED, record.text())
    differing = f" Claims that differ: {'; '.join(map(str, claims))}." if claims else ""
    return f"Version {version.version}: {record.verdict}. {record.words.rstrip('.')}.{differing}"


def _failure(
    version: "ModelVersion", champion: "ModelVersion | None", protected: Inputs, error: SadclError
) -> verified.VerifiedRecord:
    """Record of a version that can't be scored: without it the version would wait forever."""
    champion_weights = eligibility.champion_weights(None if champion is None else champion.tags)
    return verified.VerifiedRecord(
        verdict=ERROR, words=error.what[:1000], mAP="", weights=artifacts.served_digest(version.tags) or "", test="",
        criteria=protected.criteria.digest, champion=champion_weights, run="", files={}, time=log.now(),
    )  # fmt: skip


def _log_run(
    connection: "MlflowClient", name: str, version: "ModelVersion", verification: Verification
) -> tuple[str, dict[str, str]]:
    """Log scores, figures and verdict as a run of the verifier; its id and the digests of the files."""
    experiment = connection.get_experiment_by_name(schema.verification(name))
    if experiment is None:
        raise SadclError(
            f"The registry has no experiment {schema.verification(name)}",
            fix="Start a team's server by `sadcl up`; without one, `sadcl promote` verifies a version itself",
        )
    run = connection.create_run(experiment.experiment_id, run_name=f"{name} version {version.version}")
    try:
        with tempfile.TemporaryDirectory() as folder:
            written = list(_files(Path(folder), verification))
            for path in written:
                connection.log_artifact(run.info.run_id, str(path))
            digests = {path.name: files.digest(path) for path in written}
    except BaseException:
        with suppress(Exception):  # a registry that is away; the next verification ends the run
            connection.set_terminated(run.info.run_id, "FAILED")
        raise
    connection.set_terminated(run.info.run_id)
    return str(run.info.run_id), digests


def _end_lost_runs(connection: "MlflowClient", name: str) -> None:
    """End the runs that killed verifications have left: under the lock no other verification of this folder runs.

    A living one of another folder sets the state of its run again at its end.
    """
    experiment = connection.get_experiment_by_name(schema.verification(name))
    if experiment is not None:
        for run in connection.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'"):
            connection.set_terminated(run.info.run_id, "KILLED")


def _files(folder: Path, verification: Verification) -> Iterable[Path]:
    for name, value in ((VERDICT, verification.verdict), (METRICS, verification.metrics)):
        files.write_json(folder / name, value)
        yield folder / name
    for name, values in ((SCORES, verification.scores), (CHAMPION_SCORES, verification.rival)):
        if len(values):
            scores.write_scores(folder / name, values)
            yield folder / name
