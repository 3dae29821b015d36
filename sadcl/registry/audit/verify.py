"""Verification of the audit log and the ledger against the registry."""

from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import files, layout, params
from sadcl.progress import printable
from sadcl.registry import artifacts, decision, identity, lookup, schema
from sadcl.registry.audit import bundle, clock, hash_chain, replay, signatures
from sadcl.registry.audit.sentences import sentence
from sadcl.registry.client import connect, registry_exists

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

Entry = dict[str, Any]
LEDGER = "the server's ledger"
"""Name of the ledger in messages."""
SECONDS = len("2026-01-01T00:00:00")
"""Length of a time down to seconds: the ledger's has milliseconds, the project's log has none."""


NOT_COMPARED = "Not checked: whether models, versions, aliases and tags follow from the ledger. The server is too old."


@dataclass(frozen=True)
class _Server:
    """Lines of a server's ledger, and its models by name; None for those of an older server."""

    ledger: list[bytes]
    models: dict[str, replay.Model] | None


@dataclass(frozen=True)
class History:
    """History of the registry and the problems of its logs.

    Attributes:
        lines: a sentence for each change, oldest first.
        problems: lines that were edited, deleted, forged or cut off; empty where the logs are complete.
        signatures: what is checked in part only or not at all, what is signed, and with which root key.
    """

    lines: list[str]
    problems: list[str]
    signatures: list[str] = field(default_factory=list)


def newest(root: Path = Path(".")) -> str:
    """Digest of the newest line of the server's ledger, or of the project's audit log without such a server.

    Raises:
        SadclError: the server can't be reached.
    """
    text = identity.ask(identity.LEDGER, root)
    lines = hash_chain.lines(root / layout.AUDIT_LOG) if text is None else hash_chain.split(text.encode())
    return hash_chain.digests(lines[-1:])[0] if lines else ""


def read_history(root: Path = Path("."), pinned: str | None = None) -> History:
    """Read the whole history, and verify it against the registry and data/champion.json.

    Args:
        root: the project's folder.
        pinned: fingerprint that the server's root key must have; None accepts any key.

    Raises:
        SadclError: the registry can't be reached, or a line of the project's log is not JSON.
    """
    lines, path = hash_chain.lines(root / layout.AUDIT_LOG), root / layout.AUDIT_LOG
    server = _read_server(root)
    ledger = None if server is None else server.ledger
    decided = hash_chain.parse(lines, path)
    problems = _chain_problems(lines, str(layout.AUDIT_LOG))
    if server is None:
        entries = decided
        notes = [f"{layout.AUDIT_LOG} is not signed: this registry has no server that knows accounts."]
        problems += [] if pinned is None else ["This registry has no root key that could be the pinned one."]
    else:
        report = signatures.verify(enumerate(server.ledger, 1), LEDGER)
        # lines of another form are problems of the report, and say nothing about the registry
        entries = hash_chain.without_failed(report.entries)
        comparison = _compare(server, entries)
        notes = [NOT_COMPARED] if comparison is None else replay.uncovered_note(comparison.uncovered)
        notes = [*map(printable, notes), *_signed(report)]
        problems += [*_pinned(report, pinned), *report.problems, *(comparison.problems if comparison else [])]
        problems += [
            f"The server's ledger begins at {entry['time']}, when the registry had models: earlier lines are missing."
            for entry in entries
            if entry.get("what") == hash_chain.BEGUN
        ]
    # of both logs: the record may be older than the server, and then names a line of the project's own log
    problems += _end_problems(root, hash_chain.digests([*lines, *(ledger or [])]))
    problems += _decision_problems(root, decided, None if ledger is None else entries)
    problems += [] if ledger is None else _missing_in_ledger(decided, entries)
    # tags and reasons are other people's words
    sentences = [sentence(entry) + note for entry, note in zip(entries, clock.notes(entries), strict=True)]
    return History(list(map(printable, sentences)), list(map(printable, problems)), notes)


def _read_server(root: Path) -> _Server | None:
    """Ledger and models of the guarded server at one moment; None where the registry is no such server."""
    text = identity.ask(identity.BUNDLE, root)
    if text is not None:
        content = bundle.parse(text.encode(), LEDGER)
        return _Server([line for _, line in content.ledger], bundle.models(content))
    text = identity.ask(identity.LEDGER, root)
    return None if text is None else _Server(hash_chain.split(text.encode()), None)


def _signed(report: signatures.LedgerReport) -> list[str]:
    if report.root is None:
        return ["No line of the server's ledger is signed; a server that is started now signs the next ones."]
    signed = f"{report.signed} lines of the server's ledger are signed. Root key: {report.root.fingerprint}."
    return [*signatures.unsigned_note(report.unsigned), signed]


def _pinned(report: signatures.LedgerReport, pinned: str | None) -> list[str]:
    actual = None if report.root is None else report.root.fingerprint
    return [] if pinned in (None, actual) else [f"The root key of {LEDGER} is {actual}, not the pinned {pinned}."]


def _compare(server: _Server, entries: list[Entry]) -> replay.Comparison | None:
    """Models, versions, tags and aliases compared with the ledger; None where an older server does not show them."""
    return None if server.models is None else replay.compare(replay.replay(entries), server.models)


def _chain_problems(lines: list[bytes], where: str) -> list[str]:
    return [
        f"Line {number} of {where} does not follow from the line before it: a line was edited or deleted."
        for number in hash_chain.broken(lines, where)
    ]


