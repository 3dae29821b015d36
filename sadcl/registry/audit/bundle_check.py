"""Verification of a bundle: everything that can be known without the server."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from sadcl.progress import printable
from sadcl.registry.audit import bundle, hash_chain, replay, signatures
from sadcl.registry.audit.bundle import Bundle
from sadcl.registry.audit.replay import Model
from sadcl.registry.audit.sentences import sentence
from sadcl.signing import dsse, keys

MAX_PROBLEMS = 20
"""Problems in a report; one edit can show in every line behind it."""


@dataclass(frozen=True)
class BundleReport:
    """Result of a verification.

    Attributes:
        history: a sentence for each change in the ledger, oldest first.
        problems: a sentence for each thing that is wrong; empty for a whole bundle.
        summary: what the bundle is, what was verified, and what was not.
        models: registered models by name, as the bundle shows them.
    """

    history: list[str]
    problems: list[str]
    summary: list[str]
    models: dict[str, Model]


def verify(content: Bundle, pinned: str | None = None) -> BundleReport:
    """Verify head, ledger and registry of a bundle, and that they agree.

    Args:
        content: as it was read.
        pinned: fingerprint that the root key must have; None accepts any key.
    """
    ledger = signatures.verify(content.ledger, content.where)
    models = bundle.models(content)
    done = hash_chain.without_failed(ledger.entries)
    comparison = replay.compare(replay.replay(done), models)
    problems = [
        *_head_problems(content, ledger, pinned),
        *ledger.problems,
        *_ledger_problems(content, ledger),
        *_registry_problems(content),
        *comparison.problems,
    ]
    summary = _summary(content, ledger, comparison.uncovered, pinned)
    shown = [printable(problem) for problem in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        shown.append(f"There are {len(problems) - MAX_PROBLEMS} more problems.")
    return BundleReport([printable(sentence(entry)) for entry in done], shown, list(map(printable, summary)), models)


def _head_problems(content: Bundle, ledger: signatures.LedgerReport, pinned: str | None) -> Iterator[str]:
    key, head = keys.public_from_text(content.statement.predicate.root_key), f"Line 1 of {content.where}, the head,"
    if key is None:
        yield f"{head} has no root key."
        return
    if pinned is not None and key.fingerprint != pinned:
        yield f"The root key of {content.where} is {key.fingerprint}, not the pinned {pinned}."
    signed = dsse.verifies(bundle.PAYLOAD_TYPE, content.payload, content.signature, key)
    if not signed or content.signature.get(dsse.KEY_ID) != key.fingerprint:
        yield f"{head} was edited: the root key did not sign it."
    if ledger.root is None:
        yield f"No line of the ledger in {content.where} introduces the root key."
    elif ledger.root.fingerprint != key.fingerprint:
        yield f"{head} is signed with another root key than the ledger, {ledger.root.fingerprint}."


def _ledger_problems(content: Bundle, ledger: signatures.LedgerReport) -> Iterator[str]:
    """Problems with the extent of the ledger, which its own lines can't show."""
    expected, actual = content.statement.predicate.lines, len(content.ledger)
    digests = [part.digest.get("sha256") for part in content.statement.subject if part.name == bundle.LEDGER]
    if actual < expected:
        missing = f"the root key signed {expected:,} lines of the ledger, and {actual:,} are there"
        # without a gap before it the end is missing
        end = "" if ledger.problems else f": lines {actual + 2} to {expected + 1} were cut off"
        yield f"Of {content.where}, {missing}{end}."
    elif actual > expected:
        yield f"Lines {expected + 2} to {actual + 1} of {content.where} are more than the ledger that was signed."
    elif digests != [_digest(b"".join(line + b"\n" for _, line in content.ledger))] and not ledger.problems:
        yield f"Line {actual + 1} of {content.where} is not the one that the root key signed."


def _registry_problems(content: Bundle) -> Iterator[str]:
    """Problems with models and versions, each of which has its digest in the head."""
    expected = {
        part.name: part.digest.get("sha256") for part in content.statement.subject if part.name != bundle.LEDGER
    }
    order: dict[str, int] = {}
    for number, line in content.registry:
        part = bundle.parse_registry_line(line)
        if part is None or part.name not in expected:
            yield f"Line {number} of {content.where} is no model or version that the root key signed."
        elif part.name in order:
            yield f"Line {number} of {content.where} repeats {part.name}."
        elif expected[part.name] != _digest(line):
            yield f"Line {number} of {content.where} was edited: it is not the {part.name} that the root key signed."
        if part is not None:
            order.setdefault(part.name, number)
    missing = [name for name in expected if name not in order]
    if missing:
        yield f"{content.where} has no line of {', '.join(missing[:3])}, which the root key signed."
    for name, right in zip(order, expected, strict=False):
        if name != right and order.keys() == expected.keys():
            yield f"Line {order[name]} of {content.where} was moved: {right} stands there in the signed copy."
            return


def _summary(
    content: Bundle, ledger: signatures.LedgerReport, uncovered: list[str], pinned: str | None
) -> Iterator[str]:
    predicate = content.statement.predicate
    key = keys.public_from_text(predicate.root_key)
    yield (
        f"{content.where} is a copy of {predicate.time}: {len(content.ledger):,} lines of the ledger, "
        f"{len(content.registry):,} models and versions."
    )
    if key is not None:
        yield f"Root key: {key.fingerprint}" + (
            ", which you pinned."
            if pinned == key.fingerprint
            else ". Compare it with the one that `sadcl up` printed, or pin it with --key: anybody can make a root key."
        )
    yield (
        f"Checked: signature, account and place of each line ({ledger.signed:,} are signed and right), the root key's "
        "signature of the whole copy, and that these lines explain all models with their aliases and tags (accepted "
        "criteria), and all versions with their authors, sources and tags (verdicts, decisions, digests of files)."
    )
    yield from signatures.unsigned_note(ledger.unsigned)
    yield from replay.uncovered_note(uncovered)
    yield (
        f"Not checked: files and reports of versions, what happened after {predicate.time}, and whether the server, "
        "which keeps all keys, was honest."
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
