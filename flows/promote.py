"""Prefect flow that updates a project's files after a decision: ``python -m flows.promote``.

A person decides, on the review page or by ``sadcl promote``, ``reject`` and ``rollback``.
"""

import argparse
from pathlib import Path
from typing import Any

from flows import environment

environment.prepare()  # before Prefect is imported

from prefect import State, flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed

from flows.messages import install_log_filter, run_command, translate_errors
from sadcl import params
from sadcl.errors import SadclError
from sadcl.pipeline import repository
from sadcl.progress import say
from sadcl.project import worktree

FILES = ("data/champion.json", "data/champion.dvc", "data/audit.jsonl")
PAST_TENSE = {"promote": "promoted", "rollback": "rolled back to", "reject": "rejected", "found": "found"}


@flow(name="promote")
def promote(commit: bool = False, root: Path = Path(".")) -> State[Any]:
    """Update the project's files from the registry, and publish the last decision as a page.

    Args:
        commit: whether to commit ``FILES``, and no other file.
        root: the project's folder.
    """
    install_log_filter()
    from sadcl.registry.audit import log as audit
    from sadcl.registry.sync import sync

    root, log = Path(root).resolve(), get_run_logger()
    words = "The project's files were updated from the registry." if sync(root) else "The project's files are in line."
    decisions = audit.entries(root)
    if not decisions:
        return Completed(message=f"{words} There is no decision yet.")
    notice = describe_decision(decisions[-1])
    log.info(notice)
    changed = _uncommitted(root)
    if commit and changed:
        words += f" Committed as {worktree.commit(root, notice, changed)}."
    elif changed:
        log.info("Commit %s", ", ".join(changed))
    page = _page(decisions[-1], words, [] if commit else changed)
    create_markdown_artifact(key="promote", markdown=page, description=notice[:200])
    return Completed(message=words)


def describe_decision(entry: dict[str, Any]) -> str:
    """An entry of the audit log as a sentence."""
    version = f" as {entry.get('model')} version {entry['to']}" if entry.get("to") else ""
    reason = " ".join(str(entry.get("reason")).split())
    return f"{entry.get('user')} {_past_tense(entry)} {entry.get('challenger')}{version}: {reason}"


def _past_tense(entry: dict[str, Any]) -> str:
    return PAST_TENSE.get(str(entry.get("action")), str(entry.get("action")))


def _page(entry: dict[str, Any], words: str, changed: list[str]) -> str:
    """Page of a decision: a table of it, the state of the project's files, and the files to commit."""
    from sadcl.registry.model_card.markdown import escaped, table

    decision, champion = f"{_past_tense(entry)} {entry.get('challenger')}", str(entry.get("to") or "")
    previous = champion and (entry.get("from") or "none")
    cells = [entry.get("user"), decision, entry.get("reason"), previous, champion, entry.get("time")]
    head = ["user", "decision", "reason", "champion before", "champion now", "time"]
    summary = table(head, [[str(cell or "") for cell in cells]])
    commit = [f"Commit {', '.join(f'`{file}`' for file in changed)}."] if changed else []
    return "\n\n".join(["# The last decision", summary, escaped(words), *commit])


def _uncommitted(root: Path) -> list[str]:
    """Those of ``FILES`` with changes that git would commit; none outside a repository."""
    status = {file: repository.git(root, "status", "--porcelain", "--", file, check=False) for file in FILES}
    return [file for file, line in status.items() if line.strip()]


def _run(commit: bool) -> State[Any]:
    """Run the flow; without a Prefect server that answers, on a temporary one."""
    try:
        with translate_errors():
            return promote(commit, return_state=True)
    except SadclError as error:
        say(f"promote: {error.what} ({error.where}), so this run starts its own server")
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        return promote(commit, return_state=True)


def main() -> None:
    """Parse the arguments and run the flow; exit with 0, or with 2 and a message."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.promote", description="Update the project's files after a decision."
    )
    parser.add_argument("--commit", action="store_true", help=f"commit {', '.join(FILES)}")
    arguments = parser.parse_args()

    def run() -> State[Any]:
        params.load("register")
        return _run(arguments.commit)

    run_command("promote", run)


if __name__ == "__main__":
    main()
