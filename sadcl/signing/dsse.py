"""DSSE signatures: Ed25519 over the type and the bytes of a payload.

The encoding is version 1 of https://github.com/secure-systems-lab/dsse, so that other tools verify an envelope too.
"""

import json
from collections.abc import Mapping
from typing import Any

from sadcl.signing.keys import PrivateKey, PublicKey, from_base64, to_base64

KEY_ID, SIGNATURE = "keyid", "sig"


def encode(payload_type: str, payload: bytes) -> bytes:
    """Bytes that a signature is about; type and length are part of them (DSSE's pre-authentication encoding)."""
    kind = payload_type.encode()
    return b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])


def sign(payload_type: str, payload: bytes, key: PrivateKey) -> dict[str, str]:
    """Signature of a payload: ``keyid``, the fingerprint of the key, and ``sig``, in Base64."""
    signature = key.sign(encode(payload_type, payload))
    return {KEY_ID: key.public.fingerprint, SIGNATURE: to_base64(signature)}


def verifies(payload_type: str, payload: bytes, signature: Mapping[str, Any], key: PublicKey) -> bool:
    """Whether a signature is that of a key for a payload of this type."""
    value = from_base64(str(signature.get(SIGNATURE)))
    return value is not None and key.verifies(value, encode(payload_type, payload))


def envelope(payload_type: str, payload: bytes, key: PrivateKey) -> str:
    """A payload with its type and signature, as JSON."""
    signatures = [sign(payload_type, payload, key)]
    value = {"payload": to_base64(payload), "payloadType": payload_type, "signatures": signatures}
    return json.dumps(value, sort_keys=True)


def read_envelope(text: str, payload_type: str) -> tuple[bytes, dict[str, str]] | None:
    """Payload and signature of an envelope; None where the text is none of this type, or spelled in another way.

    The signature is not verified: the key may stand in the payload.
    """
    try:
        value = json.loads(text)
        [signature] = value["signatures"]
        payload = from_base64(value["payload"])
        again = {"payload": value["payload"], "payloadType": payload_type, "signatures": [signature]}
        parts = (signature[KEY_ID], signature[SIGNATURE])
        if payload is None or not all(isinstance(part, str) for part in parts):
            return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    # one text for one value: nothing can be added or spelled otherwise without a trace
    return (payload, signature) if json.dumps(again, sort_keys=True) == text and len(signature) == 2 else None
