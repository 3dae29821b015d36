"""A small signed ledger with its registry, and the problems of a copy."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sadcl.errors import SadclError
from sadcl.registry.audit import bundle, bundle_check, hash_chain, signatures
from sadcl.registry.audit.replay import Model, Version, shortened
from sadcl.registry.audit.signatures import ROOT_INTRODUCED, SERVER
from sadcl.signing import keys
from sadcl.signing.keys import PrivateKey

TIME = "2026-01-02T03:04:05+00:00"
PINS = json.dumps({"model/artifacts/weights.safetensors": "a" * 64})
CRITERIA = json.dumps({"criteria": {"rules": ["x" * 3000]}, "reason": "ours"})
DECISION = json.dumps({"action": "promote", "reason": "weil's besser ist: ß" + "!" * 3000})


@dataclass
class Registry:
    """A ledger with its keys, and the state that the registry shows."""

    path: Path
    root: PrivateKey = field(default_factory=keys.generate)
    accounts: dict[str, PrivateKey] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)

    def write(self, account: str, key: PrivateKey | None, /, **entry: Any) -> None:
        sign = None if key is None else signatures.signer(key)
        hash_chain.append(self.path, {"time": TIME, "who": account, **entry}, sign)

    def introduce(self, *accounts: str) -> None:
        self.write(SERVER, self.root, what=ROOT_INTRODUCED, public_key=self.root.public.text)
        for account in accounts:
            self.accounts[account] = keys.generate()
            self.write(
                SERVER, self.root, what="key introduced", account=account, public_key=self.accounts[account].public.text
            )

    def act(self, account: str, action: str, /, **entry: Any) -> None:
        self.write(account, self.accounts[account], what=action, **entry)

    def text(self, root: PrivateKey | None = None) -> str:
        return bundle.compose(hash_chain.lines(self.path), self.models, root or self.root, TIME)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Tom's version was promoted by Rita; the line before that was about a change that failed."""
    registry = Registry(tmp_path / "ledger.jsonl")
    registry.introduce("tom", "rita")
    registry.act("rita", "model made", model="tiny-production", tags={"team": "kites"})
    criteria = {"model": "tiny-production", "key": "sadcl.criteria", "reason": "ours"}
    registry.act("rita", "model tagged", **criteria, **{"from": None, "to": shortened(CRITERIA)})
    tags = {"sadcl.files": PINS, "sadcl.verdict": "pass"}
    short = {key: shortened(value) for key, value in tags.items()}
    registry.act("tom", "version made", model="tiny", version="1", source="models:/m-1", tags=short)
    registry.act("tom", "alias set", model="tiny", alias="challenger", **{"from": None, "to": "1"})
    copy = {"model": "tiny-production", "version": "1"}
    registry.act("rita", "version made", **copy, source="models:/tiny/1", tags=short)
    registry.act("rita", "tag set", **copy, key="sadcl.verdict", **{"from": "pass", "to": "fail"})
    failed = hash_chain.digests(hash_chain.lines(registry.path)[-1:])[0]
    registry.act("rita", "not done", line=failed)
    registry.act("rita", "tag set", **copy, key="sadcl.decision", **{"from": None, "to": shortened(DECISION)})
    registry.act("rita", "alias set", model="tiny-production", alias="champion", **{"from": None, "to": "1"})
    production = Version("rita", "models:/tiny/1", {**tags, "sadcl.decision": DECISION})
    registry.models["tiny"] = Model({"challenger": "1"}, {"1": Version("tom", "models:/m-1", tags)})
    model_tags = {"team": "kites", "sadcl.criteria": CRITERIA}
    registry.models["tiny-production"] = Model({"champion": "1"}, {"1": production}, model_tags)
    return registry


def problems(text: str | bytes, pinned: str | None = None) -> list[str]:
    content = text if isinstance(text, bytes) else text.encode()
    try:
        return bundle_check.verify(bundle.parse(content, "copy.jsonl"), pinned).problems
    except SadclError as error:
        return [str(error)]


def edited(text: str, number: int, change: Callable[[str], str]) -> str:
    lines = text.split("\n")
    lines[number - 1] = change(lines[number - 1])
    return "\n".join(lines)
