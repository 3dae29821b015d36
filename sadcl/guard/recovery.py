"""A server that was killed between a line of the ledger and its change says so when it starts again."""

from collections.abc import Callable

from sadcl.guard import ledger, mlflow_internals
from sadcl.guard.ledger import Entry
from sadcl.guard.registry_rules import shortened
from sadcl.registry.audit import hash_chain

SERVER = "the server"


def complete_unfinished() -> None:
    """Mark the last line where its change was never made; one change is made at a time, so only the last can be."""
    with ledger.changing():
        lines = hash_chain.lines(ledger.path())
        last = hash_chain.parse(lines[-1:], ledger.path())
        if last and not _made(last[0]):
            ledger.append_entry({"what": hash_chain.NOT_DONE, "line": hash_chain.digests(lines[-1:])[0]}, SERVER)


def _made(entry: Entry) -> bool:
    """Whether the registry is as the line says; true where the line says nothing that is seen there."""
    seen = SEEN.get(entry["what"])
    return seen is None or seen(entry)


def _tagged(entry: Entry) -> bool:
    version = mlflow_internals.version(entry["model"], entry["version"])
    return version is not None and shortened(version.tags.get(entry["key"])) == entry.get("to")


def _numbered(entry: Entry) -> bool:
    return mlflow_internals.version(entry["model"], entry["version"]) is not None


def _held(entry: Entry) -> bool:
    version, number = mlflow_internals.version_with_alias(entry["model"], entry["alias"]), entry["to"]
    return version is None if number is None else version is not None and str(version.version) == number


SEEN: dict[str, Callable[[Entry], bool]] = {
    "tag set": _tagged,
    "tag deleted": _tagged,
    "version made": _numbered,
    "alias set": _held,
    "alias deleted": _held,
}
