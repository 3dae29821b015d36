"""Bundle: a copy of a registry in one file that is verified without the server.

It has one JSON object per line. Line 1 is the head, a DSSE envelope with an in-toto statement, signed with the server's
root key: time, number of lines and digests of all that follows. Then come the lines of the ledger, byte for byte, and
one line for each model and version.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sadcl.errors import SadclError
from sadcl.registry.audit import hash_chain
from sadcl.registry.audit.replay import Model, Version
from sadcl.registry.audit.signatures import Line
from sadcl.signing import dsse
from sadcl.signing.keys import PrivateKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
LEDGER = "ledger.jsonl"
"""Subject of the head: digest of the ledger's file."""

MAX_BYTES, MAX_LINES = 32 << 20, 200_000
"""Bounds of a file that is read; a hostile one of this size takes about 1.2 GB of memory."""
LIMITS = f"{MAX_BYTES >> 20} MiB and {MAX_LINES:,} lines"


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Subject(_Strict):
    """Name and SHA-256 of a signed part."""

    name: str
    digest: dict[Literal["sha256"], str]


class Predicate(_Strict):
    """Time of the bundle, number of the ledger's lines, and the public root key."""

    time: str
    lines: int
    root_key: str


class Statement(_Strict):
    """In-toto statement, version 1, about all lines behind the head."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: list[Subject]
    predicate_type: Literal["urn:sadcl:registry-bundle:1"] = Field(alias="predicateType")
    predicate: Predicate


class ModelLine(_Strict):
    """Registered model, its aliases and its tags, such as the accepted criteria."""

    model: str
    aliases: dict[str, str]
    tags: dict[str, str]

    @property
    def name(self) -> str:
        """Address of the model."""
        return f"models:/{self.model}"


class VersionLine(_Strict):
    """Version of a registered model."""

    model: str
    version: str
    author: str
    source: str
    tags: dict[str, str]

    @property
    def name(self) -> str:
        """Address of the version."""
        return f"models:/{self.model}/{self.version}"


class _RegistryLine(_Strict):
    registry: ModelLine | VersionLine


_REGISTRY_LINE = b'{"registry": '


@dataclass(frozen=True)
class Bundle:
    """Content of a bundle; nothing is verified.

    Attributes:
        where: name of its file, for messages.
        statement: of the head.
        payload: the statement's bytes, which are signed.
        signature: of the head.
        ledger: lines of the ledger.
        registry: lines of models and versions.
    """

    where: str
    statement: Statement
    payload: bytes
    signature: Mapping[str, str]
    ledger: list[Line]
    registry: list[Line]


def compose(ledger: list[bytes], models: Mapping[str, Model], root: PrivateKey, time: str) -> str:
    """Bundle of a ledger and the registry's state at the same moment, signed with the root key.

    Args:
        ledger: its lines.
        models: the registered models by name.
        root: the server's root key.
        time: present time.
    """
    parts = [(part.name, _encode(part)) for part in _registry_lines(models)]
    content = b"".join(line + b"\n" for line in ledger)
    subjects = [_subject(LEDGER, content), *(_subject(name, line) for name, line in parts)]
    predicate = Predicate(time=time, lines=len(ledger), root_key=root.public.text)
    kinds = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "urn:sadcl:registry-bundle:1"}
    statement = Statement.model_validate({**kinds, "subject": subjects, "predicate": predicate})
    head = dsse.envelope(PAYLOAD_TYPE, statement.model_dump_json(by_alias=True).encode(), root)
    return (head.encode() + b"\n" + content + b"".join(line + b"\n" for _, line in parts)).decode()


def read(path: Path) -> Bundle:
    """Read a bundle from its file.

    Raises:
        SadclError: the file can't be read, is larger than a bundle may be, or has no head.
    """
    if not path.is_file():
        raise SadclError("There is no such file", where=path, fix="Write one by `sadcl audit --export FILE`")
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SadclError(f"The file can't be read: {error.strerror}", where=path) from None
    if not is_readable(text):
        raise SadclError(f"The file is larger than {LIMITS}, so it is not read", where=path)
    return parse(text, str(path))


def is_readable(text: bytes) -> bool:
    """Whether a bundle is within the bounds of what is read."""
    return len(text) <= MAX_BYTES and text.count(b"\n") <= MAX_LINES


def parse(text: bytes, where: str) -> Bundle:
    """Split a bundle into its parts.

    Raises:
        SadclError: it is cut within a line, or has no head.
    """
    lines = _split(text, where)
    envelope = dsse.read_envelope(lines[0].decode("utf-8", "replace"), PAYLOAD_TYPE)
    try:
        payload, signature = envelope or (b"", {})
        statement = Statement.model_validate_json(payload)
    except ValidationError:
        raise SadclError(
            f"Line 1 of {where} is not the head of a bundle", fix="Copy the file again, or export it again"
        ) from None
    numbered = list(enumerate(lines[1:], 2))
    end = next((i for i, (_, line) in enumerate(numbered) if line.startswith(_REGISTRY_LINE)), len(numbered))
    return Bundle(where, statement, payload, signature, numbered[:end], numbered[end:])


def parse_registry_line(line: bytes) -> ModelLine | VersionLine | None:
    """Model or version of a line; None where the line has another form."""
    try:
        return _RegistryLine.model_validate_json(line).registry
    except ValidationError:
        return None


def models(content: Bundle) -> dict[str, Model]:
    """Registered models by name, as the lines of a bundle show them."""
    shown: dict[str, Model] = {}
    for _, line in content.registry:
        part = parse_registry_line(line)
        if isinstance(part, ModelLine):
            model = shown.setdefault(part.model, Model())
            model.aliases, model.tags = part.aliases, part.tags
        elif part is not None:
            version = Version(part.author, part.source, part.tags)
            shown.setdefault(part.model, Model()).versions[part.version] = version
    return shown


def _split(text: bytes, where: str) -> list[bytes]:
    lines = text.split(b"\n")
    if lines.pop():
        raise SadclError(f"The last line of {where} is cut off", fix="Copy the file again, or export it again")
    return lines or [b""]


def _registry_lines(models: Mapping[str, Model]) -> Iterator[ModelLine | VersionLine]:
    for name, model in sorted(models.items()):
        yield ModelLine(model=name, aliases=model.aliases, tags=model.tags)
        for number, version in sorted(model.versions.items(), key=lambda item: (len(item[0]), item[0])):
            yield _version_line(name, number, version)


def _version_line(model: str, number: str, version: Version) -> VersionLine:
    return VersionLine(model=model, version=number, author=version.author, source=version.source, tags=version.tags)


def _encode(part: ModelLine | VersionLine) -> bytes:
    return hash_chain.encode({"registry": part.model_dump()})


def _subject(name: str, content: bytes) -> Subject:
    return Subject(name=name, digest={"sha256": hashlib.sha256(content).hexdigest()})
