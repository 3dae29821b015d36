"""Commands for the model registry: register, verdict, promote, reject, rollback, audit, sync."""

from pathlib import Path
from typing import Annotated

import typer

from sadcl.errors import SadclError
from sadcl.progress import hint, say

PANEL = "Registry"
COMMIT = "Commit data/champion.json, data/champion.dvc and data/audit.jsonl"
app = typer.Typer()

Version = Annotated[str, typer.Argument(help="Version of the registered model.", metavar="VERSION")]
Reason = Annotated[str, typer.Option("--reason", help="Reason for the decision, for the audit log; required.")]


@app.command(rich_help_panel=PANEL)
def register() -> None:
    """Register the outputs of the last run as a version of the model."""
    from sadcl import pipeline
    from sadcl.registry import latency, publish

    pipeline.require_project()
    registration = publish.publish()
    say(f"{registration.words} {latency.record_latency(registration)}." if registration.new else registration.words)
    hint("A reviewer decides by `sadcl promote VERSION --reason TEXT`, or on the review page of `sadcl up`.")


@app.command(rich_help_panel=PANEL)
def verdict(
    check: Annotated[bool, typer.Option("--check", help="Judge again, and compare the result byte for byte.")] = False,
    version: Annotated[
        str, typer.Argument(help="With --check: score and judge this registered version.", metavar="VERSION")
    ] = "",
) -> None:
    """Print the gate's verdict, rule by rule; with --check VERSION, verify a registered version.

    A version is scored with the test photos and judged by the rules of this project, against the present champion. The
    exit status is 1 if it does not pass or its author's claims differ.
    """
    from sadcl import pipeline
    from sadcl.evaluation.gate import recheck

    pipeline.require_project()
    if version:
        if not check:
            raise typer.BadParameter("A version is verified with --check.")
        from sadcl.verification.verify import verify_number

        verification = verify_number(version)
        for line in verification.lines():
            say(line)
        raise typer.Exit(0 if verification.passed and not verification.differences else 1)
    for line in [recheck.recheck()] if check else recheck.describe():
        say(line)
    hint("`sadcl register` registers the model with this verdict.")


@app.command(rich_help_panel=PANEL)
def promote(
    version: Version,
    reason: Reason = "",
    first: Annotated[bool, typer.Option("--first", help="Confirm that there is no champion yet.")] = False,
) -> None:
    """Make a version that passed the gate the champion."""
    from sadcl import pipeline
    from sadcl.registry import promote
    from sadcl.verification import promotion

    pipeline.require_project()
    promotion.prepare(version, reason, first)
    say(promote.promote(version, reason, first=first, check=promotion.require_verified).words)
    hint(f"{COMMIT}; `dvc push` uploads the champion's files.")


@app.command(rich_help_panel=PANEL)
def criteria(
    accept: Annotated[
        bool, typer.Option("--accept", help="Accept the criteria of this project, as a reviewer.")
    ] = False,
    reason: Reason = "",
) -> None:
    """Print how the rules and test data of this project differ from the accepted criteria; exit with 1 if they do."""
    from sadcl import pipeline
    from sadcl.verification import acceptance

    pipeline.require_project()
    if accept:
        say(acceptance.accept_project(reason))
        return
    if reason:
        raise SadclError("A reason without --accept decides nothing", fix="Add --accept, or leave out --reason")
    lines, equal = acceptance.compare_project()
    for line in lines:
        say(line)
    raise typer.Exit(0 if equal else 1)


@app.command(rich_help_panel=PANEL)
def verify(
    version: Annotated[
        str, typer.Argument(help="Verify this version again, whether it waits or not.", metavar="VERSION")
    ] = "",
) -> None:
    """Score and judge the versions that wait, as the verifier of a team's server.

    `sadcl up` runs this by itself. The command works on the server's host, or with the verifier's name and password in
    the environment.
    """
    from sadcl import pipeline
    from sadcl.accounts import host
    from sadcl.verification import queue

    pipeline.require_project()
    with host.logged_in_as_verifier():
        for line in queue.verify_waiting(number=version, report=say) or ["No version waits for a verification."]:
            say(line)


@app.command(rich_help_panel=PANEL)
def reject(version: Version, reason: Reason = "") -> None:
    """Reject a version, whatever its verdict; a new verdict lets it challenge again."""
    from sadcl import pipeline
    from sadcl.registry import promote

    pipeline.require_project()
    say(promote.reject(version, reason).words)
    hint("Commit data/audit.jsonl.")


@app.command(rich_help_panel=PANEL)
def rollback(reason: Reason = "") -> None:
    """Make the previous champion the champion again."""
    from sadcl import pipeline
    from sadcl.registry import promote

    pipeline.require_project()
    say(promote.rollback(reason).words)
    hint(f"{COMMIT}.")


@app.command(rich_help_panel=PANEL)
def audit(
    export: Annotated[
        Path | None, typer.Option("--export", help="Write a signed copy of the registry to a file.", metavar="FILE")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", help="Verify such a copy, without server and project.", metavar="FILE"),
    ] = None,
    key: Annotated[
        str, typer.Option("--key", help="Fingerprint that the server's root key must have.", metavar="FINGERPRINT")
    ] = "",
    files: Annotated[
        Path | None,
        typer.Option("--files", help="With --bundle: compare the weights files of a folder.", metavar="FOLDER"),
    ] = None,
) -> None:
    """Print the audit log of the registry and verify it; exit with 1 if there are problems."""
    from sadcl import pipeline
    from sadcl.registry.audit import report
    from sadcl.signing.keys import parse_fingerprint

    if (files is not None and bundle is None) or (export is not None and bundle is not None):
        raise typer.BadParameter("--files goes with --bundle, and --export goes without it.")
    pinned = parse_fingerprint(key) if key else None
    if bundle is None:
        pipeline.require_project()
    result = report.of_bundle(bundle, files, pinned) if bundle is not None else report.of_registry(export, pinned)
    for line in result.history:
        typer.echo(line)
    for line in [*result.notes, *result.conclusion]:
        say(line)
    raise typer.Exit(1 if result.problems else 0)


@app.command(rich_help_panel=PANEL)
def sync() -> None:
    """Restore the champion's files from the registry."""
    from sadcl import pipeline
    from sadcl.registry import sync

    pipeline.require_project()
    say("The files were restored from the registry." if sync.sync() else "The files agree with the registry.")
