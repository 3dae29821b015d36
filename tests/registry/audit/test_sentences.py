"""Lines of a log as people read them."""

import json
from typing import Any

import pytest

from sadcl.registry.audit.sentences import sentence

TAG = {"what": "tag set", "model": "tiny", "version": "1", "key": "sadcl.verdict.digest"}
RUN = {"what": "run's figures set", "run": "r1"}


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"what": "root key introduced", "public_key": "x"}, "root key introduced"),
        ({**TAG, "from": None, "to": ""}, "tag set: tiny 1, key sadcl.verdict.digest, from nothing to an empty text"),
        ({**TAG, "from": "", "to": "a" * 64},
         "tag set: tiny 1, key sadcl.verdict.digest, from an empty text to aaaaaaaaaaaa"),
        ({**RUN, "metrics": "", "params": "lr", "tags": None}, "run's figures set: run r1, params lr"),
        ({**RUN, "metrics": "loss, mAP"}, "run's figures set: run r1, metrics \"loss, mAP\""),
        ({"what": "right given to a role", "role_id": "2"}, "right given to a role: role id 2"),
        ({**TAG, "from": None, "to": json.dumps({"reason": "kites, at last"})},
         "tag set: tiny 1, key sadcl.verdict.digest, from nothing to \"kites, at last\""),
    ],
)  # fmt: skip
def test_a_line_has_no_empty_parts(entry: dict[str, Any], text: str) -> None:
    assert sentence({"time": "2026", "who": "tom", **entry}) == f"2026  tom: {text}"
