"""What happened in the registry, and whether what is told about it is whole."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import files, layout, params
from sadcl.registry import client as store
from sadcl.registry import decision, identity, lookup, schema
from sadcl.registry.audit import hash_chain

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

Entry = dict[str, Any]
LEDGER = "the server's ledger"
TAGGED = "tag set"
SUBJECT = ("model", "version", "experiment", "username")
SECONDS = len("2026-01-01T00:00:00")
"""Characters of a time, down to seconds."""
APART = ("time", "who", "what", "from", "to", "weights", hash_chain.BEFORE)
"""What a sentence says elsewhere, or leaves to the file."""


@dataclass(frozen=True)
class History:
    """What was done, and what is wrong with the telling of it.

    Attributes:
        lines: oldest first, a sentence each.
        problems: what was edited, taken out, forged or cut off; empty where all is whole.
    """

    lines: list[str]
    problems: list[str]


def newest(root: Path = Path(".")) -> str:
    """Digest of the newest line: of the server's ledger, or of the project's audit where there is no such server.

    Raises:
        SadclError: the server can't be reached.
    """
    kept = _ledger(root)
    lines = hash_chain.lines(root / layout.AUDIT_LOG) if kept is None else kept
    return hash_chain.digests(lines[-1:])[0] if lines else ""


def read_history(root: Path = Path(".")) -> History:
    """Tell everything, and hold it against the registry and against data/champion.json.

    Raises:
        SadclError: the registry can't be had, or a line is not one of ours.
    """
    ours, path = hash_chain.lines(root / layout.AUDIT_LOG), root / layout.AUDIT_LOG
    ledger = _ledger(root) if store.exists(root) else None
    decided = hash_chain.parse(ours, path)
    problems = _broken(ours, str(layout.AUDIT_LOG))
    if ledger is None:
        told = decided
    else:
        told = hash_chain.done(ledger, LEDGER)
        problems += _broken(ledger, LEDGER)
    problems += _cut(root, hash_chain.digests([*ours, *(ledger or [])]))
    problems += _forged(root, decided, None if ledger is None else told)
    problems += [] if ledger is None else _never_noted(decided, told)
    return History([_said(entry) for entry in told], problems)


def _ledger(root: Path) -> list[bytes] | None:
    """The lines of the server's ledger; None where the registry is no guarded server."""
    if store.database(root) is not None:
        return None
    with store.connect(root):
        try:
            return hash_chain.split(identity.answer(identity.LEDGER, root).encode())
        except identity.NoAccountsError:
            return None


def _broken(lines: list[bytes], where: str) -> list[str]:
    return [
        f"Line {number} of {where} does not follow from the one before it: one was edited or taken out."
        for number in hash_chain.broken(lines, where)
    ]


def _cut(root: Path, known: list[str]) -> list[str]:
    path = root / layout.CHAMPION
    value = files.read_json(path) if path.is_file() else None
    if value is None:
        return []
    noted = value.get("audit")
    if not noted:
        return [f"{layout.CHAMPION} names no line of the audit; `sadcl sync` adds it."]
    return [] if noted in known else [f"The line that {layout.CHAMPION} names is gone: the end was cut off, or edited."]


def _forged(root: Path, decided: list[Entry], ledger: list[Entry] | None) -> list[str]:
    """Decisions and a champion in the registry that nobody wrote down."""
    if not store.exists(root):
        return []
    name = params.load("register", path=root / params.FILE).register_.name
    production = schema.production(name)
    with store.connect(root) as client:
        versions = [*lookup.versions(client, name), *lookup.versions(client, production)]
        reigning = lookup.version_with_alias(client, production, schema.CHAMPION)
    found = [
        f"The decision on {lookup.address(version)} was never written down: it is forged, or was cut short."
        for version in versions
        if schema.DECISION in version.tags and not _known(version, decided, ledger)
    ]
    return found + _moved(production, str(reigning.version) if reigning else None, decided, ledger)


def _never_noted(decided: list[Entry], ledger: list[Entry]) -> list[str]:
    """Decisions in the project that the server knows nothing of; those of before there was a server lead the file."""
    began = ledger[0]["time"][:SECONDS] if ledger else ""
    noted = {entry["to"] for entry in ledger if (entry["what"], entry.get("key")) == (TAGGED, schema.DECISION)}
    since = dropwhile(lambda numbered: str(numbered[1].get("time"))[:SECONDS] < began, enumerate(decided, 1))
    return [
        f"Line {number} of {layout.AUDIT_LOG} tells a decision that the server never noted: it is forged."
        for number, entry in since
        if entry.get("action") in (schema.PROMOTE, schema.ROLLBACK, schema.REJECT)
        and not {text := decision.decision_text(_plain(entry)), hash_chain.digest(text)} & noted
    ]


def _known(version: "ModelVersion", decided: list[Entry], ledger: list[Entry] | None) -> bool:
    text = version.tags[schema.DECISION]
    if ledger is None:
        return any(decision.decision(version) == _plain(entry) for entry in decided) or _carried(version)
    here = (TAGGED, version.name, str(version.version), schema.DECISION)
    tagged = [e["to"] for e in ledger if (e["what"], e.get("model"), e.get("version"), e.get("key")) == here]
    return tagged[-1] in (text, hash_chain.digest(text)) if tagged else _carried(version)


def _carried(version: "ModelVersion") -> bool:
    """A copy in production carries the old rejection of what it is a copy of, which says nothing about itself."""
    return schema.protected(str(version.name)) and not decision.decision(version)


def _moved(production: str, reigns: str | None, decided: list[Entry], ledger: list[Entry] | None) -> list[str]:
    if ledger is None:
        crowned = [entry.get("to") for entry in decided if entry.get("model") == production]
    else:
        mine = [e for e in ledger if (e.get("model"), e.get("alias")) == (production, schema.CHAMPION)]
        crowned = [entry["to"] for entry in mine]
    last = crowned[-1] if crowned else None
    if last == reigns:
        return []
    return [
        f"The last line makes {_version(last)} of {production} champion, but the registry says {_version(reigns)}: "
        "the alias was moved past the audit."
    ]


def _said(entry: Entry) -> str:
    """A line in words, of the ledger or of the project's audit."""
    if "action" in entry:
        what = f"{entry['action']} {entry.get('challenger')}"
        what += f" as {entry['model']} version {entry['to']}" if entry.get("to") else ""
        return f"{entry.get('time')}  {entry.get('user')}: {what}: {entry.get('reason')}"
    subject = " ".join(str(entry[key]) for key in SUBJECT if entry.get(key))
    about = [f"{key} {_short(value)}" for key, value in entry.items() if key not in {*SUBJECT, *APART}]
    step = [f"from {_short(entry['from'])} to {_short(entry['to'])}"] if {"from", "to"} <= entry.keys() else []
    return f"{entry.get('time')}  {entry.get('who')}: {entry.get('what')}: {', '.join([subject, *about, *step])}"


def _short(value: Any) -> str:
    """A digest by its beginning, a decision by its reason, another text whole if it is short."""
    if value is None:
        return "nothing"
    text = str(value)
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return text[:12]
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["reason"])
    return text if len(text) <= 60 else f"{text[:57]}..."


def _version(number: str | None) -> str:
    return "nobody" if number is None else f"version {number}"


def _plain(entry: Entry) -> Entry:
    return {key: value for key, value in entry.items() if key != hash_chain.BEFORE}
