"""The gate refused the model, and one tag says that it passed."""

from pathlib import Path

from sadcl.registry import schema
from sadcl.registry.publish import publish
from tests.attacks.scenario import require_refused, set_bound, tag
from tests.verification.conftest import train


def test_a_tag_that_says_pass_makes_no_champion(promoted: Path) -> None:
    set_bound(101.0)
    train(2)
    publish()
    tag(schema.VERDICT, "pass")
    require_refused({"verdict"})
