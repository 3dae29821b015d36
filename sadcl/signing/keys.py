"""Ed25519 keys and their fingerprints."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sadcl.errors import SadclError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_FINGERPRINT = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class PublicKey:
    """Key that verifies signatures.

    Attributes:
        text: Base64 of its DER form (SubjectPublicKeyInfo), as ``openssl pkey -pubin`` reads it.
    """

    text: str
    _key: "Ed25519PublicKey"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER form, in hexadecimal: what people compare and pin."""
        return hashlib.sha256(base64.b64decode(self.text)).hexdigest()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the private half of this key signed a message."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class PrivateKey:
    """Key that signs."""

    _key: "Ed25519PrivateKey"

    @property
    def public(self) -> PublicKey:
        """Half of the key that may be known to everybody."""
        return _public_key(self._key.public_key())

    def sign(self, message: bytes) -> bytes:
        """Signature of a message, 64 bytes."""
        return self._key.sign(message)

    def to_pem(self) -> str:
        """PEM text (PKCS 8) without a password."""
        from cryptography.hazmat.primitives import serialization

        kinds = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return self._key.private_bytes(*kinds).decode()


def generate() -> PrivateKey:
    """A new key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return PrivateKey(Ed25519PrivateKey.generate())


def private_from_pem(text: bytes) -> PrivateKey | None:
    """Key from PEM text without a password; None where it is no Ed25519 key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_pem_private_key(text, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a password
        return None
    return PrivateKey(key) if isinstance(key, Ed25519PrivateKey) else None


def public_from_text(text: str) -> PublicKey | None:
    """Key from ``PublicKey.text``; None where the text is no Ed25519 key, or another spelling of one."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    der = from_base64(text)
    try:
        key = serialization.load_der_public_key(der or b"")
    except (ValueError, UnsupportedAlgorithm):
        return None
    public = _public_key(key) if isinstance(key, Ed25519PublicKey) else None
    return public if public is not None and public.text == text else None


def parse_fingerprint(text: str) -> str:
    """Fingerprint as a person typed it, in lower case and without blanks and colons.

    Raises:
        SadclError: it does not have 64 hexadecimal digits.
    """
    plain = re.sub(r"[\s:]", "", text).lower()
    if not _FINGERPRINT.fullmatch(plain):
        raise SadclError(
            f"{text!r} is no fingerprint of a key", fix="Give all 64 hexadecimal digits that `sadcl up` printed"
        )
    return plain


def from_base64(text: str) -> bytes | None:
    """Bytes of a Base64 text; None for any other spelling than the usual one, so that each value has one text."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if to_base64(value) == text else None


def to_base64(value: bytes) -> str:
    """Base64 text of bytes."""
    return base64.b64encode(value).decode()


def _public_key(key: "Ed25519PublicKey") -> PublicKey:
    from cryptography.hazmat.primitives import serialization

    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(to_base64(der), key)
