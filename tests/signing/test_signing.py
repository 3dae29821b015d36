"""Keys and DSSE signatures: what other tools would compute, and what is refused."""

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from sadcl.errors import SadclError
from sadcl.signing import dsse, keys
from sadcl.signing.key_folder import KeyFolder

KIND = "application/x-test"


def test_the_encoding_is_the_one_of_the_dsse_specification() -> None:
    assert dsse.encode("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_reads_the_key_and_verifies_the_signature(tmp_path: Path) -> None:
    key = keys.generate()
    (tmp_path / "key.der").write_bytes(base64.b64decode(key.public.text))
    (tmp_path / "message").write_bytes(dsse.encode(KIND, b"hello"))
    (tmp_path / "signature").write_bytes(base64.b64decode(dsse.sign(KIND, b"hello", key)["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.der", "-keyform", "DER", "-rawin",
               "-in", "message", "-sigfile", "signature"]  # fmt: skip
    verified = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Signature Verified Successfully" in verified.stdout, verified.stderr
    assert key.public.fingerprint == hashlib.sha256((tmp_path / "key.der").read_bytes()).hexdigest()


def test_a_signature_is_for_its_payload_type_and_key_alone() -> None:
    key = keys.generate()
    signature = dsse.sign(KIND, b"hello", key)
    assert dsse.verifies(KIND, b"hello", signature, key.public)
    assert not dsse.verifies(KIND, b"hellO", signature, key.public)
    assert not dsse.verifies(f"{KIND} 5", b"hello", signature, key.public)
    assert not dsse.verifies(KIND, b"hello", signature, keys.generate().public)
    assert not dsse.verifies(KIND, b"hello", {**signature, "sig": "ß"}, key.public)
    assert not dsse.verifies(KIND, b"hello", {}, key.public)


def test_an_envelope_has_one_spelling() -> None:
    key = keys.generate()
    text = dsse.envelope(KIND, b"hello", key)
    payload, signature = dsse.read_envelope(text, KIND) or (b"", {})
    assert dsse.verifies(KIND, payload, signature, key.public)
    value = json.loads(text)
    others = [
        text + " ", text.replace('": ', '":', 1), text.replace(KIND, "other"), "", "[]", "{}", "[" * 100_000,
        json.dumps({**value, "more": 1}, sort_keys=True),
        json.dumps({**value, "payload": 1}, sort_keys=True),
        json.dumps({**value, "payload": "aGVsbG9="}, sort_keys=True),  # the same bytes in another Base64
        json.dumps({**value, "signatures": []}, sort_keys=True),
        json.dumps({**value, "signatures": [{**signature, "more": 1}]}, sort_keys=True),
        json.dumps({**value, "signatures": [{"keyid": 1, "sig": 2}]}, sort_keys=True),
    ]  # fmt: skip
    assert [other for other in others if dsse.read_envelope(other, KIND) is not None] == []


@pytest.mark.parametrize("text", ["", "AAAA", "not base64", "MCowBQYDK2VuAyEA" + "A" * 43 + "=", "é"])
def test_no_ed25519_key_is_read_from_anything_else(text: str) -> None:
    assert keys.public_from_text(text) is None


def test_a_public_key_comes_back_from_its_text() -> None:
    public = keys.generate().public
    assert (keys.public_from_text(public.text) or public).fingerprint == public.fingerprint
    assert keys.public_from_text(public.text[:-1] + "B") is None


def test_fingerprints_are_typed_in_any_case_with_blanks_and_colons() -> None:
    digits = "0123456789abcdef" * 4
    assert keys.parse_fingerprint(f" {digits[:32].upper()}:{digits[32:]}\n") == digits
    for text in ("", digits[:12], digits + "0", digits[:-1] + "g"):
        with pytest.raises(SadclError, match="no fingerprint"):
            keys.parse_fingerprint(text)


def test_the_folder_keeps_keys_for_their_owner_alone(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys")
    key = folder.create()
    fingerprint = key.public.fingerprint
    [file] = folder.path.iterdir()
    assert (file.stat().st_mode & 0o777, folder.path.stat().st_mode & 0o777) == (0o600, 0o700)
    stored_key = folder.find(fingerprint)
    assert stored_key is not None
    assert stored_key.public.text == key.public.text
    other = folder.create()
    assert folder.find("0" * 64) is None
    file.write_text(other.to_pem())
    with pytest.raises(SadclError, match="does not hold its key"):
        folder.find(fingerprint)
    file.write_text("nothing")
    with pytest.raises(SadclError, match="does not hold its key"):
        folder.find(fingerprint)
