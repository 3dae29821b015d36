"""Folder with private keys, one file per key, readable by its owner only."""

from dataclasses import dataclass
from pathlib import Path

from sadcl import files
from sadcl.errors import SadclError
from sadcl.signing import keys
from sadcl.signing.keys import PrivateKey


@dataclass(frozen=True)
class KeyFolder:
    """Private keys by their fingerprints.

    Attributes:
        path: the folder; created with its first key.
    """

    path: Path

    def create(self) -> PrivateKey:
        """Generate a key and write its file, which is on the disk when this returns."""
        key = keys.generate()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files.atomic_write(self._file(key.public.fingerprint)) as temporary:
            temporary.touch(mode=0o600)  # before the text: nobody else can read it at any moment
            temporary.write_text(key.to_pem(), encoding="ascii")
        return key

    def find(self, fingerprint: str) -> PrivateKey | None:
        """Key with a fingerprint; None where the folder lacks it.

        Raises:
            SadclError: its file can't be read, or holds another key.
        """
        file = self._file(keys.parse_fingerprint(fingerprint))
        try:
            key = keys.private_from_pem(file.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SadclError(f"A key can't be read: {error.strerror}", where=file) from None
        if key is None or key.public.fingerprint != fingerprint:
            raise SadclError("A file of the server's keys does not hold its key", where=file, fix="Restore a backup")
        return key

    def _file(self, fingerprint: str) -> Path:
        return self.path / f"{fingerprint}.pem"
