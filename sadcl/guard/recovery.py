"""Recovery of the ledger after the server was killed between a line and its change."""

from collections.abc import Callable

from sadcl.guard import ledger, mlflow_internals
from sadcl.guard.ledger import Entry
from sadcl.registry.audit import hash_chain, replay
from sadcl.registry.audit.replay import shortened
from sadcl.registry.audit.signatures import INTRODUCED, ROOT_INTRODUCED, SERVER


def complete_unfinished() -> None:
    """Mark the last line as not done where its change was never made.

    The server makes one change at a time, so no other line can be unfinished, but for uploads.
    """
    with ledger.exclusive():
        # A half-written line was never a line, so its change was never made either.
        lines = hash_chain.lines(ledger.path())
        # The line about the change may need a key, whose own line then stands between the two.
        while lines and hash_chain.parse(lines[-1:], ledger.path())[0].get("what") in (INTRODUCED, ROOT_INTRODUCED):
            lines.pop()
        last = hash_chain.parse(lines[-1:], ledger.path())
        if last and not _is_applied(last[0]):
            ledger.append_entry({"what": hash_chain.NOT_DONE, "line": hash_chain.digests(lines[-1:])[0]}, SERVER)


def _is_applied(entry: Entry) -> bool:
    """Whether the registry shows the change of a line; true for changes that leave no trace to look for.

    A damaged line counts as well: no server wrote it, and `sadcl audit` names it.
    """
    check = CHECKS.get(str(entry.get("what")))
    # Without fields of another type, which MLflow's store would stumble over.
    texts = {name: value for name, value in entry.items() if isinstance(value, str)}
    try:
        return check is None or check(texts)
    except KeyError:
        return True


def _tag_applied(entry: Entry) -> bool:
    version = mlflow_internals.version(entry["model"], entry["version"])
    # Long values stand as digests in the ledger.
    return version is not None and shortened(version.tags.get(entry["key"])) == entry.get("to")


def _model_tag_applied(entry: Entry) -> bool:
    return shortened(mlflow_internals.model_tags(entry["model"]).get(entry["key"])) == entry.get("to")


def _model_exists(entry: Entry) -> bool:
    return mlflow_internals.model_exists(entry["model"])


def _model_renamed(entry: Entry) -> bool:
    return mlflow_internals.model_exists(entry["to"]) and not mlflow_internals.model_exists(entry["from"])


def _version_exists(entry: Entry) -> bool:
    return mlflow_internals.version(entry["model"], entry["version"]) is not None


def _alias_applied(entry: Entry) -> bool:
    version, number = mlflow_internals.version_with_alias(entry["model"], entry["alias"]), entry.get("to")
    return version is None if number is None else version is not None and str(version.version) == number


CHECKS: dict[str, Callable[[Entry], bool]] = {
    replay.MODEL_CREATED: _model_exists,
    replay.MODEL_DELETED: lambda entry: not _model_exists(entry),
    replay.MODEL_RENAMED: _model_renamed,
    replay.MODEL_TAG_SET: _model_tag_applied,
    replay.MODEL_TAG_DELETED: _model_tag_applied,
    replay.VERSION_CREATED: _version_exists,
    replay.VERSION_DELETED: lambda entry: not _version_exists(entry),
    replay.TAG_SET: _tag_applied,
    replay.TAG_DELETED: _tag_applied,
    replay.ALIAS_SET: _alias_applied,
    replay.ALIAS_DELETED: _alias_applied,
}
