"""Lines of the ledger and of the project's log as sentences."""

import json
from contextlib import suppress
from typing import Any

from sadcl import files
from sadcl.registry.audit import hash_chain

Entry = dict[str, Any]
SUBJECT_FIELDS = ("model", "version", "experiment", "username", "account")
OMITTED = (
    "time", "who", "what", "from", "to", "weights", "verdict_digest", "tags", "public_key", hash_chain.BEFORE,
    hash_chain.SIGNATURE,
)  # fmt: skip
"""Fields that a sentence shows elsewhere, or omits."""


def sentence(entry: Entry) -> str:
    """Line of the ledger or of the project's log as a sentence."""
    if "action" in entry:
        action = f"{entry['action']} {entry.get('challenger')}"
        action += f" as {entry.get('model')} version {entry['to']}" if entry.get("to") else ""
        return f"{entry.get('time')}  {entry.get('user')}: {action}: {entry.get('reason')}"
    subject = " ".join(str(entry[key]) for key in SUBJECT_FIELDS if entry.get(key))
    known = {key: value for key, value in entry.items() if value and key not in {*SUBJECT_FIELDS, *OMITTED}}
    details = [f"{key.replace('_', ' ')} {_short(value)}" for key, value in known.items()]
    step = [f"from {_short(entry['from'])} to {_short(entry['to'])}"] if {"from", "to"} <= entry.keys() else []
    parts = ", ".join([*([subject] if subject else []), *details, *step])
    return f"{entry.get('time')}  {entry.get('who')}: {entry.get('what')}{f': {parts}' if parts else ''}"


def _short(value: Any) -> str:
    """Short form of a value: the beginning of a digest, words of a decision or record, 60 characters of a text.

    A text with commas stands in quotation marks, since commas separate the parts of a sentence.
    """
    if value is None:
        return "nothing"
    text = str(value)
    if files.is_digest(text):
        return text[:12]
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        value = json.loads(text)
        text = str(value.get("reason") or value["words"]) if isinstance(value, dict) else text
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return f'"{short}"' if "," in short else short or "an empty text"
