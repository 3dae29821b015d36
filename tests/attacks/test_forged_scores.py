"""Scores that no network gave, with the figures and the verdict that follow from them."""

from pathlib import Path

from sadcl.registry.publish import publish
from tests.attacks.forgeries import forge_scores
from tests.attacks.scenario import require_refused, set_bound
from tests.verification.conftest import train


def test_scores_of_no_network_are_named(promoted: Path) -> None:
    train(2, forge_scores)
    publish()
    set_bound(90.0)
    require_refused({"verdict", "mAP"})