def _end_problems(root: Path, known: list[str]) -> list[str]:
    """Problems with the end of the log: the champion's record holds the digest of the line that was newest then."""
    value = artifacts.recorded_champion(root)
    if value is None:
        return []
    newest = value.get("audit")
    if not newest:
        return [f"{layout.CHAMPION} names no line of the log; `sadcl sync` adds it."]
    return [] if newest in known else [f"The line that {layout.CHAMPION} names is gone: the log was cut off or edited."]


def _decision_problems(root: Path, decided: list[Entry], ledger: list[Entry] | None) -> list[str]:
    """Decisions and a champion in the registry that no log has."""
    if not registry_exists(root):
        return []
    name = params.load("register", path=root / params.FILE).register_.name
    production = schema.production(name)
    with connect(root) as client:
        versions = [*lookup.list_versions(client, name), *lookup.list_versions(client, production)]
        champion = lookup.version_with_alias(client, production, schema.CHAMPION)
    problems = [
        f"No log has the decision on {lookup.model_uri(version)}: it is forged, or its command was interrupted."
        for version in versions
        if schema.DECISION in version.tags and not _is_logged(version, decided, ledger)
    ]
    problems += _alias_problems(production, str(champion.version) if champion else None, decided, ledger)
    return problems + _file_problems(champion, decided, root)


def _file_problems(champion: "ModelVersion | None", decided: list[Entry], root: Path) -> list[str]:
    """Problems with the champion's files in the project; files that DVC has not pulled are none."""
    present, restore = artifacts.recorded_champion(root) or {}, "`sadcl sync` restores it."
    expected = {} if champion is None else artifacts.champion_record(champion)
    if {key: present.get(key) for key in expected} != expected or (present and not expected):
        recorded = f"{present.get('name')} version {present.get('version')}" if present else "no champion"
        actual = lookup.model_uri(champion) if champion is not None else "none"
        return [f"{layout.CHAMPION} names {recorded}, and is not the record of the champion, {actual}; {restore}"]
    if champion is None:
        return []
    digests = {Path(pin).name: artifacts.pins(champion)[pin] for pin in (artifacts.model(champion), artifacts.SCORES)}
    problems = [
        f"{layout.CHAMPION_FOLDER / name} is not the champion's file; {restore}"
        for name, digest in digests.items()
        if (root / layout.CHAMPION_FOLDER / name).is_file()
        and files.digest(root / layout.CHAMPION_FOLDER / name) != digest
    ]
    about = (str(champion.name), str(champion.version))
    if not any((entry.get("model"), entry.get("to")) == about for entry in decided):
        problems.append(f"{layout.AUDIT_LOG} lacks the decision that made {lookup.model_uri(champion)} the champion.")
    return problems


def _missing_in_ledger(decided: list[Entry], ledger: list[Entry]) -> list[str]:
    """Problems with decisions of the project's log that the server's ledger lacks.

    Decisions from before the server existed stand at the beginning of the log and are no problem.
    """
    # times in UTC and ISO 8601: as texts they sort as times
    start = ledger[0]["time"][:SECONDS] if ledger else ""
    decisions = [e.get("to") for e in ledger if (e["what"], e.get("key")) == (replay.TAG_SET, schema.DECISION)]
    recorded = {text for text in decisions if isinstance(text, str)}
    since = dropwhile(lambda numbered: str(numbered[1].get("time"))[:SECONDS] < start, enumerate(decided, 1))
    return [
        f"Line {number} of {layout.AUDIT_LOG} is a decision that the server's ledger lacks: it is forged."
        for number, entry in since
        if entry.get("action") in (schema.PROMOTE, schema.ROLLBACK, schema.REJECT)
        # the ledger holds long texts by their digest
        and not {text := decision.decision_text(_plain(entry)), hash_chain.digest(text)} & recorded
    ]


def _is_logged(version: "ModelVersion", decided: list[Entry], ledger: list[Entry] | None) -> bool:
    text = version.tags[schema.DECISION]
    if ledger is None:
        return any(decision.decision(version) == _plain(entry) for entry in decided) or _is_inherited(version)
    tag = (replay.TAG_SET, version.name, str(version.version), schema.DECISION)
    texts = [e.get("to") for e in ledger if (e["what"], e.get("model"), e.get("version"), e.get("key")) == tag]
    # the newest tag alone: an earlier decision on this version proves nothing about the present one
    return texts[-1] in (text, hash_chain.digest(text)) if texts else _is_inherited(version)


def _is_inherited(version: "ModelVersion") -> bool:
    """Whether a copy in production has its decision from its source: an old rejection, which is not about the copy."""
    return schema.protected(str(version.name)) and not decision.decision(version)


def _alias_problems(
    production: str, champion: str | None, decided: list[Entry], ledger: list[Entry] | None
) -> list[str]:
    """Problem with the alias ``champion``, where the logs' last promotion is of another version."""
    if ledger is None:
        versions = [entry.get("to") for entry in decided if entry.get("model") == production]
    else:
        moves = [e for e in ledger if (e.get("model"), e.get("alias")) == (production, schema.CHAMPION)]
        versions = [entry.get("to") for entry in moves]
    last = versions[-1] if versions else None
    if last == champion:
        return []
    return [
        f"The champion of {production} is {_version(last)} in the log, but {_version(champion)} in the registry: "
        "the alias was moved without the log."
    ]


def _version(number: str | None) -> str:
    return "none" if number is None else f"version {number}"


def _plain(entry: Entry) -> Entry:
    return {key: value for key, value in entry.items() if key != hash_chain.BEFORE}
