"""A PostgreSQL server of Debian in a temporary folder, for the tests."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy

PASSWORD = "s3cret-word"


def missing() -> str | None:
    """Why no server can be started here; None if one can."""
    if _programs() is None:
        return "PostgreSQL's server is not installed"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed"
    return None


class Server:
    """A server on a free port of loopback, which may be stopped and started again; it asks for a password."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sadcl-postgres-"))
        self.user = "postgres" if os.getuid() == 0 else None  # the server refuses to run as root
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (self.folder / "password").write_text(PASSWORD)
        for path in (self.folder, self.folder / "password"):
            if self.user:
                shutil.chown(path, self.user)
        self._run("initdb", "-U", "ann", "-A", "scram-sha-256", "--pwfile", str(self.folder / "password"), "--no-sync")
        self.start()

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -c fsync=off"
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Stop at once, as a power cut would."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def remove(self) -> None:
        subprocess.run(self._command("pg_ctl", "-w", "-m", "immediate", "stop"), user=self.user, check=False,
                       cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        shutil.rmtree(self.folder)

    def database(self, name: str) -> str:
        """Address of a new database."""
        engine = sqlalchemy.create_engine(self.address("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.address(name)

    def address(self, name: str) -> str:
        return f"postgresql+psycopg://ann:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            self._command(program, *arguments), user=self.user, check=True, cwd=self.folder, stdout=subprocess.DEVNULL
        )

    def _command(self, program: str, *arguments: str) -> Sequence[str]:
        folder = _programs()
        assert folder is not None
        return [str(folder / program), "-D", str(self.folder / "data"), *arguments]


def _programs() -> Path | None:
    """Folder of the server's programs; Debian has them outside PATH."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return candidates[-1].parent if candidates else Path(on_path).resolve().parent if on_path else None
