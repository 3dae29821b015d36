"""A server that was killed between a line of the ledger and its change says so when it starts again."""

from collections.abc import Callable

from sadcl.registry import chain
from sadcl.registry.guard import inside, ledger
from sadcl.registry.guard.ledger import Entry
from sadcl.registry.guard.rules import shortened

SERVER = "the server"


def settle() -> None:
    """Mark the last line where its change was never made; one change is made at a time, so only the last can be."""
    with ledger.changing():
        lines = chain.lines(ledger.path())
        last = chain.parse(lines[-1:], ledger.path())
        if last and not _made(last[0]):
            ledger.write({"what": chain.NOT_DONE, "line": chain.digests(lines[-1:])[0]}, SERVER)


def _made(entry: Entry) -> bool:
    """Whether the registry is as the line says; true where the line says nothing that is seen there."""
    seen = SEEN.get(entry["what"])
    return seen is None or seen(entry)


def _tagged(entry: Entry) -> bool:
    version = inside.version(entry["model"], entry["version"])
    return version is not None and shortened(version.tags.get(entry["key"])) == entry.get("to")


def _numbered(entry: Entry) -> bool:
    return inside.version(entry["model"], entry["version"]) is not None


def _held(entry: Entry) -> bool:
    version, number = inside.holder(entry["model"], entry["alias"]), entry["to"]
    return version is None if number is None else version is not None and str(version.version) == number


SEEN: dict[str, Callable[[Entry], bool]] = {
    "tag set": _tagged,
    "tag deleted": _tagged,
    "version made": _numbered,
    "alias set": _held,
    "alias deleted": _held,
}
