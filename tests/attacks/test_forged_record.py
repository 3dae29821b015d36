"""A record of a verification that the author wrote without a verifier."""

from dataclasses import replace
from pathlib import Path

from sadcl.registry import schema
from sadcl.registry.publish import publish
from sadcl.verification.verify import verify_number
from tests.attacks.scenario import require_refused, set_bound, tag
from tests.verification.conftest import train


def test_a_forged_record_is_computed_again(promoted: Path) -> None:
    train(2)
    publish()
    set_bound(90.0)
    record = replace(verify_number(2).record, verdict="pass", mAP="99.00")
    tag(schema.VERIFIED, record.text())  # on a server the guard refuses this: tests/guard/test_verification.py
    require_refused({"verdict"})
