"""Signatures of the server's ledger: each line is signed with the key of the account that it names.

Keys are introduced by lines of the ledger. The first of them is the root key's, signed by itself; it signs all others,
and whoever knows its fingerprint can verify the rest.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sadcl.registry.audit import hash_chain
from sadcl.signing import dsse, keys
from sadcl.signing.keys import PrivateKey, PublicKey

Entry = dict[str, Any]
Line = tuple[int, bytes]
"""Number of a line in its file, from 1, and its bytes."""

PAYLOAD_TYPE = "application/vnd.sadcl.ledger+json"
SERVER = "the server"
"""Name in the ledger where no account asked for a line; such lines are signed with the root key."""
ROOT_INTRODUCED, INTRODUCED = "root key introduced", "key introduced"
PUBLIC_KEY, ACCOUNT = "public_key", "account"

_ENTRY = TypeAdapter(dict[str, str | dict[str, str] | None])
_TEXTS = ("time", "who", "what")
"""Fields that each line has."""


@dataclass(frozen=True)
class Introduced:
    """Fingerprints of the keys that a ledger introduces.

    Attributes:
        root: of the server; None where no line is signed yet.
        accounts: of each account's newest key.
    """

    root: str | None
    accounts: dict[str, str]


@dataclass
class LedgerReport:
    """Result of a verification of a ledger.

    Attributes:
        root: the key that vouches for all others; None where no line is signed.
        signed: number of lines with a valid signature.
        unsigned: number of lines before the first signed one.
        entries: parsed entries with the digests of their lines; those of unreadable lines are missing.
        problems: a sentence for each line that was edited, forged, moved or deleted.
    """

    root: PublicKey | None = None
    signed: int = 0
    unsigned: int = 0
    entries: list[tuple[Entry, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def signer(key: PrivateKey) -> Callable[[bytes], Mapping[str, str]]:
    """Function that signs a line, for ``hash_chain.append``."""
    return partial(dsse.sign, PAYLOAD_TYPE, key=key)


def introduced(lines: Iterable[bytes]) -> Introduced:
    """Keys that the lines of the server's own ledger introduce; signatures are not verified."""
    root, accounts = None, {}
    for line in lines:
        entry = _parse(line) if INTRODUCED.encode() in line else None
        key = None if entry is None else keys.public_from_text(str(entry.get(PUBLIC_KEY)))
        if entry is None or key is None:
            continue
        if entry["what"] == ROOT_INTRODUCED:
            root = root or key.fingerprint
        elif entry["what"] == INTRODUCED:
            accounts[str(entry.get(ACCOUNT))] = key.fingerprint
    return Introduced(root, accounts)


def verify(lines: Iterable[Line], where: str) -> LedgerReport:
    """Verify the chain and the signatures of a ledger.

    Args:
        lines: all lines with their numbers.
        where: name of the ledger in messages.
    """
    return _Verification(where).run(lines)


class _Verification:
    """One pass over a ledger."""

    def __init__(self, where: str) -> None:
        self.where, self.report = where, LedgerReport()
        self.keys: dict[str, PublicKey] = {}
        self.owners: dict[str, str] = {}
        """Fingerprint of the newest key of each account."""

    def run(self, lines: Iterable[Line]) -> LedgerReport:
        before, last = "", None
        for number, line in lines:
            entry, [digest] = _parse(line), hash_chain.digests([line])
            if entry is None:
                self._object(number, "can't be read: it is not a line that the server writes")
            else:
                self.report.entries.append((entry, digest))
                self._check_position(number, last, entry.get(hash_chain.BEFORE) == before)
                self._check_signature(number, entry)
            before, last = digest, number
        return self.report

    def _object(self, number: int, sentence: str) -> None:
        self.report.problems.append(f"Line {number} of {self.where} {sentence}.")

    def _check_position(self, number: int, last: int | None, follows: bool) -> None:
        if not follows:
            previous = "is not the first of its ledger" if last is None else f"does not follow from line {last}"
            self._object(number, f"{previous}: a line was edited, moved or deleted")

    def _check_signature(self, number: int, entry: Entry) -> None:
        signature = entry.get(hash_chain.SIGNATURE)
        if signature is None and self.report.root is None:
            self.report.unsigned += 1
            return
        objection = self._objection(entry, signature)
        if objection:
            self._object(number, objection)
        else:
            self.report.signed += 1

    def _objection(self, entry: Entry, signature: Any) -> str:
        """Objection to a signature, as the rest of a sentence; empty where it is right."""
        if signature is None:
            return "has no signature, though lines before it have one"
        if not isinstance(signature, dict) or signature.keys() != {dsse.KEY_ID, dsse.SIGNATURE}:
            return "has a signature of another form"
        if entry["what"] == ROOT_INTRODUCED and self.report.root is None:
            self.report.root = keys.public_from_text(str(entry.get(PUBLIC_KEY)))
            self._know(SERVER, self.report.root)
        fingerprint = signature[dsse.KEY_ID]
        key, owner = self.keys.get(fingerprint), self.owners.get(entry["who"])
        if key is None:
            return f"is signed with an unknown key, {fingerprint[:64]}"
        if not dsse.verifies(PAYLOAD_TYPE, _signed(entry), signature, key):
            return "was edited: its signature is that of another line"
        if fingerprint != owner:
            return f"names {entry['who']}, but is not signed with the present key of that account"
        return self._introduce(entry)

    def _introduce(self, entry: Entry) -> str:
        """Take up the key that a line introduces, and say what is wrong with that line."""
        if entry["what"] == ROOT_INTRODUCED:
            same = self.report.root is not None and entry.get(PUBLIC_KEY) == self.report.root.text
            return "" if same and self.report.signed == 0 else "introduces another root key"
        if entry["what"] != INTRODUCED:
            return ""
        key, account = keys.public_from_text(str(entry.get(PUBLIC_KEY))), entry.get(ACCOUNT)
        if entry["who"] != SERVER or key is None or not isinstance(account, str) or account == SERVER:
            return "introduces a key that the root key does not vouch for"
        self._know(account, key)
        return ""

    def _know(self, account: str, key: PublicKey | None) -> None:
        if key is not None:
            self.keys[key.fingerprint], self.owners[account] = key, key.fingerprint


def _parse(line: bytes) -> Entry | None:
    """Entry of a line; None where it is no line of a ledger, or spelled in another way than the server's."""
    try:
        entry: Entry = _ENTRY.validate_json(line, strict=True)
        same = hash_chain.encode(entry) == line
    except (ValidationError, ValueError):
        return None
    return entry if same and all(isinstance(entry.get(name), str) for name in _TEXTS) else None


def _signed(entry: Entry) -> bytes:
    return hash_chain.encode({key: value for key, value in entry.items() if key != hash_chain.SIGNATURE})


def unsigned_note(count: int) -> list[str]:
    """Sentence about lines before the first signed one; none where there are none."""
    if not count:
        return []
    lines = "The first line is" if count == 1 else f"The first {count:,} lines are"
    return [f"{lines} unsigned, from before the server signed; only the signed lines behind vouch for them."]
