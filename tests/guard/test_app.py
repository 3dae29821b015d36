"""The guard does not start where it could not guard."""

import json
import os
from pathlib import Path

import pytest

from sadcl.registry import client, schema
from sadcl.registry.audit import hash_chain, signatures
from tests.programs import MLFLOW, ForkServer

START = "from sadcl.guard.app import create_app; create_app()"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"_MLFLOW_SGI_NAME": "gunicorn", "SADCL_LEDGER": "ledger.jsonl"}, "The guard needs uvicorn"),
        ({"_MLFLOW_SGI_NAME": "uvicorn"}, "no ledger to write"),
    ],
)
def test_another_server_or_no_ledger_is_refused(
    variables: dict[str, str], words: str, tmp_path: Path, programs: ForkServer
) -> None:
    inherited = {name: value for name, value in os.environ.items() if name not in ("_MLFLOW_SGI_NAME", "SADCL_LEDGER")}
    server = programs.start("-c", START, imports=MLFLOW, cwd=tmp_path, env=inherited | variables)
    printed, _ = server.communicate()
    assert server.returncode != 0
    assert words in printed


ALONE = """
from mlflow.entities.model_registry import ModelVersion
from sadcl.guard import authorship
authorship.require_second_person(ModelVersion("tiny", "1", 0, user_id=None))
"""


@pytest.mark.parametrize(("allowed", "words"), [("1", ""), ("0", "is unknown"), ("", "is unknown")])
def test_one_person_alone_may_review_where_the_server_says_so(allowed: str, words: str, programs: ForkServer) -> None:
    environment = {**os.environ, "SADCL_ALLOW_SELF_REVIEW": allowed}
    server = programs.start("-c", ALONE, imports=MLFLOW, env=environment)
    printed, _ = server.communicate()
    assert (server.returncode == 0) == (words == ""), printed
    assert words in printed


SETTLE = """
import os, sys
from sadcl.guard import ledger, recovery
for os.environ["SADCL_LEDGER"] in sys.argv[1:]:
    recovery.complete_unfinished()
    recovery.complete_unfinished()
    ledger.introduce_root_key()
"""
MODEL_TAG = {"what": "model tagged", "model": "tiny-production", "key": schema.CRITERIA, "from": None}
"""The model has this tag with the value ``accepted``, and ``k`` with 3,000 characters."""
ALIAS = {"what": "alias set", "model": "tiny", "alias": "challenger", "from": None}
TAG = {"what": "tag set", "model": "tiny", "version": "1", "key": schema.VERDICT, "from": None}
LAST = [
    ({**ALIAS, "to": "1"}, True),
    ({**ALIAS, "to": "2"}, False),
    ({**ALIAS, "what": "alias deleted", "from": "1", "to": None}, False),
    ({**TAG, "to": "pass"}, True),
    ({**TAG, "to": "fail"}, False),
    ({**TAG, "what": "tag deleted"}, False),
    ({"what": "version made", "model": "tiny", "version": "1"}, True),
    ({"what": "version made", "model": "tiny", "version": "2"}, False),
    ({"what": "version deleted", "model": "tiny", "version": "1"}, False),
    ({"what": "version deleted", "model": "tiny", "version": "2"}, True),
    ({**MODEL_TAG, "to": "accepted"}, True),
    ({**MODEL_TAG, "to": "other"}, False),
    ({**MODEL_TAG, "key": "k", "to": hash_chain.digest("x" * 3000)}, True),
    ({**MODEL_TAG, "what": "model untagged"}, False),
    ({**MODEL_TAG, "what": "model untagged", "key": "other"}, True),
    ({"what": "model made", "model": "tiny", "tags": {}}, True),
    ({"what": "model made", "model": "small", "tags": {}}, False),
    ({"what": "model deleted", "model": "tiny"}, False),
    ({"what": "model deleted", "model": "small"}, True),
    ({"what": "model renamed", "model": "tiny", "from": "tiny", "to": "small"}, False),
    ({"what": "model renamed", "model": "small", "from": "small", "to": "tiny"}, True),
    ({"what": "account made", "username": "tom"}, True),
]
"""Last lines of a ledger, and whether the registry shows their change."""


DAMAGED = (
    {}, {"what": None}, {"what": ["tag set"]}, {**TAG, "version": ["1"], "to": "fail"}, {"what": "alias set"},
    *({"what": action} for action in ("tag set", "model tagged", "model made", "model renamed", "version deleted")),
)  # fmt: skip
"""Lines of a ledger that no server wrote."""


def test_a_server_starts_behind_a_damaged_last_line(registered: Path, tmp_path: Path, programs: ForkServer) -> None:
    ledgers = [tmp_path / f"{number}.jsonl" for number in range(len(DAMAGED))]
    for ledger, line in zip(ledgers, DAMAGED, strict=True):
        hash_chain.append(ledger, {**ALIAS, "to": "1", "who": "tom"})
        ledger.write_bytes(ledger.read_bytes() + json.dumps(line).encode() + b"\n")
    where = {"_MLFLOW_SERVER_FILE_STORE": client.registry_address(registered)}
    server = programs.start("-c", SETTLE, *map(str, ledgers), imports=MLFLOW, env={**os.environ, **where})
    printed, _ = server.communicate()
    assert server.returncode == 0, printed
    for ledger in ledgers:
        assert len(hash_chain.lines(ledger)) == 3
        assert hash_chain.broken(hash_chain.lines(ledger), ledger) == [2]
        problems = signatures.verify(enumerate(hash_chain.lines(ledger), 1), "the ledger").problems
        assert any(problem.startswith("Line 2 of the ledger can't be read") for problem in problems)


def test_a_server_that_was_killed_before_a_change_says_so_at_its_next_start(
    registered: Path, tmp_path: Path, programs: ForkServer
) -> None:
    with client.connect(registered) as registry:
        registry.create_registered_model("tiny-production", {schema.CRITERIA: "accepted", "k": "x" * 3000})
    ledgers = [tmp_path / f"{number}.jsonl" for number in range(len(LAST))]
    entries = []
    for ledger, (line, _) in zip(ledgers, LAST, strict=True):
        hash_chain.append(ledger, {**ALIAS, "to": "7", "who": "tom"})
        entries.append(hash_chain.append(ledger, {**line, "who": "tom"}))
    where = {"_MLFLOW_SERVER_FILE_STORE": client.registry_address(registered)}
    server = programs.start("-c", SETTLE, *map(str, ledgers), imports=MLFLOW, env={**os.environ, **where})
    printed, _ = server.communicate()
    assert server.returncode == 0, printed
    for ledger, last, (line, applied) in zip(ledgers, entries, LAST, strict=True):
        lines = hash_chain.lines(ledger)
        undone = [entry["line"] for entry in hash_chain.parse(lines, ledger) if entry["what"] == "not done"]
        assert undone == ([] if applied else [last]), line
        assert hash_chain.broken(lines, ledger) == []
