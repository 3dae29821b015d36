"""The server's keys: created at first use, introduced in the ledger, and never replaced in silence."""

import os
from pathlib import Path

from sadcl.registry.audit import hash_chain, signatures
from tests.programs import MLFLOW, ForkServer

WRITE = """
import sys
from mlflow.exceptions import MlflowException
from sadcl.errors import SadclError
from sadcl.guard import ledger
try:
    for account in sys.argv[1:]:
        ledger.append_entry({"what": "account made", "username": "rea"}, account)
    ledger.introduce_root_key()
except (MlflowException, SadclError) as error:
    print("refused:", error)
"""


def write(programs: ForkServer, ledger: Path, *accounts: str) -> str:
    """Append a line in the name of each account, as the guard does; what it prints."""
    server = programs.start("-c", WRITE, *accounts, imports=MLFLOW, env={**os.environ, "SADCL_LEDGER": str(ledger)})
    printed, _ = server.communicate()
    assert server.returncode == 0, printed
    return printed


def verify(ledger: Path) -> signatures.LedgerReport:
    return signatures.verify(enumerate(hash_chain.lines(ledger), 1), "the ledger")


def test_each_account_signs_with_a_key_that_the_root_key_introduces(tmp_path: Path, programs: ForkServer) -> None:
    ledger = tmp_path / "team/ledger.jsonl"
    write(programs, ledger, "tom", "rita", "tom")
    write(programs, ledger, "tom", signatures.SERVER)
    report = verify(ledger)
    assert (report.problems, report.signed, report.unsigned) == ([], 8, 0)
    entries = [entry for entry, _ in report.entries]
    assert [entry["who"] for entry in entries if entry["what"] == "account made"] == [
        "tom", "rita", "tom", "tom", "the server"
    ]  # fmt: skip
    keys = {entry["who"]: entry["signature"]["keyid"] for entry in entries}
    assert len(set(keys.values())) == 3
    files = list((ledger.parent / "keys").iterdir())
    assert {file.stem for file in files} == set(keys.values())
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_an_older_ledger_goes_on_with_signatures(tmp_path: Path, programs: ForkServer) -> None:
    ledger = tmp_path / "ledger.jsonl"
    hash_chain.append(ledger, {"time": "2026", "who": "tom", "what": "account made"})
    write(programs, ledger, "tom")
    report = verify(ledger)
    assert (report.problems, report.unsigned, report.signed) == ([], 1, 3)


def test_a_lost_key_of_an_account_is_replaced_and_a_lost_root_key_is_not(tmp_path: Path, programs: ForkServer) -> None:
    ledger = tmp_path / "ledger.jsonl"
    write(programs, ledger, "tom")
    known = signatures.introduced(hash_chain.lines(ledger))
    (tmp_path / "keys" / f"{known.accounts['tom']}.pem").unlink()
    write(programs, ledger, "tom")
    assert verify(ledger).problems == []
    assert signatures.introduced(hash_chain.lines(ledger)).accounts != known.accounts
    before = ledger.read_bytes()
    (tmp_path / "keys" / f"{known.root}.pem").unlink()
    assert f"The root key {known.root} of the ledger is gone" in write(programs, ledger, "tom")
    assert f"The root key {known.root} of the ledger is gone" in write(programs, ledger)
    assert ledger.read_bytes() == before
